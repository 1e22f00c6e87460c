"""Traces of prediction requests, sent by OpenTelemetry's SDK where the environment says where to.

OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, turns it on; without them nothing of OpenTelemetry
is imported. Its other variables hold too: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER,
OTEL_EXPORTER_OTLP_HEADERS, ... Spans go over HTTP, from a thread of the SDK's that holds a bounded number of them; a
collector that is gone costs spans and nothing else. A request that says `traceparent` belongs to that trace, and is
sampled as its sender decided.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from headrace.serving.observe import Observed

_CLOSE_SECONDS = 2.0
_FAULT = 500  # from here on the server is to blame, and a span of kind SERVER is an error


class Tracing:
    """Makes a span of each request that it sees. Implements `observe.Observer`."""

    def __init__(self, service: str = "headrace") -> None:
        """Sets the SDK up in this process, which must not fork from now on.

        Args:
            service: the name under which traces appear, where OTEL_SERVICE_NAME gives none.
        """
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from headrace import __version__

        given: dict[str, str | int] = {"service.version": __version__, "process.pid": os.getpid()}
        if not os.environ.get("OTEL_SERVICE_NAME") and "service.name" not in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        ):
            given["service.name"] = service
        _say_once()
        self._provider = TracerProvider(resource=Resource.create(given), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("headrace.serving", __version__)

    def wants(self, request_id: bytes) -> bool:
        """All: OpenTelemetry's own sampler decides, and for a request that says `traceparent` its sender."""
        return True

    def see(self, observed: Observed) -> None:
        """Makes the span of a request that was answered."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        start = int(observed.time * 1e9)
        span = self._tracer.start_span(
            f"{observed.method} {observed.route}",
            context=_parent(observed),
            kind=SpanKind.INTERNAL if observed.shadow else SpanKind.SERVER,
            attributes=_attributes(observed),
            start_time=start,
        )
        if span.is_recording() and observed.status >= _FAULT:
            span.set_attribute("error.type", str(observed.status))
            span.set_status(Status(StatusCode.ERROR, observed.error))
        span.end(start + int(observed.seconds * 1e9))

    def close(self) -> None:
        """Sends what waits; gives up after two seconds."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True, name="last-spans")
        thread.start()
        thread.join(_CLOSE_SECONDS)


def _attributes(observed: Observed) -> dict[str, Any]:
    """By the semantic conventions where they have a name for it."""
    found: dict[str, Any] = {
        "http.request.method": observed.method,
        "http.route": observed.route,
        "url.path": observed.route,
        "http.response.status_code": observed.status,
        "headrace.request_id": observed.request_id,
        "headrace.model": observed.model,
        "headrace.version": observed.version or "",
        "headrace.digest": observed.digest,
        "headrace.rows": 0 if observed.outputs is None else len(observed.outputs),
    }
    if observed.variant:
        found["headrace.variant"] = observed.variant
    if observed.shadow:
        found["headrace.shadow"] = True
    if observed.error:
        found["headrace.error"] = observed.error[:500]
    return found


def _parent(observed: Observed) -> Any:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if observed.trace is None:
        return Context()
    above = SpanContext(
        trace_id=int(observed.trace.trace_id, 16),
        span_id=int(observed.trace.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if observed.trace.sampled else TraceFlags.DEFAULT),
    )
    return set_span_in_context(NonRecordingSpan(above), Context())


def _say_once() -> None:
    """Has the SDK's complaints on standard error, each once: a collector that is gone would fill the log."""
    logger = logging.getLogger("opentelemetry")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("headrace: traces: %(message)s"))
        handler.addFilter(_Once())
        logger.addHandler(handler)
        logger.propagate = False


class _Once(logging.Filter):
    """Lets each complaint through once, without its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        text = str(record.msg)
        fresh = text not in self._said
        self._said.add(text)
        return fresh
