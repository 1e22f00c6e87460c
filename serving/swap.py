"""The parent's side of a swap: every worker has the next model loaded before any of them lets it answer.

    try       a process of its own loads the model and asks for its samples: one that crashes takes nobody with it
    prepare   each worker loads it beside the one that answers
    switch    each worker answers with it from the next request on

Where one of them fails, none switches.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from headrace.artifacts.errors import HeadraceError
from headrace.serving.forked import forked
from headrace.serving.settings import Settings
from headrace.serving.target import Member, Plan, Target, planned

LOAD_SECONDS = 120.0  # for which a model may take to load
RETRY_SECONDS, MOST_RETRY_SECONDS = 30.0, 600.0  # before a model that failed is tried again: longer each time
_LONGEST = 65_536  # bytes of a message
_LOOK_SECONDS = 0.2  # between two looks at whether the server is being stopped
_NUMBERS = itertools.count()  # of orders: the answer to an old one, which came too late, is told from the next
_NEVER_ANSWERED = "expected it to load the model. Received:"

What = TypeVar("What", Target, Plan)


class SwapFailed(HeadraceError):
    """The next model cannot take over; the one that answers goes on."""


class WorkerEnded(SwapFailed):
    """A worker ended while it was to load the next model: of that, or of something else."""


class Stopped(Exception):
    """The server is being stopped while a model is loaded."""


@dataclass
class Follower(Generic[What]):
    """Looks up what is to be served, and says when that is something else than what is."""

    follow: Callable[[], What]
    served: What
    _failed: What | None = None
    _again: float = 0.0  # when to try what failed once more, by the monotonic clock
    _pause: float = RETRY_SECONDS
    _silent: str = field(default="", repr=False)  # the last complaint, which is not repeated

    def wanted(self) -> What | None:
        """What is to be served instead of what is, or None; a complaint is printed once."""
        try:
            what = self.follow()
        except HeadraceError as error:
            self._complain(f"what to serve is not known: {error}; what is served goes on")
            return None
        self._silent = ""
        if what == self.served:
            self._failed = None
            return None
        if what == self._failed and time.monotonic() < self._again:
            return None
        return what

    @property
    def refused(self) -> bool:
        """Whether something is wanted that could not be served."""
        return self._failed is not None

    def succeeded(self, what: What) -> None:
        """It is served now."""
        self.served, self._failed, self._pause = what, None, RETRY_SECONDS

    def failed(self, what: What, by_chance: bool = False) -> None:
        """It could not be served: it is tried again later, unless something else is wanted by then.

        `by_chance`: perhaps it was not the model's fault. Then it is tried again at once, the first time.
        """
        again = what == self._failed
        self._pause = min(2 * self._pause, MOST_RETRY_SECONDS) if again else RETRY_SECONDS
        pause = 0.0 if by_chance and not again else self._pause
        self._failed, self._again = what, time.monotonic() + pause

    def _complain(self, text: str) -> None:
        if text != self._silent:
            print(f"headrace: {text}", file=sys.stderr, flush=True)
        self._silent = text


def swap(
    what: Target | Plan,
    settings: Settings,
    workers: Mapping[int, socket.socket],
    stopping: Callable[[], bool],
    before: Plan | None = None,
) -> None:
    """Has all workers answer by another plan, or none of them.

    Args:
        what: the model, or a plan of several.
        settings: of the server.
        workers: process id -> the parent's end of the line to that worker.
        stopping: whether the server is being stopped.
        before: the plan that they answer by; what it has loaded is not tried again.

    Raises:
        SwapFailed: with the reason; every worker goes on with the model it has.
        Stopped: the server is being stopped.
    """
    try:
        plan = planned(what)
        if new := tuple(Member(target) for target in plan.targets if before is None or target not in before.targets):
            _try(Plan(new), settings, stopping)
        _ask(workers, {"do": "prepare", "plan": plan.to_dict(), "seconds": LOAD_SECONDS}, stopping)
    except SwapFailed as error:
        discard(workers, str(error), stopping)
        raise
    _ask(workers, {"do": "switch"}, stopping, lenient=True)


def discard(workers: Mapping[int, socket.socket], reason: str, stopping: Callable[[], bool]) -> None:
    """Has all workers forget what they loaded, and say why when they are asked what they serve."""
    _ask(workers, {"do": "discard", "reason": reason}, stopping, lenient=True)


def on_its_own() -> None:
    """Makes a fork of the parent heed signals as any process does, and not as the parent of the workers."""
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _try(plan: Plan, settings: Settings, stopping: Callable[[], bool]) -> None:
    """Loads the model in a process of its own, which ends then."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        forked(lambda: _tried(plan, settings, theirs))
    theirs.close()
    with ours:
        try:
            error = _answer(ours, None, time.monotonic() + LOAD_SECONDS, stopping)
        finally:
            with suppress(ProcessLookupError):
                # What hangs would be waited for without an end. An answer has been read, and a status is not changed.
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
    if error is None:
        code = os.waitstatus_to_exitcode(status)
        error = f"{_NEVER_ANSWERED} the end of the process that tried, with status {code}"
    if error:
        raise SwapFailed(error)


def _tried(plan: Plan, settings: Settings, line: socket.socket) -> None:
    """What the process that tries does."""
    on_its_own()
    os.nice(5)  # who answers requests comes first
    from headrace.serving.load_limits import limited
    from headrace.serving.switch import load, reason

    try:
        with limited(plan, settings.load_memory, 2 * LOAD_SECONDS):  # the parent ends it before that
            load(plan, settings)
        told: dict[str, Any] = {}
    except Exception as error:  # noqa: BLE001 (whatever a model does when it is loaded is its refusal)
        told = {"error": reason(error)}
    with suppress(OSError):  # the parent has gone, or no longer waits
        line.sendall(json.dumps(told).encode())


def _ask(
    workers: Mapping[int, socket.socket], order: dict[str, Any], stopping: Callable[[], bool], *, lenient: bool = False
) -> None:
    """Sends an order to all workers and waits for all; `lenient` passes over those that have died."""
    number = next(_NUMBERS)
    message = json.dumps({**order, "number": number}).encode()
    asked = {}
    for pid, line in workers.items():
        try:
            line.sendall(message)
            asked[pid] = line
        except OSError:
            if not lenient:
                raise WorkerEnded(f"worker {pid}: {_NEVER_ANSWERED} its end") from None
    deadline, errors, ended = time.monotonic() + LOAD_SECONDS, [], []
    for pid, line in asked.items():
        error = _answer(line, number, deadline, stopping)
        if error is None:
            ended += [] if lenient else [f"worker {pid}: {_NEVER_ANSWERED} its end"]
        errors += [error] if error else []
    if errors:
        raise SwapFailed(errors[0])
    if ended:
        raise WorkerEnded(ended[0])


def _answer(line: socket.socket, number: int | None, deadline: float, stopping: Callable[[], bool]) -> str | None:
    """The error that a process tells, empty where it is content; None where it has ended."""
    while True:
        while not select.select([line], [], [], _LOOK_SECONDS)[0]:
            if stopping():
                raise Stopped
            if time.monotonic() > deadline:
                return f"{_NEVER_ANSWERED} nothing for {LOAD_SECONDS:g} seconds"
        try:
            message = line.recv(_LONGEST)
        except OSError:
            return None
        if not message:
            return None
        answer = json.loads(message)
        if answer.get("number") == number:
            return str(answer.get("error", ""))
