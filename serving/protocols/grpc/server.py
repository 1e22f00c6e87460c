"""The gRPC server of a worker, in the same event loop as its HTTP front end.

It knows no model: each call becomes a request to the surface that answers HTTP as well (see `serving.app`), with the
same versions, metrics and limits. It also answers `grpc.health.v1.Health/Check`, which Kubernetes asks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from headrace.artifacts.errors import HeadraceError
from headrace.serving.exchange import Answer, Request, Response
from headrace.serving.http.token import Guard
from headrace.serving.protocols.grpc.codec import METHODS, SERVICE, Call
from headrace.serving.protocols.grpc.security import credentials
from headrace.serving.settings import Settings

HEALTH = "/grpc.health.v1.Health/Check"
OPEN = (f"/{SERVICE}/ServerLive", f"/{SERVICE}/ServerReady")  # also to those who have no token, as health is
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"  # HealthCheckResponse{status: 1 or 2}
_SPARE = 64 * 1024  # bytes of a message beside its tensors

_STATUSES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """All calls of a worker."""

    def __init__(self, answer: Callable[[Request], Answer], guard: Guard | None = None) -> None:
        self._answer = answer
        self._guard = guard
        self.stopping = False
        self._health = grpc.unary_unary_rpc_method_handler(self._checked)

    def service(self, details: Any) -> Any:
        """What answers a method; None for one that there is not."""
        method: str = details.method
        if method == HEALTH:
            return self._health
        if method not in METHODS:
            return None

        async def call(body: bytes, context: Any) -> bytes:
            return await self._called(body, context, method)

        return grpc.unary_unary_rpc_method_handler(call)

    async def _called(self, body: bytes, context: Any, method: str) -> bytes:
        headers = {
            name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in context.invocation_metadata()
        }
        if self._guard is not None:
            self._guard.look()
            if refused := self._guard.refuses(method.encode(), headers):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(refused))
        answer = self._answer(Call(method, body, headers, context.peer()))
        response = answer if isinstance(answer, Response) else await answer
        if response.headers:
            context.set_trailing_metadata([(name.decode(), value.decode()) for name, value in response.headers])
        if response.status != 200:
            await context.abort(_STATUSES.get(response.status, grpc.StatusCode.INTERNAL), _message(response))
        return response.body

    async def _checked(self, body: bytes, context: Any) -> bytes:
        if body and not body.endswith(SERVICE.encode()):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"service: expected {SERVICE} or none. Received: another")
        return _NOT_SERVING if self.stopping else _SERVING


def _message(response: Response) -> str:
    try:
        return str(json.loads(response.body)["error"])
    except (ValueError, KeyError, TypeError):
        return response.body.decode(errors="replace")


class GrpcServer:
    """The running server."""

    def __init__(self, answer: Callable[[Request], Answer], settings: Settings) -> None:
        guard = Guard(settings.token_file, OPEN) if settings.token_file else None
        self._service = Service(answer, guard)
        self._server = grpc.aio.server(
            handlers=(self._service,),
            maximum_concurrent_rpcs=settings.max_requests,
            options=(
                ("grpc.so_reuseport", 1),  # workers share it; see `port.claimed`
                ("grpc.max_receive_message_length", settings.max_body + _SPARE),
                ("grpc.max_send_message_length", -1),
            ),
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            if secure := credentials(settings):
                self._server.add_secure_port(f"{host}:{settings.grpc_port}", secure)
            else:
                self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise HeadraceError(
                f"{host}:{settings.grpc_port}: expected a free port for gRPC. Received: {error}"
            ) from None

    async def start(self) -> None:
        """Begins to answer."""
        await self._server.start()

    async def stop(self, seconds: float) -> None:
        """Takes no more calls, and waits for those in progress, so long at most.

        What gRPC had received and not yet handed over is cancelled by it: such a call was not begun.
        """
        self._service.stopping = True
        await self._server.stop(seconds)
