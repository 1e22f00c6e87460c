"""Several server processes on one port: the kernel deals out the connections (SO_REUSEPORT).

The parent loads no model. It forks the workers, starts another where one dies, and passes a stop on to all.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving.server import announce, bind, run, stop_with
from headrace.serving.settings import Settings

YOUNG_SECONDS = 5.0  # a worker that dies so soon would only die again


def serve_many(bundle_path: Path, settings: Settings, on_ready: Callable[[str], object] | None = None) -> None:
    """Serves with `settings.workers` processes until SIGTERM or SIGINT.

    Raises:
        HeadraceError: the bundle is refused, the address is taken, or a worker died as soon as it started.
    """
    probe = bind(settings.host, settings.port, listen=True)  # fails where a shared socket would join a stranger's
    settings = replace(settings, port=probe.getsockname()[1])
    probe.close()
    reserved = bind(settings.host, settings.port, shared=True)  # keeps the port while workers come and go
    bundle = Bundle.open(bundle_path)
    workers = _Workers(bundle, settings)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: workers.stop())
    try:
        for _ in range(settings.workers):
            workers.start()
        if not workers.stopping:
            announce(bundle, reserved, on_ready)
        workers.watch()
    finally:
        workers.stop()
        reserved.close()


class _Workers:
    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self._bundle = bundle
        self._settings = settings
        self._parent = os.getpid()
        self._started: dict[int, float] = {}  # process id -> when
        self.stopping = False

    def start(self) -> None:
        """Forks one worker and waits until it can answer."""
        ready, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            self._work(answer)
        self._started[pid] = time.monotonic()
        os.close(answer)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read(1)
        if not said and not self.stopping:
            raise HeadraceError("worker: expected it to load the model. Received: its end; see above")
        if self.stopping:
            self.stop()

    def _work(self, answer: int) -> None:
        status = 1
        try:
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, signal.SIG_DFL)
            stop_with(self._parent)
            listener = bind(self._settings.host, self._settings.port, shared=True)
            run(self._bundle, self._settings, listener, ready=lambda: _say(answer))
            status = 0
        except HeadraceError as error:
            print(f"error: {error}", file=sys.stderr)
        except BaseException:  # noqa: BLE001 (a fork must never return into its parent's code)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def watch(self) -> None:
        """Replaces workers that die, until all have ended after a stop."""
        while self._started:
            pid, status = os.wait()
            age = time.monotonic() - self._started.pop(pid)
            if self.stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            if age < YOUNG_SECONDS:
                message = f"expected it to live. Received: its end with status {code} after {age:.1f} seconds"
                raise HeadraceError(f"worker {pid}: {message}")
            print(
                f"headrace: worker {pid} ended with status {code}; starting another",
                file=sys.stderr,
                flush=True,
            )
            self.start()

    def stop(self) -> None:
        """Asks every worker to finish what it has and end."""
        self.stopping = True
        for pid in list(self._started):
            os.kill(pid, signal.SIGTERM)


def _say(answer: int) -> None:
    os.write(answer, b"1")
    os.close(answer)
