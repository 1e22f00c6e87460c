"""Several server processes on one port: the kernel deals out the connections (SO_REUSEPORT).

The parent loads no model. It forks the workers, starts another where one dies, has all of them change their model where
another is to be served (see `serving.swap`), and passes a stop on to all.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from headrace.artifacts.errors import HeadraceError
from headrace.serving.board import Board
from headrace.serving.copies import MOST_SHADOWS
from headrace.serving.forked import forked
from headrace.serving.log_process import LogProcess, check_omitted, slots
from headrace.serving.protocols.grpc.port import claimed
from headrace.serving.server import announce, bind, run, stop_with
from headrace.serving.settings import Settings
from headrace.serving.shadow import Shadows
from headrace.serving.swap import Follower, Stopped, WorkerEnded, discard, on_its_own, swap
from headrace.serving.target import POLL_SECONDS, Follow, Plan, changed_inputs, planned
from headrace.serving.telemetry import Place

YOUNG_SECONDS = 5.0  # a worker that dies so soon may die of what the next one dies of
MOST_YOUNG = 8  # such deaths in a row, until the server gives up
_PAUSE, _MOST_PAUSE = 0.25, 5.0  # seconds before the worker after such a one is started: longer each time


def serve_many(
    plan: Plan,
    settings: Settings,
    on_ready: Callable[[str], object] | None = None,
    follow: Follow | None = None,
) -> None:
    """Serves with `settings.workers` processes until SIGTERM or SIGINT; with `follow` whatever that says.

    Raises:
        HeadraceError: the bundle is refused, the address is taken, or a worker died as soon as it started.
    """
    probe = bind(settings.host, settings.port, listen=True)  # fails where a shared socket would join a stranger's
    settings = replace(settings, port=probe.getsockname()[1])
    probe.close()
    reserved = bind(settings.host, settings.port, shared=True)  # keeps the port while workers come and go
    settings, reserved_rpc = claimed(settings, shared=True)
    workers = _Workers(plan, settings, follow)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: workers.stop())
    # A child's end is waited for with a limit; blocked, the signal of an end that comes before stays there.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        for _ in range(settings.workers):
            workers.start()
        workers.shadow()
        if not workers.stopping:
            announce(workers.opened, reserved, on_ready, settings)
        workers.watch()
    finally:
        workers.stop()
        reserved.close()
        workers.finish()
        if reserved_rpc:
            reserved_rpc.close()


@dataclass(frozen=True)
class _Worker:
    started: float  # by the monotonic clock
    line: socket.socket  # our end of what it is told through
    number: int  # its place, which the one that replaces it takes


class _Workers:
    def __init__(self, plan: Plan, settings: Settings, follow: Follow | None) -> None:
        self.opened = plan.open()
        self._settings = settings
        self._follower = Follower(lambda: planned(follow()), plan) if follow else None
        self._parent = os.getpid()
        self._running: dict[int, _Worker] = {}  # by process id
        self._board = Board(slots(settings))
        if settings.log_dir:
            check_omitted(settings, self.opened.main.signature)
        self._log = LogProcess(settings, self._board) if settings.log_dir else None
        log = self._log.line if self._log is not None else None
        numbers = range(settings.workers, settings.workers + MOST_SHADOWS)
        # A server whose plan is for ever, and has no shadow, needs no lines to any.
        wanted = numbers if follow is not None or plan.shadows else ()
        self._shadows = Shadows(settings, [Place(self._board, number, log) for number in wanted])
        self._young = 0  # workers in a row that died young
        self._due: list[float] = []  # when others are to be started, by the monotonic clock
        self.stopping = False

    def start(self) -> None:
        """Forks one worker and waits until it can answer."""
        taken = {worker.number for worker in self._running.values()}
        number = min(set(range(len(taken) + 1)) - taken)
        log = self._log.line if self._log is not None else None
        place = Place(self._board, number, log, self._shadows.lines)
        ready, answer = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            for line in (ours, *(worker.line for worker in self._running.values())):
                line.close()
            forked(lambda: self._work(answer, theirs, place))
        theirs.close()
        self._running[pid] = _Worker(time.monotonic(), ours, place.number)
        os.close(answer)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read(1)
        if not said and not self.stopping:
            raise HeadraceError("worker: expected it to load the model. Received: its end; see above")
        if self.stopping:
            self.stop()

    def _work(self, answer: int, line: socket.socket, place: Place) -> None:
        on_its_own()
        stop_with(self._parent)
        if self._log is not None:
            self._log.leave()
        listener = bind(self._settings.host, self._settings.port, shared=True)
        run(self.opened, self._settings, listener, ready=lambda: _say(answer), control=line, place=place)

    def shadow(self) -> None:
        """Starts the shadows, after what answers."""
        if not self.stopping:
            self._shadows.follow(self.opened.plan.shadows)

    def watch(self) -> None:
        """Replaces workers that die and models that are no longer wanted, until all have ended after a stop."""
        while self._running or self._due:
            signal.sigtimedwait({signal.SIGCHLD}, POLL_SECONDS)
            for pid in list(self._running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self._replace(pid, os.waitstatus_to_exitcode(status))
            self._start_due()
            if self._log is not None and not self.stopping:
                self._log.watch()
            if not self.stopping:
                self._shadows.watch()
            if self._follower and not self.stopping:
                self._look(self._follower)

    def _replace(self, pid: int, code: int) -> None:
        """Has another worker started for one that has ended, unless that was asked for.

        At once, but for one that died young: a model that crashes its process at some requests may not end the server,
        and may not have it do nothing but load models.

        Raises:
            HeadraceError: too many died young, one after the other.
        """
        ended = self._running.pop(pid)
        ended.line.close()
        if self.stopping:
            return
        age = time.monotonic() - ended.started
        self._young = self._young + 1 if age < YOUNG_SECONDS else 0
        if self._young > MOST_YOUNG:
            message = f"expected it to live. Received: its end with status {code} after {age:.1f} seconds"
            raise HeadraceError(f"worker {pid}: {message}, like the {MOST_YOUNG} before it")
        pause = min(_PAUSE * 2 ** (self._young - 1), _MOST_PAUSE) if self._young else 0.0
        when = f" in {pause:g} s" if pause else ""
        print(f"headrace: worker {pid} ended with status {code}; starting another{when}", file=sys.stderr, flush=True)
        self._due.append(time.monotonic() + pause)

    def _start_due(self) -> None:
        """Starts the workers whose time has come."""
        now = time.monotonic()
        ready = [] if self.stopping else [due for due in self._due if due <= now]
        self._due = [] if self.stopping else [due for due in self._due if due > now]
        for _ in ready:
            with suppress(HeadraceError):  # it ended while it loaded, and is replaced like any other
                self.start()

    def _look(self, follower: Follower[Plan]) -> None:
        """Changes the model where another is to be served."""
        lines = {pid: worker.line for pid, worker in self._running.items()}
        refused, plan = follower.refused, follower.wanted()
        if plan is None:
            if refused and not follower.refused:  # what is served is wanted again
                with suppress(Stopped):
                    discard(lines, "", lambda: self.stopping)
            return
        before = self.opened
        try:
            swap(plan, self._settings, lines, lambda: self.stopping, before.plan)
            self.opened = plan.open(verify=False)  # what workers that are started from now on serve
        except Stopped:
            return
        except HeadraceError as error:
            follower.failed(plan, by_chance=isinstance(error, WorkerEnded))
            reason = str(error).rstrip(".")
            told = f"{plan} of {before.main.name} is not served: {reason}. {before.titled()} goes on"
            print(f"headrace: {told}", file=sys.stderr, flush=True)
            return
        follower.succeeded(plan)
        self._shadows.follow(plan.shadows)
        other = changed_inputs(before.main, self.opened.main)
        print(
            f"headrace: now serving {self.opened.titled()}{f'; expects requests {other}' if other else ''}", flush=True
        )

    def finish(self) -> None:
        """Ends the shadows, and lets the request log write what all have left."""
        self._shadows.stop()
        if self._log is not None:
            self._log.finish()

    def stop(self) -> None:
        """Asks every worker to finish what it has and end."""
        self.stopping = True
        for pid in list(self._running):
            os.kill(pid, signal.SIGTERM)


def _say(answer: int) -> None:
    os.write(answer, b"1")
    os.close(answer)
