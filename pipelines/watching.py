"""What a name means in a registry in a service, watched by a process of its own.

The clients of such services are large, and start threads: a server that forks its workers has neither. So the process
that is started here asks the service once a second, fetches the bundle of what is to be served into the home folder,
and says so in a line of JSON; the server only reads lines.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.plans import Asked, asked
from headrace.platforms.interface import ModelVersion
from headrace.serving.target import Plan, Target

SERVED = "served"  # in the home: bundles by their digest
_POLL_SECONDS = 1.0
_FIRST_SECONDS = 120.0  # for the first answer: a client's import, and a download
_RESTART_SECONDS = 30.0


class Watch:
    """Says what is to be served now; see `serving.target.Follow`."""

    def __init__(self, what: str | Asked, platform: str, home: Path) -> None:
        wanted = asked([what]) if isinstance(what, str) else what
        self._words = [json.dumps(wanted.to_dict()), platform, str(home), str(os.getpid())]
        self._platform = platform
        self._said: dict[str, Any] = {}
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "headrace.pipelines.watching", *self._words]
        self._rest = b""  # of a line that the one before did not end
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._started = time.monotonic()

    def first(self) -> Plan:
        """What is to be served, waited for.

        Raises:
            HeadraceError: nothing has that name, or the service does not answer.
        """
        deadline = time.monotonic() + _FIRST_SECONDS
        while not self._said and self._process.poll() is None and time.monotonic() < deadline:
            self._read(wait=0.2)
        return self()

    def __call__(self) -> Plan:
        """What was said last.

        Raises:
            HeadraceError: the service does not answer, or nothing has that name any more.
        """
        self._read(wait=0)
        if self._process.poll() is not None:
            if time.monotonic() - self._started > _RESTART_SECONDS:
                self._start()
            raise HeadraceError(f"{self._platform}: expected to watch it. Received: the end of the process that does")
        if "plan" not in self._said:
            raise HeadraceError(str(self._said.get("error") or f"{self._platform}: expected an answer. Received: none"))
        return Plan.from_dict(self._said["plan"])

    def _read(self, wait: float) -> None:
        """Takes in what was said since; the last whole line that is an answer counts."""
        output = self._process.stdout
        assert output is not None  # it was asked for
        while select.select([output], [], [], wait)[0]:
            piece = os.read(output.fileno(), 65536)
            if not piece:
                return
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                self._said = _answer(line) or self._said
            wait = 0

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait()


def _answer(line: bytes) -> dict[str, Any] | None:
    """What a line says; None for one of somebody else's: a library that prints must not end the server."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) and ("error" in said or isinstance(said.get("plan"), dict)) else None


def watch(what: Asked, platform: str, home: Path, output: int) -> None:
    """Says in a line of JSON what is to be served, as often as that changes; for ever.

    Args:
        what: was asked for.
        platform: the URI of the platform that knows it.
        home: where the bundles are put.
        output: the descriptor to write the lines to.

    Raises:
        HeadraceError: there is no such platform.
    """
    from headrace.pipelines.plans import resolve
    from headrace.platforms.open import open_platform

    opened, said = open_platform(platform, home), ""

    def fetch(found: ModelVersion) -> Target:
        folder = home / SERVED / found.digest.partition(":")[2]
        if not folder.exists():
            opened.registry.download(found.name, found.version, folder)
        return Target(folder, found.version)

    while True:
        try:
            plan = resolve(what, opened, fetch, f"in {platform}", strict=not said)
            answer: dict[str, Any] = {"plan": plan.to_dict()}
        except HeadraceError as error:
            answer = {"error": str(error)}
        line = json.dumps(answer)
        if line != said:
            _say(output, line)
        said = line
        time.sleep(_POLL_SECONDS)


def _say(output: int, line: str) -> None:
    os.write(output, f"{line}\n".encode())


def _own_output() -> int:
    """What was the standard output, for the answers alone: whatever else is printed goes to the standard error."""
    output = os.dup(1)  # which the processes that a client starts do not inherit
    os.dup2(2, 1)
    return output


if __name__ == "__main__":
    from headrace.serving.server import stop_with

    said_to = _own_output()
    stop_with(int(sys.argv[4]))
    try:
        watch(Asked.from_dict(json.loads(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), said_to)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(0)
    except HeadraceError as error:  # no such platform
        _say(said_to, json.dumps({"error": str(error)}))
        time.sleep(_FIRST_SECONDS)
