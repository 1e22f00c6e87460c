"""The real server, in a process of its own, for as long as a block of code needs it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import EVERYBODY, Access, Client

START_SECONDS = 60.0
STOP_SECONDS = 5.0


class Running(NamedTuple):
    """A server that runs: where it answers, and its process."""

    url: str
    pid: int


@contextmanager
def running_server(
    bundle_path: Path | str, arguments: Sequence[str] = (), timeout: float = START_SECONDS, access: Access = EVERYBODY
) -> Iterator[str]:
    """Like `server_process`, yields the url alone."""
    with server_process(bundle_path, arguments, timeout, access) as running:
        yield running.url


@contextmanager
def server_process(
    bundle_path: Path | str, arguments: Sequence[str] = (), timeout: float = START_SECONDS, access: Access = EVERYBODY
) -> Iterator[Running]:
    """Starts `python -m headrace.serving` on a free port of this machine, waits until it is healthy, yields
    its url and process. `access` says whose certificate is believed, where `arguments` ask for TLS.

    The server is gone when the block is left, however it is left; and should this process be killed, it
    ends too.

    Raises:
        HeadraceError: the server did not start, or not in `timeout` seconds; the message has what it said.
    """
    command = [sys.executable, "-m", "headrace.serving", str(bundle_path)]
    command += ["--host", "127.0.0.1", "--port", "0", "--exit-with", str(os.getpid()), *arguments]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        try:
            url = _url(process, said, time.monotonic() + timeout)
            with Client(url, timeout, access) as client:
                client.request("GET", "/health")
            yield Running(url, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _url(process: subprocess.Popen[bytes], said: IO[bytes], deadline: float) -> str:
    """Reads the line with which the server says that it is ready."""
    output = process.stdout
    assert output is not None  # it was asked for
    ready, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
    line = output.readline().decode() if ready else ""
    if " at http://" in line or " at https://" in line:
        return line.rpartition(" at ")[2].strip()
    if not ready:
        raise HeadraceError("server: expected it to start in time. Received: nothing from it yet")
    process.wait(STOP_SECONDS)
    said.seek(0)
    message = said.read().decode(errors="replace").strip()
    received = message.removeprefix("error: ") or "its end"
    raise HeadraceError(f"server: expected it to start. Received: {received}")
