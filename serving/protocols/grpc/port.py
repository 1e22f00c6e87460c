"""The port for gRPC, claimed before there is a server on it."""

from __future__ import annotations

import socket
from dataclasses import replace

from headrace.serving.server import bind
from headrace.serving.settings import Settings


def claimed(settings: Settings, shared: bool) -> tuple[Settings, socket.socket | None]:
    """The settings with a port for gRPC that is ours; with `shared` also a socket that keeps it while workers change.

    Raises:
        HeadraceError: it is taken.
    """
    if settings.grpc_port is None:
        return settings, None
    probe = bind(settings.host, settings.grpc_port, listen=True)
    settings = replace(settings, grpc_port=probe.getsockname()[1])
    probe.close()
    return settings, bind(settings.host, settings.grpc_port or 0, shared=True) if shared else None
