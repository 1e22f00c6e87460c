"""What a server process is told: where it listens, which routes it answers, and its limits.

Each field that a user may set carries its help text; the options of `headrace serve` and the arguments of
`python -m headrace.serving` are made from them (see `serving.options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError

MAX_BODY = 8 * 1024 * 1024  # bytes
MAX_PIXELS = 50_000_000  # what cameras take; a file of some kilobytes may claim to be far more


def option(default: Any, help_text: str, metavar: str = "") -> Any:
    """A field that the command line offers under its name."""
    return field(default=default, metadata={"help": help_text, "metavar": metavar})


@dataclass(frozen=True)
class Settings:
    """Immutable, and the same for all workers."""

    host: str = option("127.0.0.1", "Address to listen on.", "ADDRESS")
    port: int = option(8080, "Port; 0 takes a free one.", "PORT")
    workers: int = option(1, "Processes, best one per core.", "N")
    max_body: int = option(MAX_BODY, "Of a request's body, at most; a larger one gets a 413.", "BYTES")
    max_pixels: int = option(MAX_PIXELS, "Of a picture, at most; a larger one gets a 400.", "N")
    body_seconds: float = option(30.0, "For which a client may take to send a body.", "SECONDS")
    access_log: bool = option(False, "A line per request, to standard error.")
    predict_routes: tuple[str, ...] = ("/predict",)
    health_routes: tuple[str, ...] = ("/health", "/healthz")
    deployed_model_id: str | None = None  # Vertex's, repeated in the answers

    def __post_init__(self) -> None:
        _check(0 <= self.port <= 65535, "port", "0 to 65535", self.port)
        _check(self.workers >= 1, "workers", "1 or more", self.workers)
        _check(self.body_seconds > 0, "body seconds", "more than 0", self.body_seconds)
        _check(self.max_body >= 1, "max body", "1 byte or more", self.max_body)
        _check(self.max_pixels >= 1, "max pixels", "1 or more", self.max_pixels)


def vertex_defaults(environment: Mapping[str, str]) -> dict[str, object]:
    """The settings that Vertex AI gives a custom container through the environment; empty elsewhere.

    The usual routes stay, besides Vertex's. Inside a container one listens on every address.

    Raises:
        HeadraceError: AIP_HTTP_PORT is no number, or a route does not begin with a slash.
    """
    found: dict[str, object] = {}
    if port := environment.get("AIP_HTTP_PORT"):
        _check(port.isdigit(), "AIP_HTTP_PORT", "a port number", port)
        found |= {"port": int(port), "host": "0.0.0.0"}
    for variable, name, usual in (
        ("AIP_PREDICT_ROUTE", "predict_routes", Settings.predict_routes),
        ("AIP_HEALTH_ROUTE", "health_routes", Settings.health_routes),
    ):
        if route := environment.get(variable):
            _check(route.startswith("/"), variable, "a path that begins with /", route)
            found[name] = tuple(dict.fromkeys((route, *usual)))
    if model := environment.get("AIP_DEPLOYED_MODEL_ID"):
        found["deployed_model_id"] = model
    return found


def _check(fine: bool, what: str, expected: str, received: object) -> None:
    if not fine:
        raise HeadraceError(f"{what}: expected {expected}. Received: {received}")
