"""Temporary folders that do not outlive their process for long, however it ended.

A process that is killed cannot tidy up, and what databases spill is large. So each folder is locked by the process that
made it, and whoever makes the next one removes those that nobody holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_PREFIX = "headrace-scratch-"
_YOUNG_SECONDS = 60.0  # a folder is made and locked in two steps, between which it may look forsaken


class Scratch:
    """A temporary folder, removed when it is closed, with its process, or by the next one after a kill.

    >>> with Scratch("example") as folder:
    ...     (folder / "rows").write_text("1")
    1
    >>> folder.exists()
    False
    """

    def __init__(self, kind: str) -> None:
        """Makes a folder whose name tells what it is for, in the folder for temporary files."""
        sweep()
        self._folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{kind}-")
        self.path = Path(self._folder.name)
        self._lock = os.open(self.path, os.O_RDONLY)  # kept open: the lock goes with the process
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Removes the folder with all that is in it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._folder.cleanup()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_lock", -1) >= 0:
            os.close(self._lock)


def sweep() -> None:
    """Removes the folders of processes that are gone."""
    for folder in _forsaken(Path(tempfile.gettempdir())):
        shutil.rmtree(folder, ignore_errors=True)


def _forsaken(place: Path) -> Iterator[Path]:
    for folder in place.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, somebody else's, or held
            state = folder.lstat()
            if state.st_uid != os.getuid() or time.time() - state.st_mtime < _YOUNG_SECONDS:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder
            finally:
                os.close(lock)
