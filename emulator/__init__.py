"""Vertex AI, Kubeflow Pipelines and Cloud Storage by REST in front of the local platform, for their own clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.emulator.connecting import Connection, connect

__all__ = ["Connection", "connect"]


def __getattr__(name: str) -> Any:
    """Loads what is asked for: pytest loads this package at each start, for its plug-in alone."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headrace.emulator import connecting

    return getattr(connecting, name)
