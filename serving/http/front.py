"""What the connections of a process share: the limits, the turns, who is let in, and the end."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httptools

from headrace.serving.exchange import Answer, HttpError, Request
from headrace.serving.http.connection import IDLE, Connection
from headrace.serving.http.turns import RETRY_AFTER, Turns
from headrace.serving.settings import Settings

if TYPE_CHECKING:
    from headrace.serving.http.access_log import AccessLog
    from headrace.serving.http.tls import Certificates
    from headrace.serving.http.token import Guard

BACKLOG = 2048
ROUND_SECONDS = 0.25  # between two looks at all connections
_HANDSHAKE_SECONDS = 10.0
_ADDRESSES = 1024  # paths that are remembered
_QUEUED_SECONDS = 0.05  # for which a server that stops lets in those who are connected already
_GRACE_SECONDS = 1.0  # for which a server that stops waits for a client that has asked just now
_FILES = 128  # that a process has open besides its connections
_OPERATIONS = ("/metrics", "/v2/health/live", "/v2/health/ready")


class Front:
    """Answers the requests that come to a listening socket."""

    def __init__(self, answer: Callable[[Request], Answer], settings: Settings, count: Callable[[int], object]) -> None:
        """Within a running event loop.

        Args:
            answer: of a request; raises nothing.
            settings: the limits.
            count: is called with the status of each refusal that `answer` did not give.

        Raises:
            HeadraceError: the token's file or a certificate cannot be used.
        """
        self.answer, self.count, self.settings = answer, count, settings
        self.loop = asyncio.get_running_loop()
        self.max_body = settings.max_body
        self.turns = Turns(self.loop, settings.max_wait, settings.max_requests)
        self.always = frozenset((*settings.health_routes, *_OPERATIONS))  # answered also when there is much to do
        self.connections: set[Connection] = set()
        self.came = 0  # connections, from the beginning
        self.tell: Callable[[int, int, int, int], object] | None = (
            None  # at each look: connections, `came`, requests, queued
        )
        self.draining = False
        self.now = monotonic()  # of the last round
        self.guard: Guard | None = None
        self.log: AccessLog | None = None
        self._certificates: Certificates | None = None
        self._addresses: dict[bytes, tuple[str, bytes]] = {}
        self._methods: dict[bytes, str] = {}
        self._held, self._room = 0, max(settings.max_buffer, settings.max_body)
        self._idle: list[Connection] = []
        self._most = most_connections(settings.max_connections)
        seconds = min(settings.head_seconds, settings.body_seconds, settings.write_seconds, settings.idle_seconds)
        self._round = min(ROUND_SECONDS, seconds / 4)
        self._open(settings)

    def _open(self, settings: Settings) -> None:
        """Imports what is asked for only."""
        if settings.token_file:
            from headrace.serving.http.token import Guard, open_routes

            self.guard = Guard(settings.token_file, open_routes(settings))
        if settings.access_log:
            from headrace.serving.http.access_log import AccessLog

            self.log = AccessLog()
        if settings.tls_cert:
            from headrace.serving.http.tls import Certificates

            self._certificates = Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)

    async def listen(self, listener: socket.socket) -> None:
        """Lets clients in."""
        secure: ssl.SSLContext | None = self._certificates.context if self._certificates else None
        self._server = await self.loop.create_server(
            lambda: Connection(self),
            sock=listener,
            backlog=BACKLOG,
            ssl=secure,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if secure else None,
        )
        self._look()

    async def stop(self) -> None:
        """Lets nobody in any more, answers what is in progress, and returns when all connections have ended.

        A client that has asked just now gets the answer to one more request, which tells it that the connection ends:
        it may have sent it already.
        """
        self.draining = True
        await asyncio.sleep(_QUEUED_SECONDS)
        self._server.close()
        began = monotonic()
        while self.connections and (now := monotonic()) < began + self.settings.drain_seconds:
            patience = _GRACE_SECONDS if now < began + _GRACE_SECONDS else 0.0
            for connection in list(self.connections):
                connection.drain(now, patience)
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        self._rounds.cancel()
        if self.log is not None:
            self.log.close()

    def _look(self) -> None:
        """Looks at all connections, again and again."""
        now = self.now = monotonic()
        idle = []
        for connection in list(self.connections):
            connection.look(now - self._round)
            if connection.state == IDLE and not connection.busy:
                idle.append(connection)
        idle.sort(key=lambda one: one.since, reverse=True)
        self._idle = idle
        if self.guard is not None:
            self.guard.look()
        if self._certificates is not None:
            self._certificates.look()
        if self.tell is not None:
            self.tell(len(self.connections), self.came, self.turns.waiting, self.turns.queued)
        self._rounds = self.loop.call_later(self._round, self._look)

    # What a connection asks.

    def admit(self, connection: Connection) -> HttpError | None:
        """Counts a new connection; the reason if there are too many, and none of them is idle."""
        self.connections.add(connection)
        self.came += 1
        if len(self.connections) <= self._most:
            return None
        while self._idle:
            idle = self._idle.pop()
            if idle is not connection and idle.drain(self.now, self._round):
                return None
        if len(self.connections) > self._most + _FILES // 2:
            connection.abort()
            return None
        message = f"server: expected at most {self._most} connections. Received: one more; ask again later"
        return HttpError(503, message, close=True, headers=RETRY_AFTER)

    def hold(self, size: int) -> bool:
        """Counts bytes of bodies that come in pieces; whether there is room for them."""
        self._held += size
        return self._held <= self._room

    def address(self, url: bytes) -> tuple[str, bytes]:
        """A request's path, decoded, and its query.

        Raises:
            HttpError: it is no address.
        """
        found = self._addresses.get(url)
        if found is None:
            try:
                parsed = httptools.parse_url(url)
                path = unquote((parsed.path or b"/").decode("latin-1"))
                found = path, parsed.query or b""
            except httptools.HttpParserError:
                shown = url[:80].decode("latin-1")
                raise HttpError(400, f"path: expected one such as /predict. Received: {shown}", close=True) from None
            if len(self._addresses) >= _ADDRESSES:
                self._addresses.clear()
            if len(url) < 256:
                self._addresses[url] = found
        return found

    def method(self, name: bytes) -> str:
        """A method's name as text; there are few."""
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = name.decode("ascii")
        return found


def most_connections(wanted: int) -> int:
    """How many connections a process can have: as many as wanted, or as the system lets it open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - _FILES)
    return wanted
