"""What a platform offers to the steps of a pipeline and to the command line.

Versions are strings ("1", "2", ...), as everywhere that such a registry exists; an alias is a name that is
moved from version to version, and `champion` is the one that serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headrace.artifacts.errors import HeadraceError

CHAMPION = "champion"
ANY_CHAMPION = "any"  # as the champion that is expected: whichever it is. Never a digest.
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"  # of models and endpoints: a folder's name, a part of a URL


class ChampionChanged(HeadraceError):
    """Another version became the champion than the one that the new one was compared with."""


@dataclass(frozen=True)
class ModelVersion:
    """One registered version of a model. Its bundle never changes; its aliases may move."""

    name: str
    version: str  # "1", "2", ... in the order of registration
    digest: str  # of the bundle, "sha256:<hex>": the identity of the content
    uri: str  # where the bundle lies; a folder's path on the local platform
    created: str  # ISO 8601, UTC
    run: str  # the pipeline run that registered it
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployed:
    """One model version behind an endpoint, with its share of the traffic in percent (1 to 100)."""

    model: str
    version: str
    traffic: int


@dataclass(frozen=True)
class Endpoint:
    """A name that answers predictions, and what is behind it: the largest share first, 100 in all."""

    name: str
    deployed: tuple[Deployed, ...]
    updated: str  # ISO 8601, UTC

    @property
    def main(self) -> Deployed:
        """The version that answers most requests."""
        return self.deployed[0]


@dataclass(frozen=True)
class Event:
    """One line of the audit log: who did what to which model or endpoint, when, and in which run."""

    time: str  # ISO 8601, UTC
    actor: str  # user@host
    action: str  # register | alias | deploy
    subject: str  # a model's name, or an endpoint's
    run: str  # empty when no run did it
    detail: Mapping[str, Any]


class ModelRegistry(Protocol):
    """Models by name, and their numbered, immutable versions."""

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        metrics: Mapping[str, float],
        run: str,
        labels: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Stores a bundle as the next version of a model; content that is there already keeps its version.

        Raises:
            ArtifactError: the bundle is damaged, incomplete, or written by a newer version.
            HeadraceError: the name is not one, or the registry cannot be written.
        """

    def models(self) -> list[str]:
        """The names of all models, sorted."""

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a model, oldest first; none for a name that was never registered."""

    def get(self, name: str, version: str) -> ModelVersion:
        """One version, by its number or by an alias such as `champion`.

        Raises:
            HeadraceError: there is no such model, version or alias.
        """

    def champion(self, name: str) -> ModelVersion | None:
        """The version that serves, or None: the registry answered, and there is none."""

    def set_alias(self, name: str, alias: str, version: str, *, run: str = "") -> None:
        """Points an alias at a version.

        Raises:
            HeadraceError: there is no such model or version, or the alias is not a name.
        """

    def download(self, name: str, version: str, path: Path) -> None:
        """Places the bundle of a version at `path`, checked, all at once or not at all.

        Raises:
            ArtifactError: the stored bundle was damaged, or `path` is taken.
            HeadraceError: there is no such model, version or alias.
        """

    def history(self, subject: str | None = None) -> list[Event]:
        """The audit log, oldest first: all of it, or that of one model or endpoint."""


class Endpoints(Protocol):
    """Names that answer predictions."""

    def deploy(
        self,
        endpoint: str,
        name: str,
        version: str,
        *,
        traffic: int = 100,
        run: str = "",
        expected_champion: str | None = ANY_CHAMPION,
    ) -> Endpoint:
        """Puts a version behind an endpoint with `traffic` percent, and makes it the champion, in one step.

        Args:
            endpoint: the endpoint's name.
            name: the model's name.
            version: the version's number or alias.
            traffic: its share, in percent.
            run: the pipeline run, for the audit log.
            expected_champion: the digest that the model's champion must have now, None for no champion. It is
                compared in the transaction that writes, so of two that expect the same champion one wins. A
                version that is the champion already is deployed whatever was expected.

        Raises:
            ChampionChanged: the champion is not the expected one; nothing was changed.
            HeadraceError: there is no such model or version, or the platform cannot share traffic that way.
        """

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint, or None when nothing was ever deployed to it."""

    def list(self) -> list[Endpoint]:
        """All endpoints, by name."""


class Platform(Protocol):
    """A place where models live and are served."""

    @property
    def uri(self) -> str:
        """What `open_platform` was asked for."""

    @property
    def registry(self) -> ModelRegistry:
        """The platform's model registry."""

    @property
    def endpoints(self) -> Endpoints:
        """The platform's endpoints."""
