"""The server's surface: from a request to an answer. It knows nothing of sockets; see `serving.http`.

    POST /predict            {"instances": [...]} -> {"predictions": [...]}  (also Vertex's AIP_PREDICT_ROUTE)
    GET  /health, /healthz   200 once the model is loaded                   (also Vertex's AIP_HEALTH_ROUTE)
    GET  /                   the model: name, version, digest, inputs, outputs, how its CSV data was read
    GET  /metrics            for Prometheus

Errors are {"error": "<what was expected>. Received: <what came>"}.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable
from time import perf_counter

import msgspec

from headrace.serving.exchange import Answer, Handler, HttpError, Request, Response
from headrace.serving.metrics import Metrics
from headrace.serving.protocols import operations, vertex
from headrace.serving.request import BadRequest
from headrace.serving.router import Router
from headrace.serving.served import Codec, Served
from headrace.serving.settings import Settings

_FAULT = "expected to answer. Received: a fault of the server's, which its log tells"


class App:
    """The routes of what is served at one moment; another plan gets another one."""

    def __init__(self, router: Router, settings: Settings, counted: Metrics | None = None) -> None:
        """`counted` are the metrics of the process, where it has them already from what was served before."""
        self.router = router
        self.settings = settings
        main = router.main
        self.metrics = counted or Metrics(main.name, main.version, main.digest)
        self.refused = ""  # why something else, which should be served, is not
        self.routes: dict[str, dict[str, Handler]] = {**operations.routes(self), **vertex.routes(self)}

    def refuse(self, reason: str) -> None:
        """Tells who asks what is served that something else should be and cannot; an empty reason takes that back."""
        self.refused = reason
        self.metrics.refused = bool(reason)

    def retire(self) -> None:
        """Lets the model go once its last request is answered.

        The routes hold the application that has them. No collector would find that circle: it was told to leave alone
        what was loaded first (see `serving.server.run`).
        """
        self.routes = {}

    def answer(self, request: Request) -> Answer:
        """Answers one request; raises nothing."""
        try:
            found = self.handler(request)(request)
        except Exception as error:  # noqa: BLE001 (whatever went wrong is an answer)
            return self._told(request, error)
        return found if isinstance(found, Response) else self._awaited(request, found)

    def handler(self, request: Request) -> Handler:
        """What answers a path and method.

        Raises:
            HttpError: 404 or 405, with what there is.
        """
        methods = self.routes.get(request.path)
        if methods is None:
            known = ", ".join(f"{method} {path}" for path, found in self.routes.items() for method in found)
            raise HttpError(404, f"expected one of {known}. Received: {request.path}")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join(methods)
            message = f"expected {allowed} {request.path}. Received: {request.method}"
            raise HttpError(405, message, headers=((b"allow", allowed.encode()),))
        return handler

    def predict(self, request: Request, codec: Callable[[Served], Codec], served: Served | None = None) -> Answer:
        """Answers a prediction request of some protocol, by the version that it asks for or is dealt to."""
        served = served or self.router.choose(request)
        start = perf_counter()
        if served.threads is not None:
            return self._apart(request, served, served.codec(codec), start)
        return self._scored(request, served, served.codec(codec), start)

    async def _apart(self, request: Request, served: Served, codec: Codec, start: float) -> Response:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(served.threads, self._scored, request, served, codec, start)

    def _scored(self, request: Request, served: Served, codec: Codec, start: float) -> Response:
        try:
            inputs, known = codec.decode(request.body)
            outputs = served.scorer.run(inputs)
        except BadRequest as error:
            raise HttpError(400, str(error)) from None
        response = Response(200, codec.encode(outputs, known))
        self.metrics.scored(perf_counter() - start, len(outputs), getattr(inputs, "unseen", 0))
        return response

    async def _awaited(self, request: Request, answer: Answer) -> Response:
        try:
            return answer if isinstance(answer, Response) else await answer
        except Exception as error:  # noqa: BLE001
            return self._told(request, error)

    def _told(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HttpError):
            status, message, headers, close = error.status, str(error), error.headers, error.close
        else:
            traceback.print_exception(error, file=sys.stderr)
            status, message, headers, close = 500, _FAULT, (), False
        if request.path in self.settings.predict_routes:
            self.metrics.answered(status)
        return Response(status, msgspec.json.encode({"error": message}), headers=headers, close=close)
