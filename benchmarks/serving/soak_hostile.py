"""A client that means harm, or is merely broken: slow, huge, invalid, half closed, greedy, gone."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soak import Run

_MOST_SECONDS = 3.0  # that one attack goes on


class Hostile(threading.Thread):
    """Attacks, one after the other; the answers that it gets are counted by their status."""

    def __init__(self, run: Run, port: int, bodies: list[bytes], seed: int) -> None:
        super().__init__(daemon=True)
        self._run, self._port, self._bodies = run, port, bodies
        self._random = random.Random(seed)
        self._attacks = (
            self.slow_head,
            self.slow_body,
            self.huge,
            self.endless_chunks,
            self.invalid_json,
            self.wrong_rows,
            self.garbage,
            self.half_closed,
            self.reset,
            self.greedy,
            self.idle,
        )

    def run(self) -> None:
        while not self._run.over.is_set():
            attack = self._random.choice(self._attacks)
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=_MOST_SECONDS) as client:
                    attack(client)
                    self._answers(client)
            except OSError:
                self._run.count("hostile: cut off")
            self._run.count(f"attacks: {attack.__name__.replace('_', ' ')}")

    def _answers(self, client: socket.socket) -> None:
        received = b""
        client.settimeout(0.5)
        with suppress(TimeoutError):
            while piece := client.recv(65536):
                received = received[-65536:] + piece
        statuses = re.findall(rb"HTTP/1\.[01] (\d{3})", received)
        for status in statuses[:1]:
            self._run.count(f"hostile: {status.decode()}")
        if not statuses:
            self._run.count("hostile: no answer")

    def _head(self, length: int) -> bytes:
        return b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length

    def _dripped(self, client: socket.socket, content: bytes) -> None:
        deadline = time.monotonic() + _MOST_SECONDS
        for byte in content:
            if time.monotonic() > deadline or self._run.over.is_set():
                return
            client.send(bytes([byte]))
            time.sleep(0.05)

    def slow_head(self, client: socket.socket) -> None:
        self._dripped(client, self._head(10) * 3)

    def slow_body(self, client: socket.socket) -> None:
        body = self._random.choice(self._bodies)
        client.sendall(self._head(len(body)))
        self._dripped(client, body)

    def huge(self, client: socket.socket) -> None:
        client.sendall(self._head(10**9))
        block, deadline = b" " * 2**20, time.monotonic() + _MOST_SECONDS
        while time.monotonic() < deadline:
            client.sendall(block)

    def endless_chunks(self, client: socket.socket) -> None:
        client.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        block, deadline = b"10000\r\n" + b" " * 0x10000 + b"\r\n", time.monotonic() + _MOST_SECONDS
        while time.monotonic() < deadline:
            client.sendall(block)

    def invalid_json(self, client: socket.socket) -> None:
        body = bytearray(self._random.choice(self._bodies))
        body[self._random.randrange(len(body))] = self._random.randrange(256)
        client.sendall(self._head(len(body)) + bytes(body))

    def wrong_rows(self, client: socket.socket) -> None:
        choices = (
            b"[" * 100_000,
            b'{"instances":[{}]}',
            b'{"instances":[[1,2]]}',
            b"\xff\xfe",
            b'{"instances":null}',
            b"",
        )
        body = self._random.choice(choices)
        client.sendall(self._head(len(body)) + body)

    def garbage(self, client: socket.socket) -> None:
        client.sendall(os.urandom(self._random.randrange(1, 4096)))

    def half_closed(self, client: socket.socket) -> None:
        body = self._random.choice(self._bodies)
        client.sendall(self._head(len(body)) + body[: self._random.randrange(len(body) + 1)])
        client.shutdown(socket.SHUT_WR)

    def reset(self, client: socket.socket) -> None:
        """Asks, and is gone without a farewell (RST) before the answer."""
        body = self._random.choice(self._bodies)
        client.sendall((self._head(len(body)) + body) * 20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise OSError("reset")

    def greedy(self, client: socket.socket) -> None:
        """Sends one request after the other and reads no answer."""
        body = self._random.choice(self._bodies)
        request = (self._head(len(body)) + body) * 50
        client.settimeout(_MOST_SECONDS)
        deadline = time.monotonic() + _MOST_SECONDS
        with suppress(TimeoutError):
            while time.monotonic() < deadline:
                client.sendall(request)

    def idle(self, client: socket.socket) -> None:
        time.sleep(self._random.random())
