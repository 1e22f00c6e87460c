"""What a server process tells of itself: its counters, its part of the request log, its traces."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from headrace.serving.board import Board
from headrace.serving.copies import Line
from headrace.serving.metrics import Metrics
from headrace.serving.observe import Observer, Several
from headrace.serving.settings import Settings


@dataclass(frozen=True)
class Place:
    """A process's place among those of its server; what the parent made before it forked."""

    board: Board = field(default_factory=Board)
    number: int = 0  # of its slot on the board
    log: socket.socket | None = None  # where the writer of the request log listens; see `serving.log_writer`
    lines: Sequence[Line] = ()  # of a worker: to the shadows


def telemetry(settings: Settings, place: Place) -> tuple[Metrics, Observer | None]:
    """The counters of this process, and what looks at its prediction requests; None where nothing does."""
    metrics = Metrics(place.board, place.number)
    found: list[Observer] = []
    if place.log is not None:
        from headrace.serving.request_log import RequestLog

        found.append(RequestLog(place.log, settings, metrics))
    if traced():
        from headrace.serving.tracing import Tracing

        found.append(Tracing())
    if not found:
        return metrics, None
    return metrics, found[0] if len(found) == 1 else Several(found)


def traced() -> bool:
    """Whether the environment says where traces go, as OpenTelemetry has it."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("ENDPOINT", "TRACES_ENDPOINT"))
