"""No room for the output: a run says so in one line, leaves nothing half written, and goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.projects import Project

Resize = Callable[[str], None]


@pytest.fixture
def resize(own: Project) -> Iterator[Resize]:
    """Puts the project's home on a disk of its own, of the size that is asked for; what is there is kept."""
    home = own.home
    for path in sorted(home.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "headrace-test", str(home)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"expected to be allowed to mount a tmpfs. Received: {done.stderr.strip()}")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(home)], check=True) and None
    finally:
        subprocess.run(["umount", str(home)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk(own: Project, resize: Resize, trained: Project) -> None:
    for size in ("64k", "300k", "1100k"):
        resize(size)
        done = own.headrace("run", "spec.yaml")
        assert done.code == 1, size
        assert "Traceback" not in done.out + done.err
        # At the very end there may be no room even to record that a task failed; then that is all that is said.
        said = [line for line in done.err.splitlines() if line and ": FAILED in " not in line]
        assert len(said) == 1, done.err
        assert "expected room on the disk" in said[0]
        assert str(own.home) in said[0]
        assert said[0].count("ree some space and run again") == 1
        assert own.processes() == []
        assert own.halves() == [], size
        assert own.partials() == [], size
    resize("64m")
    own.headrace("run", "spec.yaml").ok()
    assert own.digest() == trained.digest()
    assert own.halves() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_no_room_for_a_spec_or_a_compiled_pipeline(own: Project, resize: Resize, tmp_path: Path) -> None:
    resize("4k")
    (own.home / "filler").write_bytes(b"x" * 4096)
    for arguments in (
        ("init", own.home, "--from", "data/subscribers.csv", "--label", "churned"),
        ("compile", "spec.yaml", "-o", own.home / "pipeline.yaml"),
    ):
        done = own.headrace(*arguments)
        assert done.code == 1
        assert done.err.startswith("headrace: ")
        assert done.err.endswith("No space left on device\n")
        assert done.err.count("\n") == 1
        assert [path.name for path in own.home.iterdir()] == ["filler"]
