"""The server's front before handlers made for tests, in a thread of this process."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from headrace.serving.exchange import Answer, Request, Response
from headrace.serving.http.front import Front
from headrace.serving.server import bind
from headrace.serving.settings import Settings


class Fronted:
    """A front that listens: what it counted, and its connections' other ends."""

    def __init__(self, front: Front, port: int, counted: list[int]) -> None:
        self.front, self.port, self.counted = front, port, counted
        self.seen: list[Request] = []

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, *pieces: bytes) -> bytes:
        """All that comes back until the server ends the connection, or is silent for as long as it would take."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return read_all(client)


def read_all(client: socket.socket, seconds: float = 10.0) -> bytes:
    client.settimeout(seconds)
    received = b""
    while True:
        try:
            piece = client.recv(1 << 20)
        except ConnectionResetError:
            return received + b"<reset>"
        if not piece:
            return received
        received += piece


def answers(received: bytes) -> list[int]:
    """The statuses in what was received."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


async def _slow(request: Request, seconds: float) -> Response:
    await asyncio.sleep(seconds)
    return Response(200, b"slow " + request.body)


def handle(request: Request) -> Answer:
    """/echo the body; /slow?0.1 it after that time; /busy?0.01 works so long; /large?1000 so many bytes."""
    if request.path == "/slow":
        return _slow(request, float(request.query))
    if request.path == "/busy":
        end = time.perf_counter() + float(request.query)
        while time.perf_counter() < end:
            pass
    if request.path == "/large":
        return Response(200, b"x" * int(request.query))
    return Response(200, request.body or request.path.encode())


@contextmanager
def fronted(answer: Any = handle, **limits: Any) -> Iterator[Fronted]:
    ready = threading.Event()
    made: list[Any] = []
    counted: list[int] = []

    async def serve() -> None:
        seen: list[Request] = []

        def noted(request: Request) -> Answer:
            seen.append(request)
            found: Answer = answer(request)
            return found

        stop = asyncio.Event()
        front = Front(noted, Settings(**{"drain_seconds": 2.0, **limits}), counted.append)
        listener = bind("127.0.0.1", 0, listen=True)
        await front.listen(listener)
        about = Fronted(front, listener.getsockname()[1], counted)
        about.seen = seen
        made.extend((about, asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await front.stop()

    def run() -> None:
        try:
            uvloop.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10) and made, "the front did not start"
    about, loop, stop = made
    try:
        yield about
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
        assert about.front._held == 0 and about.front.turns.waiting == 0 and not about.front.connections
