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
MAX_BUFFER = 256 * 1024 * 1024  # bytes
MAX_PIXELS = 50_000_000  # what cameras take; a file of some kilobytes may claim to be far more

LOAD_MEMORY = 4096  # MiB


def option(default: Any, help_text: str, metavar: str = "") -> Any:
    """A field that the command line offers under its name."""
    return field(default=default, metadata={"help": help_text, "metavar": metavar})


@dataclass(frozen=True)
class Settings:
    """Immutable, and the same for all workers."""

    host: str = option("127.0.0.1", "Address to listen on.", "ADDRESS")
    port: int = option(8080, "Port; 0 takes a free one.", "PORT")
    grpc_port: int | None = option(None, "Port for gRPC (Open Inference Protocol); 0 takes a free one.", "PORT")
    model_name: str | None = option(None, "In the paths of /v1 and /v2, beside the model's own name.", "NAME")
    workers: int = option(1, "Processes, best one per core.", "N")
    max_body: int = option(MAX_BODY, "Of a request's body, at most; a larger one gets a 413.", "BYTES")
    max_pixels: int = option(MAX_PIXELS, "Of a picture, at most; a larger one gets a 400.", "N")
    head_seconds: float = option(10.0, "For which a client may take to send a request's head.", "SECONDS")
    body_seconds: float = option(30.0, "For which a client may take to send a body.", "SECONDS")
    write_seconds: float = option(
        30.0, "For which a client may read nothing of its answer before it is cut.", "SECONDS"
    )
    idle_seconds: float = option(
        620.0, "For which a connection may be idle: longer than the load balancer before it reuses one.", "SECONDS"
    )
    drain_seconds: float = option(25.0, "For which a server that stops answers what is in progress.", "SECONDS")
    max_connections: int = option(4096, "Of one process, at most; another one gets a 503, unless one is idle.", "N")
    max_requests: int = option(1024, "In progress in one process, at most; another one gets a 503.", "N")
    max_wait: float = option(
        0.25, "For which a request may wait for its turn; one that would wait longer gets a 503.", "SECONDS"
    )
    max_buffer: int = option(
        MAX_BUFFER, "Of the bodies in one process that come in pieces, in all; beyond it a 503.", "BYTES"
    )
    max_batch: int = option(64, "Rows of requests that wait, scored together, of a slow model; 1 for never.", "ROWS")
    token_file: str | None = option(
        None, "File with a token per line; requests need one as `Authorization: Bearer`.", "FILE"
    )
    tls_cert: str | None = option(None, "Certificate, in PEM, for HTTPS.", "FILE")
    tls_key: str | None = option(None, "Its key, if not in the same file.", "FILE")
    tls_client_ca: str | None = option(None, "Only clients with a certificate of these authorities.", "FILE")
    load_memory: int = option(
        LOAD_MEMORY, "That a model may take when it is loaded and tried, at most; what takes more is refused.", "MIB"
    )
    log_dir: str | None = option(None, "Folder for a log of requests and predictions, as Parquet.", "DIR")
    log_sample: float = option(1.0, "Share of the requests that are logged, from 0 to 1.", "SHARE")
    log_omit: str | None = option(
        None, "Inputs that are not logged, or key for the routing key; names with commas between them.", "NAMES"
    )
    log_images: bool = option(False, "Log pictures themselves, and not only their size and digest.")
    log_mib: int = option(1024, "Of the log on disk, at most; the oldest files go first.", "MIB")
    log_file_mib: int = option(64, "After which another file of the log is begun.", "MIB")
    log_file_seconds: float = option(60.0, "Likewise; requests can be read from the log so long after.", "SECONDS")
    server_chooses: bool = option(
        False, "Refuse requests that name their version (x-model-version, /versions/V): a split's shares decide alone."
    )
    access_log: bool = option(False, "A line of JSON per request, to standard error.")
    predict_routes: tuple[str, ...] = ("/predict",)
    health_routes: tuple[str, ...] = ("/health", "/healthz")
    endpoint: str = ""  # whose versions are served, for the log
    deployed_model_id: str | None = None  # Vertex's, repeated in the answers

    def __post_init__(self) -> None:
        _check(0 <= self.port <= 65535, "port", "0 to 65535", self.port)
        _check(0 <= (self.grpc_port or 0) <= 65535, "grpc port", "0 to 65535", self.grpc_port)
        named = self.model_name is None or bool(self.model_name.strip("/") == self.model_name and self.model_name)
        _check(named, "model name", "a name that is not empty and has no slash at its ends", self.model_name)
        _check(self.workers >= 1, "workers", "1 or more", self.workers)
        for name in ("head_seconds", "body_seconds", "write_seconds", "idle_seconds", "drain_seconds", "max_wait"):
            _check(getattr(self, name) > 0, name.replace("_", " "), "more than 0", getattr(self, name))
        for name in ("max_connections", "max_requests", "max_buffer", "max_batch"):
            _check(getattr(self, name) >= 1, name.replace("_", " "), "1 or more", getattr(self, name))
        _check(bool(self.tls_cert or not self.tls_key), "tls cert", "a certificate for the key", self.tls_cert)
        _check(bool(self.tls_cert or not self.tls_client_ca), "tls cert", "a certificate of the server", self.tls_cert)
        _check(0 <= self.log_sample <= 1, "log sample", "a share from 0 to 1", self.log_sample)
        _check(self.log_mib >= 1, "log MiB", "1 or more", self.log_mib)
        _check(self.log_file_mib >= 1, "log file MiB", "1 or more", self.log_file_mib)
        _check(self.log_file_seconds > 0, "log file seconds", "more than 0", self.log_file_seconds)
        _check(self.max_body >= 1, "max body", "1 byte or more", self.max_body)
        _check(self.load_memory >= 1, "load memory", "1 MiB or more", self.load_memory)
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
