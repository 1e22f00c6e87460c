"""What tasks have printed, read line by line: of a run that is over, or while it goes on."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from headrace.pipelines.local.record.results import PENDING, RUNNING, TaskResult
from headrace.pipelines.local.views.view import task_text

LONGEST = 1 << 16  # bytes of a line; a longer one comes in pieces
INTERVAL = 0.2  # seconds between two looks
_CHATTER = b"[KFP Executor"


class OwnLines:
    """Tells a task's lines from KFP's account of its own doings, and from the inputs that it dumps."""

    def __init__(self) -> None:
        self._dump = False
        self._own, self._begins = True, True  # the verdict on the line under way, and whether a new one begins

    def has(self, piece: bytes) -> bool:
        """Whether a line, or the next piece of one, is the task's."""
        if self._begins:
            self._own = self._verdict(piece)
        self._begins = piece.endswith(b"\n")
        return self._own

    def _verdict(self, line: bytes) -> bool:
        if line.startswith(_CHATTER):
            self._dump = line.rstrip().endswith(b"Got executor_input:")
            return False
        if self._dump:
            self._dump = line.rstrip() != b"}"
            return False
        return True


class Log:
    """One log, read from the beginning on, as far as it goes at the moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: BinaryIO | None = None
        self._own = OwnLines()
        self._half = b""  # a line without its end yet

    def new_lines(self, over: bool) -> Iterator[str]:
        """What has come since the last time; with `over`, also a last line without an end."""
        if self._stream is None:
            try:
                self._stream = self.path.open("rb")
            except FileNotFoundError:
                return  # not there yet
        while piece := self._stream.readline(LONGEST - len(self._half)):
            piece, self._half = self._half + piece, b""
            if not piece.endswith(b"\n") and len(piece) < LONGEST:
                self._half = piece
                break
            if self._own.has(piece):
                yield _text(piece)
        if over and self._half:
            piece, self._half = self._half, b""
            if self._own.has(piece):
                yield _text(piece)

    def trouble(self) -> str:
        """What has happened to the file since it was opened; afterwards it is read anew, if there is one."""
        if self._stream is None:
            return ""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            self.close()
            return "its log was removed"
        opened = os.fstat(self._stream.fileno())
        if (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino):
            self.close()
            return "its log was replaced; what follows is the new one"
        if now.st_size < self._stream.tell():
            self.close()
            return "its log was cut short; what follows is what is in it now"
        return ""

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream, self._half = None, b""


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")


def log_lines(path: Path, tail: int | None = None) -> Iterator[str]:
    """A log's lines, or the last `tail` of them; no more is in memory than that."""
    log = Log(path)
    try:
        lines = log.new_lines(over=True)
        yield from lines if tail is None else deque(lines, maxlen=tail)
    finally:
        log.close()


@dataclass(frozen=True)
class Said:
    """A line that a task printed or, with `about` set, one about the task."""

    task: TaskResult
    line: str
    about: bool = False


def follow(
    look: Callable[[], tuple[Sequence[TaskResult], str]], tail: int | None = None, expected: int | None = None
) -> Iterator[Said]:
    """The lines of tasks as they come, until they are over, or their run is.

    Args:
        look: gives the tasks that are wanted and have begun, as they are now, and the run's state.
        tail: of what is there at the beginning, only the last lines of each.
        expected: how many tasks there will be, after which there is no more to wait for; None: as long as the run.
    """
    logs: dict[str, tuple[Log, int]] = {}  # of the tasks under way: path -> log, attempt
    over: set[str] = set()
    try:
        while True:
            tasks, state = look()  # before the logs are read: what a task printed up to its end is in them then
            for task in tasks:
                if task.path not in over:
                    ended = task.state not in (PENDING, RUNNING) or state != RUNNING
                    yield from _step(task, logs, ended, tail)
                    if ended:
                        over.add(task.path)
            tail = None
            if state != RUNNING or (expected is not None and len(over) >= expected):
                return
            time.sleep(INTERVAL)
    finally:
        for log, _ in logs.values():
            log.close()


def _step(task: TaskResult, logs: dict[str, tuple[Log, int]], ended: bool, tail: int | None) -> Iterator[Said]:
    if task.log is not None:
        log, attempt = logs.get(task.path) or (Log(task.log), max(1, task.attempts))
        if trouble := log.trouble():
            yield Said(task, trouble, about=True)
        lines = log.new_lines(ended)
        yield from (Said(task, line) for line in (lines if tail is None else deque(lines, maxlen=tail)))
        if task.attempts > attempt:
            yield Said(task, f"attempt {task.attempts}", about=True)
        logs[task.path] = (log, max(attempt, task.attempts))
    if ended:
        yield Said(task, task_text(task), about=True)
        if task.path in logs:
            logs.pop(task.path)[0].close()
