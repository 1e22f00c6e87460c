"""The HTTP surface as a bare ASGI application.

    POST /predict            {"instances": [...]} -> {"predictions": [...]}   (also Vertex's
    AIP_PREDICT_ROUTE) GET  /health, /healthz   200 once the model is loaded                    (also
    Vertex's AIP_HEALTH_ROUTE) GET  /                   the model: name, version, digest, inputs, outputs
    GET  /metrics            for Prometheus

Errors are {"error": "<what was expected>. Received: <what came>"}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import msgspec

from headrace.artifacts.bundle import Bundle
from headrace.serving import metrics
from headrace.serving.request import BadRequest
from headrace.serving.scorer import Scorer
from headrace.serving.settings import Settings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
BODY_SECONDS = 30.0  # how long a client may take to send the rest of a body
DRAIN_BYTES = 4  # a body of up to so many times the limit is read and thrown away, so that its 413 arrives


class HttpError(Exception):
    """An answer other than 200; `close` ends the connection because its body was not read to the end."""

    def __init__(self, status: int, message: str, close: bool = False, allow: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.close = close
        self.allow = allow


class App:
    """The ASGI application of one model: a table of routes, and what they share."""

    def __init__(self, bundle: Bundle, scorer: Scorer, settings: Settings) -> None:
        self._scorer = scorer
        self._max_body = settings.max_body
        self._metrics = metrics.Metrics(bundle.name, bundle.version, bundle.digest)
        self._description = msgspec.json.encode(describe(bundle, settings.predict_routes[0]))
        self.routes: dict[str, tuple[str, Handler]] = {
            "/": ("GET", self._describe),
            "/metrics": ("GET", self._page),
        }
        self.routes |= dict.fromkeys(settings.health_routes, ("GET", self._health))
        self.routes |= dict.fromkeys(settings.predict_routes, ("POST", self._predict))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            method, handler = self.routes.get(scope["path"]) or self._no_route(scope["path"])
            if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
                message = f"expected {method} {scope['path']}. Received: {scope['method']}"
                raise HttpError(405, message, allow=method.encode())
            await handler(scope, receive, send)
        except HttpError as error:
            self._count(scope["path"], error.status)
            await _answer_error(send, error)
        except Exception:
            self._count(scope["path"], 500)  # uvicorn logs it and answers
            raise

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        body = message.get("body", b"")
        if message.get("more_body") or len(body) > self._max_body:
            body = await self._rest_of_body(scope, receive, body)
        start = perf_counter()
        try:
            scored = self._scorer.score(body)
        except BadRequest as error:
            raise HttpError(400, str(error)) from None
        await _answer(send, 200, JSON, scored.body)
        self._metrics.scored(perf_counter() - start, scored.rows, scored.unseen)

    async def _rest_of_body(self, scope: Scope, receive: Receive, first: bytes) -> bytes:
        """Reads on, never holding more than the limit."""
        headers = dict(scope["headers"])
        declared = int(headers.get(b"content-length", b"0"))
        too_large = f"body: expected at most {self._max_body} bytes. Received: "
        drain = self._max_body * DRAIN_BYTES
        if declared > drain:
            raise HttpError(413, f"{too_large}{declared} bytes", close=True)
        chunks, size, more = [first], len(first), True
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise HttpError(
                            400, "body: expected all of it. Received: an end of the connection", close=True
                        )
                    more = message.get("more_body", False)
                    size += len(message.get("body", b""))
                    if size > drain:
                        raise HttpError(413, f"{too_large}more than {drain} bytes", close=True)
                    if size > self._max_body:
                        chunks.clear()
                    else:
                        chunks.append(message.get("body", b""))
        except TimeoutError:
            message_408 = (
                f"body: expected all of it within {BODY_SECONDS:.0f} seconds. Received: {size} bytes"
            )
            raise HttpError(408, message_408, close=True) from None
        if size > self._max_body:
            raise HttpError(413, f"{too_large}{size} bytes")
        return b"".join(chunks)

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, JSON, b'{"status":"ok"}')

    async def _describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, JSON, self._description)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, 200, metrics.CONTENT_TYPE, self._metrics.text())

    def _no_route(self, path: str) -> tuple[str, Handler]:
        known = ", ".join(f"{method} {route}" for route, (method, _) in self.routes.items())
        raise HttpError(404, f"expected one of {known}. Received: {path}")

    def _count(self, path: str, status: int) -> None:
        if path in self.routes and self.routes[path][0] == "POST":
            self._metrics.answered(status)


def describe(bundle: Bundle, predict_route: str) -> dict[str, Any]:
    """What `GET /` says of the model: enough to write a request for it."""
    signature = bundle.signature.to_dict()
    inputs = signature.pop("inputs")
    return {
        "name": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "predict": predict_route,
        **signature,
        "inputs": inputs,
        "outputs": [
            {"name": bundle.signature.output, "type": "number", "size": max(1, len(bundle.signature.classes))}
        ],
    }


async def _answer(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_error(send: Send, error: HttpError) -> None:
    body = msgspec.json.encode({"error": str(error)})
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
    if error.close:
        headers.append((b"connection", b"close"))
    if error.allow:
        headers.append((b"allow", error.allow))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
