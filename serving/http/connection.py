"""One client's connection: bytes to requests, and answers to bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec

from headrace.serving.exchange import Answer, HttpError, Request, Response
from headrace.serving.settings import Settings

DRAINED = 4  # times the limit of a body that are read and thrown away: who is cut off while sending sees no answer
_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}


class Connection(asyncio.Protocol):
    """Answers requests one after the other, in the order in which they came."""

    def __init__(self, answer: Callable[[Request], Answer], settings: Settings, open_ones: set[Connection]) -> None:
        self._answer = answer
        self._settings = settings
        self._open = open_ones
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.closing = False
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        self._open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        self._stop_clock()
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse(HttpError(400, "expected HTTP/1.1. Received: an upgrade to another protocol", close=True))
        except HttpError as error:
            self._refuse(error)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, HttpError):
                self._refuse(error.__context__)
            else:
                self._refuse(HttpError(400, f"expected an HTTP/1.1 request. Received: {error}", close=True))

    # What httptools calls while it parses.

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._size = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        declared = self._headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > DRAINED * self._settings.max_body:
            limit = self._settings.max_body
            raise HttpError(413, f"body: expected at most {limit} bytes. Received: {int(declared)} bytes", close=True)
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._clock = self._loop.call_later(self._settings.body_seconds, self._late)

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        limit = self._settings.max_body
        if self._size > DRAINED * limit:
            raise HttpError(
                413, f"body: expected at most {limit} bytes. Received: more than {DRAINED * limit} bytes", close=True
            )
        if self._size <= limit:
            self._pieces.append(body)
        else:
            self._pieces.clear()

    def on_message_complete(self) -> None:
        self._stop_clock()
        keep = self._parser.should_keep_alive() and not self.closing
        url = httptools.parse_url(self._url)
        path = url.path.decode("latin-1")
        request = Request(
            self._parser.get_method().decode(),
            unquote(path) if "%" in path else path,
            self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces),
            self._headers,
            url.query or b"",
            self._peer,
        )
        if self._size > self._settings.max_body:
            limit = self._settings.max_body
            error = HttpError(413, f"body: expected at most {limit} bytes. Received: {self._size} bytes")
            self._write(_told(error), request.method, keep)
            return
        if self._task is not None:
            self._waiting.append((request, keep))
            return
        answer = self._answer(request)
        if isinstance(answer, Response):
            self._write(answer, request.method, keep)
        else:
            self._task = self._loop.create_task(self._later(answer, request, keep))

    async def _later(self, answer: Any, request: Request, keep: bool) -> None:
        self._write(await answer, request.method, keep)
        while self._waiting:
            request, keep = self._waiting.popleft()
            found = self._answer(request)
            self._write(found if isinstance(found, Response) else await found, request.method, keep)
        self._task = None

    def _late(self) -> None:
        expected = f"all of it within {self._settings.body_seconds:g} seconds"
        self._refuse(HttpError(408, f"body: expected {expected}. Received: {self._size} bytes", close=True))

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, error: HttpError) -> None:
        self._stop_clock()
        self._write(_told(error), "POST", keep=False)

    def _write(self, response: Response, method: str, keep: bool) -> None:
        keep = keep and not response.close and not self.closing
        lines = [_LINES[response.status], b"content-type: %b\r\n" % response.content_type]
        lines += [b"%b: %b\r\n" % pair for pair in response.headers]
        lines.append(b"content-length: %d\r\n" % len(response.body))
        lines.append(b"\r\n" if keep else b"connection: close\r\n\r\n")
        if method != "HEAD":
            lines.append(response.body)
        self._transport.write(b"".join(lines))
        if not keep:
            self._transport.close()

    def drain(self) -> None:
        """Closes the connection: at once where nothing is in progress, else with the last answer."""
        self.closing = True
        if self._task is None and self._clock is None:
            self._transport.close()


def _told(error: HttpError) -> Response:
    body = msgspec.json.encode({"error": str(error)})
    return Response(error.status, body, headers=error.headers, close=error.close)
