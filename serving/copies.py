"""Copies of requests on their way from the workers to a shadow, which must not hold anybody up.

A line is a socket whose queue the kernel bounds: what does not fit is dropped and counted, and nobody ever waits. A
large body goes as an anonymous file; how many bytes of those wait is counted in memory that the processes share, each
of whose words has one writer. The line outlives the process that listens: the next one goes on with what waits.
"""

from __future__ import annotations

import importlib
import mmap
import os
import socket
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from headrace.serving.exchange import Request

MOST_SHADOWS = 4  # at a time; each is a process
WAITING = 64 * 1024 * 1024  # bytes of large bodies that wait on one line, of one worker, at most
_INLINE = 32 * 1024  # bytes of a body that goes through the socket itself
_MESSAGE = 64 * 1024
_HEADERS = (b"content-type", b"inference-header-content-length", b"traceparent")  # a token is nobody else's business


class Copy(NamedTuple):
    """One request, as a shadow sees it."""

    request: Request
    codec: str  # module:name of the protocol's codec


class _Message(msgspec.Struct, array_like=True, gc=False):
    sender: int
    size: int  # of a body in a file of its own; 0: it is here
    id: bytes
    method: str
    path: str
    query: bytes
    key: bytes
    headers: list[tuple[bytes, bytes]]
    codec: str
    body: bytes


_decode = msgspec.msgpack.Decoder(_Message).decode
_encode = msgspec.msgpack.Encoder().encode


class Line:
    """From all workers to one shadow; made before they are forked."""

    def __init__(self, senders: int) -> None:
        self._in, self._out = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._in.setblocking(False)
        self._map = mmap.mmap(-1, 16 * senders)
        self._bytes = memoryview(self._map).cast("q")  # by sender: what it sent, and what was received of it

    def send(self, message: _Message) -> bool:
        """Sends a copy, or drops it; says which."""
        size = len(message.body)
        if size <= _INLINE:
            return self._send(_encode(message))
        sent = 2 * message.sender
        if self._bytes[sent] - self._bytes[sent + 1] + size > WAITING:
            return False
        file = os.memfd_create("headrace-copy", os.MFD_CLOEXEC)
        try:
            _write(file, message.body)
            message.size, message.body = size, b""
            done = self._send(_encode(message), file)
        except OSError:  # no memory for it
            return False
        finally:
            os.close(file)
        if done:
            self._bytes[sent] += size
        return done

    def _send(self, data: bytes, *files: int) -> bool:
        if len(data) > _MESSAGE:
            return False
        try:
            if files:
                socket.send_fds(self._in, [data], files)
            else:
                self._in.send(data)
        except OSError:  # full
            return False
        return True

    def receive(self) -> Copy:
        """The next copy, waited for."""
        data, files, _, _ = socket.recv_fds(self._out, _MESSAGE, 1)
        message = _decode(data)
        body = message.body
        if message.size:
            self._bytes[2 * message.sender + 1] += message.size
            with os.fdopen(files[0], "rb") as file:
                file.seek(0)
                body = file.read()
        request = Request(message.method, message.path, body, dict(message.headers), message.query)
        request.id, request.key = message.id, message.key
        return Copy(request, message.codec)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


class Copies:
    """One worker's side: copies go out once the answer has."""

    def __init__(self, lines: Sequence[Line], sender: int) -> None:
        self._lines = lines
        self._sender = sender
        self._loop: AbstractEventLoop | None = None
        self._thread = 0
        self.dropped: Callable[[], object] = lambda: None  # told of each copy that was dropped

    def listen(self, loop: AbstractEventLoop) -> None:
        """Sends in this loop, which runs in the caller's thread, from now on."""
        self._loop, self._thread = loop, threading.get_ident()

    def take(self, request: Request, codec: Callable[..., Any], shadows: int) -> None:
        """Has a request that was answered copied to the first so many lines; from any thread."""
        if self._loop is None:
            return
        here = threading.get_ident() == self._thread
        later = self._loop.call_soon if here else self._loop.call_soon_threadsafe  # the latter is a system call
        later(self._send, request, f"{codec.__module__}:{codec.__qualname__}", shadows)

    def _send(self, request: Request, codec: str, shadows: int) -> None:
        headers = [(name, request.headers[name]) for name in _HEADERS if name in request.headers]
        for line in self._lines[:shadows]:
            message = _Message(
                self._sender, 0, request.id, request.method, request.path, request.query, request.key, headers, codec,
                request.body,
            )  # fmt: skip
            if not line.send(message):
                self.dropped()


def codec_of(name: str) -> Callable[[Any], Any]:
    """The codec that a worker named."""
    module, _, attribute = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
