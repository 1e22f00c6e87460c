"""A request and its answer, as the routes see them: nothing here knows of sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from headrace.serving.served import Served

JSON = b"application/json"

Pairs: TypeAlias = tuple[tuple[bytes, bytes], ...]


class Request:
    """One request, whole: its body was read within the limits before anything sees it."""

    __slots__ = ("began", "body", "headers", "id", "key", "method", "path", "peer", "query", "served")

    def __init__(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[bytes, bytes] | None = None,
        query: bytes = b"",
        peer: str = "",
    ) -> None:
        self.method = method
        self.path = path  # decoded
        self.body = body
        self.headers: Mapping[bytes, bytes] = headers if headers is not None else {}  # by lower-case name
        self.query = query
        self.peer = peer  # the client's address; empty where it has none
        self.began = 0.0  # when work on a prediction request began, by `time.perf_counter`
        self.id = b""  # of a prediction request, once it has one; see `serving.observe`
        self.key = b""  # by which that version was chosen; empty where none was given, or one version answers all
        self.served: Served | None = None  # the version that a prediction request is answered by, once it is chosen


class Response(NamedTuple):
    """One answer, whole."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Pairs = ()  # beyond the type and the length
    close: bool = False  # whether the connection ends with it


class Soon:
    """An answer that comes before this turn of the event loop ends: no task is made for it. It may be awaited, too."""

    __slots__ = ("_then", "response")

    def __init__(self) -> None:
        self.response: Response | None = None  # once it is there
        self._then: Callable[[Response], object] | None = None

    def then(self, call: Callable[[Response], object]) -> None:
        """Has the answer handed over once it is there."""
        self._then = call

    def settle(self, response: Response) -> None:
        """This is the answer."""
        self.response = response
        if self._then is not None:
            self._then(response)

    def __await__(self) -> Generator[Any, None, Response]:
        if self.response is None:
            future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
            self._then = lambda response: None if future.done() else future.set_result(response)
            return (yield from future.__await__())
        return self.response


Answer: TypeAlias = "Response | Soon | Awaitable[Response]"
Handler: TypeAlias = Callable[[Request], Answer]
"""Answers a request; one that need not wait returns the answer itself, and no task is made for it."""


class HttpError(Exception):
    """Why a request is not answered with 200, with a message for the client.

    `close` ends the connection, because the request was not read to its end.
    """

    def __init__(self, status: int, message: str, close: bool = False, headers: Pairs = ()) -> None:
        super().__init__(message)
        self.status = status
        self.close = close
        self.headers = headers
