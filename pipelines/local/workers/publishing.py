"""Putting outputs into the store beside the loop: to hash gigabytes takes seconds in which other tasks go on."""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

SMALL_BYTES = 4 << 20  # up to here a thread costs more than it saves
SMALL_FILES = 64

T = TypeVar("T")


class Publisher(Generic[T]):
    """Threads that work for a loop, which is woken through `wake` when something is done.

    The runner's process may have threads: it starts workers by exec only, and forks nothing.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._finished: queue.SimpleQueue[tuple[str, Future[T]]] = queue.SimpleQueue()
        self.wake, self._writer = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(self._writer, False)

    def submit(self, name: str, work: Callable[[], T]) -> None:
        """Does `work` in a thread; `finished` will give its outcome under `name`."""
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # seldom needed

            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="publish")
        self._pool.submit(work).add_done_callback(lambda future: self._tell(name, future))

    def finished(self) -> list[tuple[str, Future[T]]]:
        """What has been done since the last call, in the order in which it was."""
        found = []
        while not self._finished.empty():
            found.append(self._finished.get())
        return found

    def close(self) -> None:
        """Drops what has not begun, and waits for what has: nothing is written after this."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        os.close(self._writer)
        os.close(self.wake)

    def _tell(self, name: str, future: Future[T]) -> None:
        self._finished.put((name, future))
        with contextlib.suppress(BlockingIOError):  # it is full of wake-ups already
            os.write(self._writer, b"x")


def is_small(folder: Path) -> bool:
    """Whether what lies in a folder is hashed and moved faster than a thread is started for it."""
    size = files = 0
    folders = [str(folder)]
    while folders:
        with contextlib.suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:  # it may have deleted it
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    size += entry.stat(follow_symlinks=False).st_size
                files += 1
                if files > SMALL_FILES or size > SMALL_BYTES:
                    return False
    return True
