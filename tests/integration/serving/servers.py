"""Server processes for tests: starting, asking, and looking at them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

GOOD = {"tenure": 12, "spend per month": 1020.5, "is_new": True, "plan": "pro", "signup": "2022-03-01"}


def ask(
    url: str, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        text = response.read()
        kind = response.headers["content-type"]
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status, found, json.loads(text) if kind == "application/json" and text else text
    finally:
        connection.close()


@contextmanager
def process(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "headrace.serving", *map(str, arguments)]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def url_of(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    line = started.stdout.readline()
    assert " at http://" in line, started.communicate()
    return line.rpartition(" at ")[2].strip()


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def connect(url: str) -> socket.socket:
    host, _, port = urlsplit(url).netloc.partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_until(client: socket.socket, ending: bytes) -> bytes:
    received = b""
    while not received.endswith(ending):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def refused(*arguments: object, **environment: str) -> str:
    """What the server says when it will not start: one line, with exit code 1."""
    with process(*arguments, **environment) as started:
        out, err = started.communicate(timeout=30)
        assert (started.returncode, out, err.count("\n")) == (1, "", 1), err
        return err.strip()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
