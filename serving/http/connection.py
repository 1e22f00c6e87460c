"""One client's connection: bytes to requests, and answers to bytes, in the order of the requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

import httptools

from headrace.serving.exchange import HttpError, Request, Response, Soon
from headrace.serving.http import refusals
from headrace.serving.http.wire import CLOSE, CONTINUE, KEEP, TOLD, plain_head, told, written

if TYPE_CHECKING:
    from headrace.serving.http.front import Front

DRAINED = 4  # times the limit of a body that are read and thrown away: who is cut off while sending sees no answer
_PAUSED_AHEAD = 8  # such requests from which on no more is read from the client
_CUT = 499  # the status under which those are counted who do not read their answers
_REFUSED_SECONDS = 0.1  # after which a client is told that it would have to wait too long
_LINGER_SECONDS = 2.0  # for which is read on, and thrown away, what a client sends that was refused

IDLE, HEAD, BODY, LINGER, OVER = range(5)  # what is waited for from the client
_NO_REQUEST = Request("GET", "")


class Connection(asyncio.Protocol):
    """Answers requests one after the other; every limit on what a client may send is here or in its `Front`."""

    __slots__ = (
        "_body", "_continue", "_fault", "_fed", "_front", "_going", "_headers", "_held", "_parser", "_paused",
        "_peer", "_pieces", "_refusal", "_size", "_stuck", "_task", "_transport", "_unread", "_upgrade", "_url",
        "_waiting", "busy", "closing", "since", "state",
    )  # fmt: skip

    def __init__(self, front: Front) -> None:
        self._front = front
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, Response | None, int]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._held = 0  # bytes of bodies in more than one piece
        self._paused = False  # the client does not read its answers
        self._unread = False  # we do not read the client's requests
        self._stuck = (0, 0.0)  # bytes that the client has not read, and since when they are as many
        self._going = False
        self._fault: HttpError | None = None
        self._upgrade, self._continue = False, False  # it offers another protocol; it waits for leave to send its body
        self.busy = False  # a request is being answered
        self.closing = False  # the next answer is the last one
        self.state = IDLE
        self.since = 0.0  # by the monotonic clock, as the front's rounds saw it: the state began

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""
        self.since = self._front.now
        refusal = self._front.admit(self)
        if refusal is not None:
            self._refuse(refusal)

    def connection_lost(self, error: Exception | None) -> None:
        self._front.connections.discard(self)
        self._release()
        self.state = OVER
        self._waiting.clear()
        if self._task is not None:  # after its first step: one that was never begun would not end either
            self._front.loop.call_soon(self._task.cancel)

    def data_received(self, data: bytes) -> None:
        if self.state >= LINGER:
            self._discard(len(data))
            return
        if self.state == IDLE:
            self.state, self.since = HEAD, self._front.now
            self._fed = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            self._stay(data[error.args[0] :])
            return
        except httptools.HttpParserError as error:
            wrong = self._fault or HttpError(400, f"expected an HTTP/1.1 request. Received: {error}", close=True)
            self._refuse(wrong)
            return
        if self.state == HEAD:
            self._fed += len(data)
            if self._fed > refusals.MAX_HEAD:
                self._refuse(refusals.large_head(f"{self._fed} bytes"))

    def eof_received(self) -> bool:
        """The client has left; what is not answered yet would be worked on for nobody.

        One that only ends its own side cannot be told from it, and sees what was answered until then.
        """
        return False

    def pause_writing(self) -> None:
        self._paused = True
        self._stuck = (self._transport.get_write_buffer_size(), monotonic())
        self._heed()

    def resume_writing(self) -> None:
        self._paused = False
        if not self.busy:
            self._go_on()
        self._heed()

    # What httptools calls while it parses.

    def on_message_begin(self) -> None:
        self.state, self.since = HEAD, self._front.now
        self._fed = 0
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._pieces: list[bytes] | None = None
        self._size = 0
        self._refusal: HttpError | None = None

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > refusals.MAX_HEAD:
            self._fail(refusals.long_path(len(self._url)))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state != HEAD:
            return  # a trailer, behind the body: it may not say otherwise than the head
        name = name.lower()
        headers = self._headers
        if name in headers:
            value = headers[name] + b", " + value
        headers[name] = value
        if len(headers) > refusals.MAX_HEADERS or len(value) > refusals.MAX_HEAD:
            self._fail(refusals.large_head("more"))

    def on_headers_complete(self) -> None:
        self.state, self.since = BODY, self._front.now
        headers = self._headers
        declared = int(headers.get(b"content-length", b"0") or 0)
        if self._front.guard is not None:
            self._refusal = self._front.guard.refuses(self._url, headers)
        if declared > self._front.max_body:
            self._check_length(declared)
        if b"expect" in headers:
            self._expected(headers[b"expect"])
        if b"upgrade" in headers:
            self._upgrade = self._parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._pieces is None and not self._body:
            self._body = body
            if self._size <= self._front.max_body:
                return
        limit = self._front.max_body
        if self._size > DRAINED * limit:
            self._fail(refusals.too_large(limit, f"more than {DRAINED * limit} bytes", close=True))
        if self._size > limit or self._refusal:
            self._release()
            self._pieces, self._body = [], b""
            return
        if self._pieces is None:
            self._pieces = [self._body]
            self._hold(len(self._body))
        self._pieces.append(body)
        self._hold(len(body))

    def on_message_complete(self) -> None:
        if self._upgrade:
            return  # see _stay
        front, parser = self._front, self._parser
        self.state, self.since, self._continue = IDLE, front.now, False  # it did not wait for leave
        keep = CLOSE
        if parser.should_keep_alive():
            keep = KEEP if parser.get_http_version() == "1.1" else TOLD
        body = self._body if self._pieces is None else b"".join(self._pieces)
        self._body, self._pieces = b"", None
        try:
            path, query = front.address(self._url)
        except HttpError as wrong:
            self._fail(wrong)
        request = Request(front.method(parser.get_method()), path, body, self._headers, query, self._peer)
        if self._refusal is not None or self._size > front.max_body:
            error = self._refusal or refusals.too_large(front.max_body, f"{self._size} bytes")
            self.refused(error, request, keep)
        elif self.busy or self._waiting or self._paused:
            self._queue(request, keep)
        else:
            self._take(request, keep)

    def _take(self, request: Request, keep: int) -> None:
        turns = self._front.turns
        try:
            if request.path in self._front.always or turns.free():
                self.answered(request, keep)
            else:
                turns.queue(self, request, keep)
                self.busy = True
        except HttpError as error:
            # Not at once: who asks again without a pause would have the server do nothing but refuse.
            self.busy = True
            request.body = b""
            self._front.loop.call_later(_REFUSED_SECONDS, self.passed_over, error, request, keep)

    def answered(self, request: Request, keep: int) -> None:
        """Answers a request whose turn it is."""
        self.busy = False
        if self.state == OVER:
            return
        front = self._front
        began = perf_counter() if front.log is not None else 0.0
        answer = front.answer(request)
        if isinstance(answer, Response):
            self._answered(answer, request, keep, began)
            return
        self.busy = True
        if isinstance(answer, Soon):
            answer.then(lambda response: self._answered(response, request, keep, began))
            return
        front.turns.begin()
        self._task = front.loop.create_task(self._later(answer, request, keep, began))

    async def _later(self, answer: Awaitable[Response], request: Request, keep: int, began: float) -> None:
        try:
            response = await answer
        finally:
            self._front.turns.end()
            self._task = None
            self.busy = False
        self._answered(response, request, keep, began)

    def _answered(self, response: Response, request: Request, keep: int, began: float) -> None:
        self.busy = False
        self._write(response, request, keep, began)
        if self._waiting or self._continue:
            self._go_on()

    def refused(self, error: HttpError, request: Request, keep: int) -> None:
        """Answers a request with an error, as soon as those before it are answered."""
        self._front.count(error.status)
        if self.busy or self._waiting or self._paused:
            self._queue(request, keep, told(error))
        else:
            self._write(told(error), request, keep, perf_counter())

    def passed_over(self, error: HttpError, request: Request, keep: int) -> None:
        """Refuses a request that is next, since it has waited, or would wait, for too long."""
        self.busy = False
        if self.state != OVER:
            self._front.count(error.status)
            self._write(told(error), request, keep, perf_counter())
            self._go_on()

    def _queue(self, request: Request, keep: int, answer: Response | None = None) -> None:
        if len(self._waiting) >= refusals.AHEAD:
            self._fail(refusals.far_ahead())
        self._waiting.append((request, answer, keep))
        self._heed()

    def _go_on(self) -> None:
        """Answers what has waited for the answers before it."""
        if self._going:
            return  # an answer at once comes back here
        self._going = True
        while self._waiting and not self.busy and not self._paused and self.state != OVER:
            request, answer, keep = self._waiting.popleft()
            if answer is None:
                self._take(request, keep)
            else:
                self._write(answer, request, keep, perf_counter())
        self._going = False
        if not self._waiting and not self.busy:
            self._release()
            if self._continue:
                self._continue = False
                self._transport.write(CONTINUE)
        self._heed()

    def _write(self, response: Response, request: Request | None, keep: int, began: float) -> None:
        if self.state == OVER:
            return
        if response.close or ((self.closing or self._front.draining) and not self._waiting):
            keep = CLOSE
        self._transport.write(written(response, request is not None and request.method == "HEAD", keep))
        if self._front.log is not None:
            self._front.log.note(request, response, perf_counter() - began, self._peer)
        if self._held and not self._waiting and not self.busy:
            self._release()
        if not keep:
            self._close()

    def _fail(self, error: HttpError) -> NoReturn:
        """Ends the parsing of what a client sends."""
        self._fault = error
        raise error

    def _refuse(self, error: HttpError) -> None:
        """Answers what cannot be read to its end, and ends the connection; what came before it is answered first."""
        self._front.count(error.status)
        self.closing, self._continue = True, False
        answer = told(error)
        self.state, self.since = LINGER, monotonic()
        if self.busy or self._waiting or self._paused:
            self._waiting.append((_NO_REQUEST, answer, CLOSE))
            self._read(False)
        else:
            self._write(answer, None, CLOSE, perf_counter())

    def _close(self) -> None:
        """Ends the connection once all is written; who still sends is heard for a while, to see the answer."""
        self._waiting.clear()
        if self.state == LINGER and self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
            self._read(True)
            self.since = monotonic()
            self._size = 0
        else:
            self._end()

    def _end(self) -> None:
        self.state = OVER
        self._stuck = (self._transport.get_write_buffer_size(), monotonic())
        self._transport.close()  # what is written reaches the client before

    def _discard(self, size: int) -> None:
        """Throws away what is sent by a client that was refused."""
        self._size += size
        if self.state == LINGER and self._size > DRAINED * self._front.max_body:
            self._end()

    def _stay(self, rest: bytes) -> None:
        """Answers in HTTP/1.1 a client that offers another protocol, as Java's does; the parser left out its body."""
        if self._parser.get_method() == b"CONNECT":
            self._refuse(HttpError(405, "expected a request to this server. Received: CONNECT", close=True))
            return
        head = plain_head(self._parser.get_method(), self._url, self._headers)
        self._upgrade = False
        self._parser = httptools.HttpRequestParser(self)
        self.state = IDLE
        self.data_received(head + rest)

    def _check_length(self, declared: int) -> None:
        limit, waits = self._front.max_body, self._headers.get(b"expect", b"").lower() == b"100-continue"
        if declared > DRAINED * limit or waits or self._refusal:
            self._fail(self._refusal or refusals.too_large(limit, f"{declared} bytes", close=True))

    def _expected(self, expectation: bytes) -> None:
        if self._refusal is not None:
            self._refusal.close = True
            self._fail(self._refusal)
        if expectation.lower() != b"100-continue":
            self._fail(refusals.other_expectation(expectation))
        if self.busy or self._waiting:
            self._continue = True  # not before the answers to what was asked before
        elif self._parser.get_http_version() != "1.0":
            self._transport.write(CONTINUE)

    def _hold(self, size: int) -> None:
        self._held += size
        if not self._front.hold(size):
            self._fail(refusals.no_room())

    def _release(self) -> None:
        self._front.hold(-self._held)
        self._held = 0

    def _heed(self) -> None:
        """Reads from the client, or does not: who does not read answers, or is far ahead of them, is not heard."""
        unread = self._paused or len(self._waiting) >= _PAUSED_AHEAD or bool(self._waiting and self._held)
        if self.state < LINGER:
            self._read(not unread)

    def _read(self, wanted: bool) -> None:
        if wanted == self._unread:
            self._unread = not wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    def look(self, now: float) -> None:
        """Ends what takes longer than it may."""
        limits = self._front.settings
        if self._paused or self.state == OVER:
            self._look_at_answers(now, limits.write_seconds)
            return
        if self.busy or self._waiting:
            return
        passed = now - self.since
        if self.state == IDLE:
            if passed > limits.idle_seconds:
                self._close()
        elif self.state == HEAD and passed > limits.head_seconds:
            self._refuse(refusals.late("head", limits.head_seconds, self._fed))
        elif self.state == BODY and passed > limits.body_seconds:
            self._refuse(refusals.late("body", limits.body_seconds, self._size))
        elif self.state == LINGER and passed > _LINGER_SECONDS:
            self._end()

    def _look_at_answers(self, now: float, most: float) -> None:
        unread, (before, since) = self._transport.get_write_buffer_size(), self._stuck
        if unread < before:
            self._stuck = (unread, now)
        elif now - since > most:
            self._front.count(_CUT)
            self.abort()

    def abort(self) -> None:
        """Cuts the connection, whatever is in progress."""
        self.state = OVER
        self._transport.abort()

    def drain(self, now: float, patience: float) -> bool:
        """Ends the connection where nothing is in progress, and has been nothing for so many seconds."""
        if self.state == IDLE and not self.busy and not self._waiting and now - self.since >= patience:
            self._close()
        return self.state == OVER
