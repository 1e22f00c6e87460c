"""What a server process is told: where it listens, which routes it answers, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.artifacts.errors import HeadraceError

MAX_BODY = 8 * 1024 * 1024  # bytes
MAX_PIXELS = 50_000_000  # what cameras take; a file of some kilobytes may claim to be far more


@dataclass(frozen=True)
class Settings:
    """Immutable, and the same for all workers."""

    host: str = "127.0.0.1"
    port: int = 8080  # 0: the system picks a free one
    workers: int = 1
    max_body: int = MAX_BODY  # bytes; a larger one gets a 413
    max_pixels: int = MAX_PIXELS  # of a picture; a larger one gets a 400
    body_seconds: float = 30.0  # for which a client may take to send a body
    predict_routes: tuple[str, ...] = ("/predict",)
    health_routes: tuple[str, ...] = ("/health", "/healthz")
    access_log: bool = False
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
    for variable, field, usual in (
        ("AIP_PREDICT_ROUTE", "predict_routes", Settings.predict_routes),
        ("AIP_HEALTH_ROUTE", "health_routes", Settings.health_routes),
    ):
        if route := environment.get(variable):
            _check(route.startswith("/"), variable, "a path that begins with /", route)
            found[field] = tuple(dict.fromkeys((route, *usual)))
    if model := environment.get("AIP_DEPLOYED_MODEL_ID"):
        found["deployed_model_id"] = model
    return found


def _check(fine: bool, what: str, expected: str, received: object) -> None:
    if not fine:
        raise HeadraceError(f"{what}: expected {expected}. Received: {received}")
