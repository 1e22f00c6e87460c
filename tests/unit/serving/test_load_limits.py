"""What a model may take while it is loaded; each in a process of its own, which the limits may end."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving import load_limits
from headrace.serving.load_limits import limited

MIB = 1024 * 1024


def apart(work: Callable[[], object]) -> tuple[int, str]:
    """A process's exit code, and what it wrote to standard error."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(theirs, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)  # pytest's own goes elsewhere
        work()
        os._exit(0)
    os.close(theirs)
    said = b""
    while piece := os.read(ours, 4096):
        said += piece
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode()


def test_what_asks_for_too_much_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_limits, "_left", lambda: 2**62)
    with (
        pytest.raises(
            HeadraceError, match=r"^m: expected it to load and answer with 200 MiB of memory \(--load-memory"
        ),
        limited("m", 200),
    ):
        np.ones(400 * MIB, np.uint8)
    with limited("m", 400):
        assert np.ones(100 * MIB, np.uint8).all()


def test_the_limit_is_gone_afterwards() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited("m", 300):
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] > 0
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with pytest.raises(ValueError, match="another"), limited("m", 300):
        raise ValueError("another reason")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_what_takes_too_long_is_ended() -> None:
    def hangs() -> None:
        with limited("m", 300, seconds=0.1):
            time.sleep(30)

    told = "error: m: expected it to load and answer in 0.1 seconds. Received: nothing yet\n"
    assert apart(hangs) == (1, told)


def test_a_container_gives_what_it_has_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load_limits, "_CGROUP", tmp_path)
    assert load_limits._left() > 2**60
    (tmp_path / "memory.max").write_text(f"{1000 * MIB}\n")
    (tmp_path / "memory.current").write_text(f"{900 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {300 * MIB}\nfile {600 * MIB}\n")
    assert load_limits._left() == 700 * MIB  # pages of files can be given up
    (tmp_path / "memory.stat").write_text("file 0\n")
    assert load_limits._left() == 128 * MIB
    (tmp_path / "memory.max").write_text("max\n")
    assert load_limits._left() > 2**60
