"""A model whose load never ends: the server serves on, takes the next one, and can be stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle

from headrace.artifacts import folder
from tests.integration.serving.servers import ask, children, url_of, wait_until

# Follows a file that holds a version; version 2 hangs wherever it is loaded, version 3 in the workers alone.
SERVER = """
import os, sys, time
from pathlib import Path
from headrace.serving import swap, switch
from headrace.serving.server import serve
from headrace.serving.settings import Settings
from headrace.serving.target import Target

load = switch.load

def hanging(plan, settings, before=None):
    target = plan.main
    if target.version == "2" or (target.version == "3" and before):
        os.write(2, b"hangs\\n")  # in one piece: several processes do
        time.sleep(600)
    return load(plan, settings, before)

switch.load = hanging
# None but those that hang are held to it.
patience = {"2": float(sys.argv[3]), "3": 10 * float(sys.argv[3])}

def follow():
    version = Path(sys.argv[1]).read_text()
    swap.LOAD_SECONDS = patience.get(version, 120.0)
    return Target(Path(sys.argv[2]), version)

serve(follow(), Settings(port=0, workers=2), follow=follow)
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("one") / "bundle", details={"name": "tiny"})


@contextmanager
def following(file: Path, bundle: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    folder.write_text(file, "1")
    command = [sys.executable, "-c", SERVER, str(file), str(bundle), str(seconds)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        if started.poll() is None:  # and its workers, which may not heed another signal
            subprocess.run(["kill", "-9", *map(str, [started.pid, *children(started.pid)])], check=False)
        started.communicate()


def line(started: subprocess.Popen[str], hangs: int) -> str:
    """What is complained about after so many processes have begun to hang."""
    assert started.stderr is not None
    assert [started.stderr.readline() for _ in range(hangs)] == ["hangs\n"] * hangs
    return started.stderr.readline()


@pytest.mark.parametrize(("version", "hangs"), [("2", 1), ("3", 2)])
def test_the_next_model_is_served(bundle: Path, tmp_path: Path, version: str, hangs: int) -> None:
    file = tmp_path / "endpoint"
    with following(file, bundle, seconds=0.5) as started:
        url = url_of(started)
        before = children(started.pid)
        folder.write_text(file, version)
        refusal = f"headrace: version {version} of tiny is not served: "
        assert line(started, hangs).startswith(refusal)
        assert ask(url, "GET", "/")[2]["version"] == "1"
        assert children(started.pid) == before
        folder.write_text(file, "4")
        wait_until(lambda: {ask(url, "GET", "/")[2]["version"] for _ in range(10)} == {"4"})
        assert children(started.pid) == before
        started.terminate()
        assert started.wait(60) == 0


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_stop_is_heeded(bundle: Path, tmp_path: Path, version: str) -> None:
    file = tmp_path / "endpoint"
    with following(file, bundle, seconds=120.0) as started:
        url_of(started)
        folder.write_text(file, version)
        assert started.stderr is not None
        assert started.stderr.readline() == "hangs\n"
        started.terminate()
        assert started.wait(60) == 0
