"""Shadows: versions that see copies of the requests, each in a process of its own, and answer nobody.

Nothing that such a version does reaches an answer: it may fail, hang, crash, or take all the memory it is allowed. It
comes after everybody else: with the lowest priority, and first in line where the system runs out of memory. What it
predicts is counted and logged like any answer, marked as a shadow's.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from headrace.serving.copies import MOST_SHADOWS, Copy, Line, codec_of
from headrace.serving.exchange import Request
from headrace.serving.forked import forked
from headrace.serving.metrics import Metrics
from headrace.serving.observe import Observer, observed
from headrace.serving.request import BadRequest
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.swap import MOST_RETRY_SECONDS, RETRY_SECONDS, on_its_own
from headrace.serving.target import Target
from headrace.serving.telemetry import Place, telemetry

_STEADY_SECONDS = 60.0  # after which a process that ends has not ended for the reason that the one before did
_END_SECONDS = 3.0
_TROUBLES = 5  # that one process prints in full


@dataclass
class _Running:
    """What one line is listened to by."""

    target: Target
    pid: int = 0  # 0: none runs
    started: float = 0.0
    pause: float = 0.0  # before it is started again
    again: float = 0.0  # when to start another, by the monotonic clock


class Shadows:
    """The parent's side: the processes, and others where they end."""

    def __init__(self, settings: Settings, places: Sequence[Place]) -> None:
        """`places` are the processes' among those of the server, as many as there may be shadows."""
        self.lines = [Line(settings.workers) for _ in places]
        self._settings = settings
        self._places = places
        self._running: dict[int, _Running] = {}  # by line

    def follow(self, targets: Sequence[Target]) -> None:
        """Has these versions see the copies from now on, the first those of the first line."""
        for target in targets[MOST_SHADOWS:]:
            _say(f"the shadow {target} is not served: expected at most {MOST_SHADOWS} at a time")
        wanted = dict(enumerate(targets[:MOST_SHADOWS]))
        for number in list(self._running):
            if self._running[number].target != wanted.get(number):
                _end(self._running.pop(number).pid)
        for number, target in wanted.items():
            if number not in self._running:
                self._running[number] = self._start(number, _Running(target))

    def watch(self) -> None:
        """Starts another process for one that has ended: not at once, and less and less often."""
        now = time.monotonic()
        for number, one in self._running.items():
            if one.pid:
                ended, status = os.waitpid(one.pid, os.WNOHANG)
                if ended:
                    steady = now - one.started > _STEADY_SECONDS
                    again = 0.0 if steady else one.pause  # one that was well for long begins anew
                    one.pause = min(max(2 * again, RETRY_SECONDS), MOST_RETRY_SECONDS)
                    one.pid, one.again = 0, now + one.pause
                    code = os.waitstatus_to_exitcode(status)
                    told = f"the shadow {one.target} ended with status {code}"
                    _say(f"{told}; it is started again in {one.pause:g} seconds")
            elif now >= one.again:
                self._start(number, one)

    def stop(self) -> None:
        """Ends all."""
        for one in self._running.values():
            if one.pid:
                with suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGTERM)
        for one in self._running.values():
            _end(one.pid, _END_SECONDS)
        self._running.clear()

    def _start(self, number: int, one: _Running) -> _Running:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        one.started, one.pid = time.monotonic(), os.fork()
        if one.pid == 0:
            line, place = self.lines[number], self._places[number]
            forked(
                lambda: _run(one.target, self._settings, line, place, parent),
                refused=lambda error: _say(f"the shadow {one.target} is not served: {error}"),
            )
        return one


def _end(pid: int, seconds: float = 0.0) -> None:
    """Ends a process, by force after so many seconds."""
    if not pid:
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _run(target: Target, settings: Settings, line: Line, place: Place, parent: int) -> None:
    """What the process of a shadow does."""
    from headrace.serving.server import stop_with

    on_its_own()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    last_in_line()
    stop_with(parent)
    _listen(target, settings, line, place)


def last_in_line() -> None:
    """Has the system prefer every other process, for its processors and when it has no memory left."""
    os.nice(19)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _listen(target: Target, settings: Settings, line: Line, place: Place) -> None:
    from headrace.serving.load_limits import limited
    from headrace.serving.verify import require_samples

    with limited(target, settings.load_memory):
        bundle = target.open()
        served = Served(bundle, settings)
        require_samples(served.scorer, bundle)
    limit_memory(settings.load_memory)
    metrics, observer = telemetry(settings, place)
    served.counted = metrics.version(bundle, shadow=True)
    served.counted.serves(0)
    served.variant = "shadow"
    scoring = Scoring(served, metrics, observer)
    try:
        while True:
            scoring.score(line.receive())
    finally:
        served.counted.retires()
        if observer is not None:
            observer.close()


def limit_memory(mebibytes: int) -> None:
    """Lets this process take so much more memory than it has, for all its life."""
    import resource

    held = next(
        int(row.split()[1]) for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmData")
    )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = held * 1024 + mebibytes * 1024 * 1024
    if hard == resource.RLIM_INFINITY or wanted < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))


class Scoring:
    """Scores copies, and tells the counters and the log."""

    def __init__(self, served: Served, metrics: Metrics, observer: Observer | None) -> None:
        self._served, self._metrics, self._observer = served, metrics, observer
        self._troubles = 0

    def score(self, copy: Copy) -> None:
        """Scores one; raises nothing but what ends the process."""
        request, served, begun = copy.request, self._served, perf_counter()
        try:
            inputs, _ = served.codec(codec_of(copy.codec)).decode(request)
            outputs = served.scorer.run(inputs)
        except Exception as error:  # noqa: BLE001 (whatever goes wrong is the shadow's, and counted)
            self._failed(request, error, perf_counter() - begun)
            return
        seconds = perf_counter() - begun
        if served.counted is not None:
            served.counted.scored(request.path, seconds, outputs, getattr(inputs, "unseen", 0))
        if self._observer is not None and self._observer.wants(request.id):
            self._observer.see(observed(request, served, seconds, inputs=inputs, outputs=outputs, shadow=True))

    def _failed(self, request: Request, error: Exception, seconds: float) -> None:
        refused = isinstance(error, BadRequest)
        status = 400 if refused else 500
        self._metrics.error_of("shadow")
        if self._served.counted is not None:
            self._served.counted.answered(request.path, status)
        if not refused and self._troubles < _TROUBLES:
            self._troubles += 1
            traceback.print_exception(error, file=sys.stderr)
        if self._observer is not None and self._observer.wants(request.id):
            told = str(error) or type(error).__name__
            self._observer.see(observed(request, self._served, seconds, status=status, error=told, shadow=True))


def _say(text: str) -> None:
    print(f"headrace: {text}", file=sys.stderr, flush=True)
