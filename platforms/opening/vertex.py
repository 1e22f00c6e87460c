"""`vertex:PROJECT/LOCATION?...`: Vertex AI's Model Registry, and its endpoints where a machine type is given."""

from __future__ import annotations

from pathlib import Path

from headrace.platforms.interface import Platform
from headrace.platforms.ledger.platform import LedgerPlatform
from headrace.platforms.vertex.endpoints import VertexPlatform
from headrace.platforms.vertex.store import VertexPlace, VertexStore


def open_platform(uri: str, home: Path | str | None) -> Platform:
    """The platform in a Google Cloud project.

    Raises:
        HeadraceError: the URI is incomplete.
    """
    place = VertexPlace.of(uri)
    return VertexPlatform(place) if place.machine else LedgerPlatform(VertexStore(place))
