"""SIGINT, SIGTERM and SIGHUP as entries of a list that the runner's loop looks at, and is woken for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Protocol

from headrace.pipelines import interrupt

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Wakeable(Protocol):
    """What waits, and can be made to stop waiting by a file descriptor."""

    def wake_on(self, fd: int) -> None: ...

    def forget(self, fd: int) -> None: ...


@contextlib.contextmanager
def caught(seen: list[int], waiting: Wakeable) -> Iterator[None]:
    """Within the block, a signal is appended to `seen` and wakes `waiting`; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    waiting.wake_on(reader)
    old_wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    old = {sig: signal.signal(sig, lambda number, frame: seen.append(number)) for sig in CAUGHT}
    seen.extend(interrupt.remembered())  # one that came earlier, and whose exception got lost
    try:
        yield
    finally:
        for sig, handler in old.items():
            signal.signal(sig, handler)
        signal.set_wakeup_fd(old_wakeup)
        waiting.forget(reader)
        os.close(writer)
        os.close(reader)
