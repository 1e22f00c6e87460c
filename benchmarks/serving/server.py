"""A contender's process: pinned to a core, awaited until it answers, looked at, and ended with all it has started."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contenders import HERE, Contender

sys.path.insert(0, str(HERE.parent))
from memory import descendants, memory

START_SECONDS = 120.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """One that answers."""

    port: int
    pid: int
    cold_seconds: float  # from its start to its first answer
    first: bytes  # that answer

    def cpu_seconds(self) -> float:
        """Of the process and all that it has started, so far."""
        return sum(_cpu(pid) for pid in [self.pid, *descendants(self.pid)])

    def mebibytes(self) -> float:
        """Of the same, PSS."""
        return memory(self.pid)


@contextmanager
def running(contender: Contender, folder: Path, log: Path, core: int, body: bytes) -> Iterator[Server]:
    """Starts a contender on one core; when the block is left, nothing of it runs any more.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message has the end of its log.
    """
    port = _free_ports()
    # One core, and so one thread for whatever would start several.
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    }
    command = ["taskset", "-c", str(core), *contender.command(port, folder)]
    with log.open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        try:
            first = _first(process, port, contender.path, body, begun, log)
            yield Server(port, process.pid, time.perf_counter() - begun, first)
        finally:
            _end(process)


def _first(process: subprocess.Popen[bytes], port: int, path: str, body: bytes, begun: float, log: Path) -> bytes:
    received = "nothing"
    while time.perf_counter() < begun + START_SECONDS:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            if response.status == 200:
                return content
            received = f"{response.status} {content[:200]!r}"
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    said = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])[-600:]
    raise RuntimeError(f"no answer (received {received}); its log ends: {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Some leave processes behind when they are ended: those are remembered before."""
    family = [process.pid, *descendants(process.pid)]
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)


def _cpu(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / _TICK  # its own, and of children that have ended


def _free_ports() -> int:
    """The first of three free ports: some servers take the next ones too."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 60_000 and all(_free(port + place) for place in range(3)):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
