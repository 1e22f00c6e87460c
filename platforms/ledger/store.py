"""What a service has to offer so that a registry can live in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import ModelVersion


class StoreError(HeadraceError):
    """The service cannot be reached, or refuses."""


@dataclass(frozen=True)
class Kept:
    """A bundle in the service."""

    version: int  # the number that the service gave it
    uri: str  # where it lies


@dataclass(frozen=True)
class Shown:
    """What the service's own pages say of a version."""

    aliases: frozenset[str]
    state: str


class Store(Protocol):
    """A service that keeps versions of models, files, and entries of a log.

    All of it may raise StoreError. `append` is what makes concurrent changes safe: whatever two processes do at once,
    everybody reads the same entries in the same order afterwards.
    """

    @property
    def uri(self) -> str:
        """What `open_platform` was asked for."""

    def check_name(self, name: str, others: Sequence[str]) -> None:
        """Refuses a model's name that the service cannot keep beside those that are there."""

    def check_alias(self, alias: str) -> None:
        """Refuses an alias that the service keeps for itself."""

    def entries(self, after: int) -> list[tuple[int, str]]:
        """The log's entries behind a number, in order: number (rising) and text."""

    def append(self, after: int, text: str) -> None:
        """Adds an entry behind those that are known, `after` being the last one's number.

        Where others were faster, it may be added behind theirs, or not at all; whoever calls it reads the log to learn.
        """

    def keep(self, bundle: Bundle, name: str, run: str) -> Kept:
        """Stores a bundle as the next version of a model."""

    def discard(self, name: str, kept: Kept) -> None:
        """Removes a version that was stored a moment ago and is none: another process stored the same content."""

    def fetch(self, uri: str, folder: Path) -> None:
        """Copies a stored bundle into a new folder; whoever calls it checks what arrived."""

    def keep_document(self, name: str, version: int, uri: str, digest: str, content: bytes) -> str:
        """Stores a file beside the version whose bundle lies at `uri`, and says where it lies."""

    def fetch_document(self, place: str) -> bytes:
        """The content of such a file."""

    def show(self, version: ModelVersion) -> None:
        """Sets aliases, tags or labels of a version in the service to what holds, for its own pages and clients."""

    def shown(self, name: str) -> dict[int, Shown]:
        """What the service's own pages say of a model's versions."""
