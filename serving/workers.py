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
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from headrace.artifacts.errors import HeadraceError
from headrace.serving.server import announce, bind, run, stop_with
from headrace.serving.settings import Settings
from headrace.serving.swap import Follower, Stopped, discard, on_its_own, swap
from headrace.serving.target import POLL_SECONDS, Follow, Target, changed_inputs, titled

YOUNG_SECONDS = 5.0  # a worker that dies so soon would only die again


def serve_many(
    target: Target,
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
    workers = _Workers(target, settings, follow)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: workers.stop())
    # A child's end is waited for with a limit; blocked, the signal of an end that comes before stays there.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        for _ in range(settings.workers):
            workers.start()
        if not workers.stopping:
            announce(workers.bundle, reserved, on_ready)
        workers.watch()
    finally:
        workers.stop()
        reserved.close()


@dataclass(frozen=True)
class _Worker:
    started: float  # by the monotonic clock
    line: socket.socket  # our end of what it is told through


class _Workers:
    def __init__(self, target: Target, settings: Settings, follow: Follow | None) -> None:
        self.bundle = target.open()
        self._settings = settings
        self._follower = Follower(follow, target) if follow else None
        self._parent = os.getpid()
        self._running: dict[int, _Worker] = {}  # by process id
        self.stopping = False

    def start(self) -> None:
        """Forks one worker and waits until it can answer."""
        ready, answer = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            for line in (ours, *(worker.line for worker in self._running.values())):
                line.close()
            self._work(answer, theirs)
        theirs.close()
        self._running[pid] = _Worker(time.monotonic(), ours)
        os.close(answer)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read(1)
        if not said and not self.stopping:
            raise HeadraceError("worker: expected it to load the model. Received: its end; see above")
        if self.stopping:
            self.stop()

    def _work(self, answer: int, line: socket.socket) -> None:
        status = 1
        try:
            on_its_own()
            stop_with(self._parent)
            listener = bind(self._settings.host, self._settings.port, shared=True)
            run(self.bundle, self._settings, listener, ready=lambda: _say(answer), control=line)
            status = 0
        except HeadraceError as error:
            print(f"error: {error}", file=sys.stderr)
        except BaseException:  # noqa: BLE001 (a fork must never return into its parent's code)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def watch(self) -> None:
        """Replaces workers that die and models that are no longer wanted, until all have ended after a stop."""
        while self._running:
            signal.sigtimedwait({signal.SIGCHLD}, POLL_SECONDS)
            for pid in list(self._running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self._replace(pid, os.waitstatus_to_exitcode(status))
            if self._follower and not self.stopping:
                self._look(self._follower)

    def _replace(self, pid: int, code: int) -> None:
        """Starts another worker for one that has ended, unless that was asked for."""
        ended = self._running.pop(pid)
        ended.line.close()
        if self.stopping:
            return
        age = time.monotonic() - ended.started
        if age < YOUNG_SECONDS:
            message = f"expected it to live. Received: its end with status {code} after {age:.1f} seconds"
            raise HeadraceError(f"worker {pid}: {message}")
        print(f"headrace: worker {pid} ended with status {code}; starting another", file=sys.stderr, flush=True)
        self.start()

    def _look(self, follower: Follower) -> None:
        """Changes the model where another is to be served."""
        lines = {pid: worker.line for pid, worker in self._running.items()}
        refused, target = follower.refused, follower.wanted()
        if target is None:
            if refused and not follower.refused:  # what is served is wanted again
                with suppress(Stopped):
                    discard(lines, "", lambda: self.stopping)
            return
        before = self.bundle
        try:
            swap(target, self._settings, lines, lambda: self.stopping)
            self.bundle = target.open(verify=False)  # what workers that are started from now on serve
        except Stopped:
            return
        except HeadraceError as error:
            follower.failed(target)
            reason = str(error).rstrip(".")
            told = f"{target} of {self.bundle.name} is not served: {reason}. {titled(self.bundle)} goes on"
            print(f"headrace: {told}", file=sys.stderr, flush=True)
            return
        follower.succeeded(target)
        other = changed_inputs(before, self.bundle)
        print(
            f"headrace: now serving {titled(self.bundle)}{f'; expects requests {other}' if other else ''}", flush=True
        )

    def stop(self) -> None:
        """Asks every worker to finish what it has and end."""
        self.stopping = True
        for pid in list(self._running):
            os.kill(pid, signal.SIGTERM)


def _say(answer: int) -> None:
    os.write(answer, b"1")
    os.close(answer)
