"""Requests that are handed on to a server of this machine, over connections that stay open.

It adds little to what the server itself takes: bytes go through as they are, on the event loop, without a thread.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

_MOST_IDLE = 64  # connections that are kept for one server
_SPACE = b" \t"


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: dict[bytes, bytes]  # by their names in small letters
    body: bytes


class Gone(Exception):
    """The server does not answer, or not in HTTP/1.1."""


class _Closed(Exception):
    """A connection that had been open was closed before it said anything."""


class Forwarder:
    """Connections to servers. For the event loop alone."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], list[_Connection]] = {}

    async def post(self, address: tuple[str, int], head: bytes, body: bytes) -> Answer:
        """Sends a request, and returns the answer.

        Args:
            address: host and port.
            head: the request line and its headers, without `Host` and `Content-Length`, each with its end of line.
            body: of the request.

        Raises:
            Gone: see there.
        """
        host = b"Host: %s:%d\r\nContent-Length: %d\r\n\r\n" % (address[0].encode(), address[1], len(body))
        idle = self._idle.setdefault(address, [])
        while idle:
            connection = idle.pop()
            if connection.open:
                try:
                    return await self._asked(connection, address, head + host, body)
                except _Closed:  # it was idle for longer than the server likes
                    continue
        try:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, *address)
        except OSError as error:
            raise Gone(str(error)) from None
        try:
            return await self._asked(connection, address, head + host, body)
        except _Closed:
            raise Gone("it closed the connection") from None

    async def _asked(self, connection: _Connection, address: tuple[str, int], head: bytes, body: bytes) -> Answer:
        try:
            answer = await connection.ask(head, body)
        except BaseException:
            connection.close()
            raise
        idle = self._idle.setdefault(address, [])
        if connection.open and len(idle) < _MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()
        return answer

    def forget(self, address: tuple[str, int]) -> None:
        """Closes the connections to a server that is gone."""
        for connection in self._idle.pop(address, []):
            connection.close()


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._head: tuple[int, dict[bytes, bytes]] | None = None
        self._length: int | None = None  # of the body; None where it comes in pieces, or ends with the connection
        self._chunks: list[bytes] = []
        self._place = 0  # in the buffer, of the next chunk

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # of TCP
        self._transport, self.open = transport, True

    def ask(self, head: bytes, body: bytes) -> asyncio.Future[Answer]:
        """Sends a request."""
        assert self._transport is not None  # it is open
        self._waiting = asyncio.get_running_loop().create_future()
        self._buffer.clear()
        self._chunks, self._place = [], 0
        self._head = None
        self._transport.writelines((head, body))
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiting is None or self._waiting.done():
            self.close()  # nothing was asked
            return
        try:
            answer = self._parsed()
        except ValueError as error:
            self._waiting.set_exception(Gone(f"it does not speak HTTP/1.1: {error}"))
            self.close()
            return
        if answer is not None:
            self._waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        if self._head is None:
            waiting.set_exception(_Closed() if not self._buffer else Gone("it closed the connection"))
        elif self._length is None and b"transfer-encoding" not in self._head[1]:
            waiting.set_result(Answer(*self._head, bytes(self._buffer)))  # its end is the body's
        else:
            waiting.set_exception(Gone("it closed the connection in the middle of an answer"))

    def close(self) -> None:
        """Ends it."""
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def _parsed(self) -> Answer | None:
        """The answer, once it is whole."""
        while self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            status, headers = _head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            if status >= 200:  # what comes before is no answer yet
                self._head = (status, headers)
                self._length = _size(headers[b"content-length"], 10) if b"content-length" in headers else None
                if status in (204, 304):
                    self._length = 0
        status, headers = self._head
        if headers.get(b"connection", b"").lower() == b"close":
            self.open = False
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            return Answer(status, headers, b"".join(self._chunks)) if self._unchunk() else None
        if self._length is None or len(self._buffer) < self._length:
            return None
        if len(self._buffer) > self._length:  # which nobody asked for
            self.open = False
        return Answer(status, headers, bytes(self._buffer[: self._length]))

    def _unchunk(self) -> bool:
        """Takes the chunks that are there; returns whether the last one is."""
        buffer = self._buffer
        while (end := buffer.find(b"\r\n", self._place)) >= 0:
            size = _size(bytes(buffer[self._place : end]).partition(b";")[0], 16)
            start = end + 2
            if size == 0:
                # Trailers may follow; an empty line ends it.
                return buffer.find(b"\r\n\r\n", end) == end or buffer.endswith(b"\r\n\r\n")
            if len(buffer) < start + size + 2:
                break
            self._chunks.append(bytes(buffer[start : start + size]))
            self._place = start + size + 2
        del buffer[: self._place]
        self._place = 0
        return False


def _head(text: bytes) -> tuple[int, dict[bytes, bytes]]:
    first, *lines = text.split(b"\r\n")
    protocol, _, rest = first.partition(b" ")
    if not protocol.startswith(b"HTTP/1."):
        raise ValueError(repr(first[:60]))
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip(_SPACE)
    return int(rest[:3]), headers


def _size(text: bytes, base: int) -> int:
    if (size := int(text, base)) < 0:
        raise ValueError(f"a size of {size}")
    return size
