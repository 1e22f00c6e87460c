"""Temporary folders: removed when they are closed, and after a kill by whoever makes the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from headrace.artifacts.scratch import Scratch

HOLD = """
import sys, time
from headrace.artifacts.scratch import Scratch
scratch = Scratch("test")
(scratch.path / "rows").write_text("1")
print(scratch.path, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def old(folder: Path) -> None:
    os.utime(folder, (1, 1))


def test_it_goes_with_the_block(place: Path) -> None:
    with Scratch("test") as folder:
        (folder / "rows").write_text("1")
        assert folder.parent == place
    assert list(place.iterdir()) == []


def test_one_that_is_held_stays_and_one_of_a_killed_process_goes(place: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        old(folder)
        with Scratch("test"):
            assert (folder / "rows").exists()
        os.kill(process.pid, signal.SIGKILL)
    assert (folder / "rows").exists()  # a kill leaves it
    os.utime(folder)
    with Scratch("test"):
        assert folder.exists()  # it may have been made this moment, and not be locked yet
    old(folder)
    with Scratch("test") as own:
        assert list(place.iterdir()) == [own]


def test_nothing_else_is_swept(place: Path) -> None:
    (place / "headrace-scratch-file").write_text("a file")
    (place / "other").mkdir()
    target = place / "target"
    target.mkdir()
    (place / "headrace-scratch-link").symlink_to(target)
    for path in place.iterdir():
        os.utime(path, (1, 1), follow_symlinks=False)
    with Scratch("test"):
        pass
    assert {path.name for path in place.iterdir()} == {
        "headrace-scratch-file", "headrace-scratch-link", "other", "target",
    }  # fmt: skip
