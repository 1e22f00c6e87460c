"""What a watcher's process says, and what of it is believed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines import watching
from headrace.pipelines.watching import Watch
from headrace.serving.target import Plan, Target

# The watcher's own process, in which a client of the service prints.
NOISY = f"""#!{sys.executable}
import os, runpy, sys
from headrace.pipelines import plans

meant = plans.meant

def noisy(*arguments):
    print("from Python", end="", flush=True)
    os.write(1, b"from a library")
    os.system("printf 'from a program'")
    return meant(*arguments)

plans.meant = noisy
module, sys.argv = sys.argv[2], ["watcher", *sys.argv[3:]]
runpy.run_module(module, run_name="__main__")
"""


@contextmanager
def watched(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """A watch whose process runs a script instead of Python."""
    file = tmp_path / "watcher"
    file.write_text(script)
    file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(file))
    watch = Watch("front", "local", tmp_path / "home")
    try:
        yield watch
    finally:
        watch.stop()


@pytest.mark.parametrize(
    "stray",
    [
        "WARNING: retrying",
        "7",
        "null",
        '["path"]',
        '{"level": "info"}',
        '{"plan": 7}',
        '{"plan": null}',
        r"\0377\0376",
        "",
    ],
)
def test_a_line_that_is_no_answer_is_passed_over(stray: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"plan": Plan.of(Target(Path("/bundle"), "3")).to_dict()})
    script = f"#!/bin/sh\nprintf '%b\\n' '{stray}' '{answer}' '{stray}'\ntouch {tmp_path}/said\nexec sleep 60\n"
    with watched(script, tmp_path, monkeypatch) as watch:
        assert watch.first() == Plan.of(Target(Path("/bundle"), "3"))
        deadline = time.monotonic() + 10
        while not (tmp_path / "said").exists():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)
        assert watch() == Plan.of(Target(Path("/bundle"), "3"))


def test_what_a_client_prints_is_not_among_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        watched(NOISY, tmp_path, monkeypatch) as watch,
        pytest.raises(HeadraceError, match="expected an endpoint, a model or a bundle's folder. Received: front"),
    ):
        watch.first()
    error = capfd.readouterr().err
    assert all(text in error for text in ("from Python", "from a library", "from a program"))


def test_a_new_process_does_not_end_the_line_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_RESTART_SECONDS", 0.0)
    answer = json.dumps({"plan": Plan.of(Target(Path("/bundle"), "3")).to_dict()})
    script = f"""#!/bin/sh
test -e {tmp_path}/once && {{ echo '{answer}'; exec sleep 60; }}
touch {tmp_path}/once
printf '{{"plan": {{"mem'
"""
    with watched(script, tmp_path, monkeypatch) as watch:
        with pytest.raises(HeadraceError, match="Received: the end of the process that does"):
            watch.first()  # and starts another
        assert watch.first() == Plan.of(Target(Path("/bundle"), "3"))
