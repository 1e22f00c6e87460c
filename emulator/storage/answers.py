"""Refusals, as Cloud Storage's JSON API writes them; what its handlers have in common."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Handler, Response
from headrace.emulator.storage.conditions import NotModified

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_REASONS = {
    400: "invalid", 404: "notFound", 409: "conflict", 412: "conditionNotMet", 416: "requestedRangeNotSatisfiable",
    499: "cancelled", 501: "notImplemented", 503: "backendError",
}  # fmt: skip


def storage(handler: Callable[..., Any]) -> Handler:
    """A handler whose refusals have this API's form."""
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def later(emulator: Emulator, call: Call) -> Any:
            try:
                return await handler(emulator, call)
            except (Refusal, NotModified) as refusal:
                return _refused(refusal)

        return later

    @functools.wraps(handler)
    def answer(emulator: Emulator, call: Call) -> Any:
        try:
            return handler(emulator, call)
        except (Refusal, NotModified) as refusal:
            return _refused(refusal)

    return answer


def address(emulator: Emulator, call: Call) -> str:
    """Where this client reaches the emulator."""
    host = call.headers.get("host", "")
    return f"http://{host}" if host else emulator.address


def _refused(refusal: Refusal | NotModified) -> Response:
    if isinstance(refusal, NotModified):
        return Response(b"", 304)
    reason = _REASONS.get(refusal.status, "internalError")
    one = {"message": refusal.message, "domain": "global", "reason": reason}
    return Response({"error": {"code": refusal.status, "message": refusal.message, "errors": [one]}}, refusal.status)
