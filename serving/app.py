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
from typing import Any

import msgspec

from headrace.serving.batching import Batcher, Outputs
from headrace.serving.copies import Copies
from headrace.serving.exchange import Answer, Handler, HttpError, Request, Response, Soon
from headrace.serving.metrics import Metrics
from headrace.serving.observe import Observer, identified, observed, request_id
from headrace.serving.protocols import openapi, operations, tf_serving, v2, vertex
from headrace.serving.protocols.names import near
from headrace.serving.request import BadRequest
from headrace.serving.router import Router
from headrace.serving.served import Codec, Served
from headrace.serving.settings import Settings
from headrace.serving.together import FEW_ROWS, Together, Waiting

LARGE = 256 * 1024  # bytes of a body whose rows are scored in a thread: they take ten milliseconds and more
_FAULT = "expected to answer. Received: a fault of the server's, which its log tells"


class App:
    """The routes of what is served at one moment; another plan gets another one."""

    def __init__(
        self,
        router: Router,
        settings: Settings,
        counted: Metrics | None = None,
        observer: Observer | None = None,
        copies: Copies | None = None,
    ) -> None:
        """`counted` are the metrics of the process, where it has them already from what was served before; likewise
        `observer`, which is shown prediction requests, and `copies`, what takes copies of them to shadows."""
        self.router = router
        self.settings = settings
        self.metrics = counted or Metrics()
        self.observer = observer
        for served in router.all:
            served.counted = served.counted or self.metrics.version(served.bundle)
            if served.batcher is not None:
                served.batcher.seen = self.metrics.called
        self._together = {served: self._gather(served) for served in router.all if served.at_once}
        self.copies = copies
        self._shadows = len(router.plan.shadows) if router.plan and copies else 0
        self.refused = ""  # why something else, which should be served, is not
        self.routes: dict[str, dict[str, Handler]] = {
            **operations.routes(self),
            **openapi.routes(self),
            **v2.routes(self),
            **tf_serving.routes(self),
            **vertex.routes(self),
        }
        if settings.grpc_port is not None:
            from headrace.serving.protocols.grpc import codec as grpc

            self.routes |= grpc.routes(self)

    def refuse(self, reason: str) -> None:
        """Tells who asks what is served that something else should be and cannot; an empty reason takes that back."""
        self.refused = reason
        self.metrics.refused = bool(reason)

    def retire(self) -> None:
        """Lets the model go once its last request is answered.

        The routes hold the application that has them. No collector would find that circle: it was told to leave alone
        what was loaded first (see `serving.server.run`).
        """
        self.flush()
        self.routes, self._together = {}, {}
        for served in self.router.all:
            if served.counted is not None:
                served.counted.retires()

    def serves(self) -> None:
        """Says on the metrics page that this is what is served."""
        self.metrics.refused = False
        for served, share in zip(self.router.all, self.router.shares, strict=True):
            served.told = self.router.about(served)
            served.variant = self.router.variant(served)
            if served.counted is not None:
                served.counted.serves(share)

    def answer(self, request: Request) -> Answer:
        """Answers one request; raises nothing."""
        try:
            found = self.handler(request)(request)
        except Exception as error:  # noqa: BLE001 (whatever went wrong is an answer)
            return self._told(request, error)
        return found if isinstance(found, Response | Soon) else self._awaited(request, found)

    def handler(self, request: Request) -> Handler:
        """What answers a path and method.

        Raises:
            HttpError: 404 or 405, with what there is.
        """
        methods = self.routes.get(request.path)
        if methods is None:
            raise HttpError(404, f"expected {near(self.routes, request.path)}. Received: {request.path[:200]}")
        handler = methods.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join(methods)
            message = f"expected {allowed} {request.path}. Received: {request.method}"
            raise HttpError(405, message, headers=((b"allow", allowed.encode()),))
        return handler

    def predict(self, request: Request, codec: Callable[[Served], Codec], served: Served | None = None) -> Answer:
        """Answers a prediction request of some protocol, by the version that it asks for or is dealt to."""
        request.began = perf_counter()
        request.id = request_id(request)
        request.served = served = self.router.choose(request, served, not self.settings.server_chooses)
        if served.batcher is not None:
            return self._batched(served.batcher, request, served, served.codec(codec))
        if served.threads is not None or len(request.body) > LARGE:
            return self._apart(request, served, served.codec(codec))
        return self._soon(request, served, served.codec(codec))

    def _soon(self, request: Request, served: Served, codec: Codec) -> Response | Soon:
        """On the event loop, where a call takes microseconds: few rows together with what else came in this turn."""
        inputs, known = _decoded(codec, request)
        if len(inputs.matrix) <= FEW_ROWS:
            soon = self._together[served].add(request, codec, inputs, known)
            return soon.response or soon
        outputs = served.scorer.run(inputs)
        return self._finished(request, served, codec, inputs, outputs, codec.encode(outputs, known))

    def flush(self) -> None:
        """Answers what waits for the end of this turn."""
        for together in self._together.values():
            together.flush()

    def _gather(self, served: Served) -> Together:
        def answered(one: Waiting, outputs: Outputs) -> Response:
            response = one.codec.encode(outputs, one.known)
            return self._finished(one.request, served, one.codec, one.inputs, outputs, response)

        together = Together(served.scorer, answered, self._told)
        together.seen = self.metrics.called
        return together

    async def _batched(self, batcher: Batcher, request: Request, served: Served, codec: Codec) -> Response:
        """Of a slow model: called in a thread, together with what else waits for it."""
        inputs, known = _decoded(codec, request)
        outputs = await batcher.run(inputs)
        return self._finished(request, served, codec, inputs, outputs, codec.encode(outputs, known))

    async def _apart(self, request: Request, served: Served, codec: Codec) -> Response:
        """All of it in a thread: of pictures, and of so many rows that others would wait for them."""
        loop = asyncio.get_running_loop()
        threads = served.threads or served.one_thread()
        found = await loop.run_in_executor(threads, self._scored, request, served, codec)
        return self._finished(request, served, codec, *found)

    def _scored(self, request: Request, served: Served, codec: Codec) -> tuple[Any, Any, Response]:
        """What the model was given, its outputs, and the answer."""
        try:
            inputs, known = codec.decode(request)
            outputs = served.scorer.run(inputs)
        except BadRequest as error:
            raise HttpError(400, str(error)) from None
        return inputs, outputs, codec.encode(outputs, known)

    def _finished(
        self, request: Request, served: Served, codec: Codec, inputs: Any, outputs: Any, response: Response
    ) -> Response:
        """Has a prediction seen by all who look at them; on the event loop."""
        seconds = perf_counter() - request.began
        if served.counted is not None:
            served.counted.scored(request.path, seconds, outputs, getattr(inputs, "unseen", 0))
        if self.observer is not None and self.observer.wants(request.id):
            self.observer.see(observed(request, served, seconds, inputs=inputs, outputs=outputs))
        if self._shadows and self.copies is not None:
            self.copies.take(request, type(codec), self._shadows)
        return identified(response, request.id, served.told)

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
        self._count_error(request, status, message)
        answer = Response(status, msgspec.json.encode({"error": message}), headers=headers, close=close)
        return identified(answer, request.id) if request.id else answer

    def _count_error(self, request: Request, status: int, message: str) -> None:
        self.metrics.error(status)
        served = request.served
        if served is None:
            return
        if served.counted is not None:
            served.counted.answered(request.path, status)
        if self.observer is not None and self.observer.wants(request.id):
            seconds = perf_counter() - request.began
            self.observer.see(observed(request, served, seconds, status=status, error=message))


def _decoded(codec: Codec, request: Request) -> tuple[Any, Any]:
    try:
        return codec.decode(request)
    except BadRequest as error:
        raise HttpError(400, str(error)) from None
