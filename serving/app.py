"""The HTTP surface as a bare ASGI application.

    POST /predict            {"instances": [...]} -> {"predictions": [...]}  (also Vertex's AIP_PREDICT_ROUTE)
    GET  /health, /healthz   200 once the model is loaded                   (also Vertex's AIP_HEALTH_ROUTE)
    GET  /                   the model: name, version, digest, inputs, outputs, how its CSV data was read
    GET  /metrics            for Prometheus

Errors are {"error": "<what was expected>. Received: <what came>"}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import msgspec

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.folder import read_json
from headrace.serving import metrics
from headrace.serving.body import Receive, rest_of_body
from headrace.serving.http_error import HttpError
from headrace.serving.request import BadRequest
from headrace.serving.scorer import Scorer, Scores
from headrace.serving.settings import Settings

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"


def open_app(bundle: Bundle, settings: Settings, counted: metrics.Metrics | None = None) -> App:
    """Loads a bundle's model, of a table or of images, as an ASGI application.

    `counted` are the metrics of the process, where it has them already from a model that this one takes over from.

    Raises:
        ArtifactError: ONNX Runtime refuses the graph, or it is not of the signature's shape.
    """
    if bundle.signature.image is None:
        return App(bundle, Scorer(bundle, settings.deployed_model_id), settings, counted)
    from headrace.serving.image_app import ImageApp

    return ImageApp(bundle, settings, counted)


class App:
    """The ASGI application of one model: a table of routes, and what they share."""

    def __init__(
        self, bundle: Bundle, scorer: Scores, settings: Settings, counted: metrics.Metrics | None = None
    ) -> None:
        self.bundle = bundle
        self._scorer = scorer
        self._settings = settings
        self._metrics = counted or metrics.Metrics(bundle.name, bundle.version, bundle.digest)
        self._description = msgspec.json.encode(describe(bundle, settings.predict_routes[0]))
        self.routes: dict[str, tuple[str, Handler]] = {
            "/": ("GET", self._describe),
            "/metrics": ("GET", self._page),
            **dict.fromkeys(settings.health_routes, ("GET", self._health)),
            **dict.fromkeys(settings.predict_routes, ("POST", self._predict)),
        }

    @property
    def scorer(self) -> Scores:
        """The model: what answers a request's body."""
        return self._scorer

    @property
    def metrics(self) -> metrics.Metrics:
        """What the process counts."""
        return self._metrics

    def refuse(self, reason: str) -> None:
        """Tells who asks what is served that something else should be and cannot; an empty reason takes that back."""
        about = describe(self.bundle, self._settings.predict_routes[0])
        self._description = msgspec.json.encode(about | ({"refused": reason} if reason else {}))
        self._metrics.refused = bool(reason)

    def retire(self) -> None:
        """Lets the model go once its last request is answered.

        The routes are methods of the application that has them. No collector would find that circle: it was told to
        leave alone what was loaded first (see `serving.server.run`).
        """
        self.routes = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            method, handler = self.routes.get(scope["path"]) or self._no_route(scope["path"])
            if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
                message = f"expected {method} {scope['path']}. Received: {scope['method']}"
                raise HttpError(405, message, allow=method)
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
        if message.get("more_body") or len(body) > self._settings.max_body:
            declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
            body = await rest_of_body(message, receive, declared, self._settings)
        start = perf_counter()
        try:
            scored = self._scorer.score(body)
        except BadRequest as error:
            raise HttpError(400, str(error)) from None
        await answer(send, JSON, scored.body)
        self._metrics.scored(perf_counter() - start, scored.rows, scored.unseen)

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, JSON, b'{"status":"ok"}')

    async def _describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, JSON, self._description)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, metrics.CONTENT_TYPE, self._metrics.text())

    def _no_route(self, path: str) -> tuple[str, Handler]:
        known = ", ".join(f"{method} {route}" for route, (method, _) in self.routes.items())
        raise HttpError(404, f"expected one of {known}. Received: {path}")

    def _count(self, path: str, status: int) -> None:
        if path in self._settings.predict_routes:
            self._metrics.answered(status)


def describe(bundle: Bundle, predict_route: str) -> dict[str, Any]:
    """What `GET /` says of the model: enough to write a request for it."""
    signature = bundle.signature
    values = signature.to_dict()
    inputs = values.pop("inputs")
    size = max(1, len(signature.classes))
    return {
        "name": bundle.name,
        "version": bundle.version,
        "digest": bundle.digest,
        "predict": predict_route,
        **values,
        "inputs": inputs,
        "outputs": [{"name": signature.output, "type": "number", "size": size}],
        "csv": read_as(bundle),
    }


def read_as(bundle: Bundle) -> dict[str, Any]:
    """How the text files that the model learned from were read: null values, and separator (null: by the suffix).

    A client that turns a CSV file into instances has to do the same, or "NA" is a category that nobody ever saw.
    """
    query: dict[str, Any] = {}
    if files.LINEAGE in bundle.manifest.files:
        query = read_json(bundle.lineage).get("data", {}).get("query", {})
    return {"null_values": query.get("null_values") or [""], "separator": query.get("separator")}


async def answer(send: Send, content_type: bytes, body: bytes) -> None:
    """Sends a whole answer."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_error(send: Send, error: HttpError) -> None:
    body = msgspec.json.encode({"error": str(error)})
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(body))]
    if error.close:
        headers.append((b"connection", b"close"))
    if error.allow:
        headers.append((b"allow", error.allow.encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
