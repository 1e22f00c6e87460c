"""Endpoints that Vertex AI serves: the log decides, and Vertex AI's Endpoint follows it.

A version is deployed there before the log is changed, without traffic where another one answers. So what cannot be
pulled, started or loaded never becomes the champion, and the version before goes on as if nothing had been.
"""

from __future__ import annotations

import builtins
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    ANY_CHAMPION,
    ChampionChanged,
    Deployed,
    Endpoint,
    Endpoints,
    ModelRegistry,
    ModelVersion,
    RolledBack,
)
from headrace.platforms.ledger.endpoints import LedgerEndpoints
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.registry import LedgerRegistry
from headrace.platforms.lifecycle import check_deployable
from headrace.platforms.vertex.monitoring import check_features, monitor, watched
from headrace.platforms.vertex.serving import Status, VertexServing, shares
from headrace.platforms.vertex.settings import Monitoring
from headrace.platforms.vertex.store import VertexPlace, VertexStore


class VertexPlatform:
    """A platform whose registry and endpoints are Vertex AI's. Implements `platforms.interface.Platform`."""

    def __init__(self, place: VertexPlace) -> None:
        store = VertexStore(place)
        self.uri = store.uri
        ledger = Ledger(store)
        self.registry = LedgerRegistry(store, ledger)
        self.endpoints: Endpoints = VertexEndpoints(
            self.registry, LedgerEndpoints(store, ledger), VertexServing(place, place.serving), _Watch.of(place)
        )


class _Watch:
    """Has Vertex AI watch endpoints, as the place's URI says."""

    def __init__(self, place: VertexPlace, settings: Monitoring) -> None:
        self._place, self._settings = place, settings
        self._known: dict[str, tuple[tuple[str, ...], str]] = {}  # inputs and label, by the bundle's digest

    @classmethod
    def of(cls, place: VertexPlace) -> _Watch | None:
        """None where nothing is to be watched."""
        found = watched(place)
        return None if found is None else cls(place, found)

    def columns(self, registry: ModelRegistry, version: ModelVersion) -> tuple[tuple[str, ...], str]:
        """The columns of a version that are watched, and its label's.

        Raises:
            HeadraceError: a threshold is for none of them, or there are none.
        """
        if version.digest not in self._known:
            with tempfile.TemporaryDirectory(prefix="headrace-watch-") as folder:
                registry.download(version.name, version.version, Path(folder) / "bundle")
                signature = Bundle.open(Path(folder) / "bundle", verify=False).signature
            inputs = tuple(one.name for one in signature.inputs if one.type != "image")
            self._known[version.digest] = inputs, signature.label
        check_features(self._settings, self._known[version.digest][0])
        return self._known[version.digest]

    def __call__(self, registry: ModelRegistry, endpoint: Endpoint, deployed: Sequence[str]) -> None:
        features, label = self.columns(registry, registry.get(endpoint.base.model, endpoint.base.version))
        monitor(self._place, endpoint.name, self._settings, features=features, target=label, deployed=deployed)


class VertexEndpoints:
    """Implements `platforms.interface.Endpoints`."""

    def __init__(
        self, registry: ModelRegistry, log: LedgerEndpoints, serving: VertexServing, watch: _Watch | None = None
    ) -> None:
        self._registry = registry
        self._log = log
        self._serving = serving
        self._watch = watch

    def deploy(
        self,
        endpoint: str,
        name: str,
        version: str,
        *,
        traffic: int = 100,
        run: str = "",
        expected_champion: str | None = ANY_CHAMPION,
        who: str = "",
        reason: str = "",
    ) -> Endpoint:
        """Puts a version behind an endpoint and makes it the champion, if it starts; see `Endpoints.deploy`."""
        found = self._registry.get(name, version)
        check_deployable(found, found.approvals_needed)
        self._require_champion(name, found.digest, expected_champion)
        if self._watch is not None:
            self._watch.columns(self._registry, found)  # what cannot be watched is refused before all else
        with self._undone(endpoint):
            self._serving.prepare(endpoint, name, [found.version])
            self._log.deploy(
                endpoint,
                name,
                found.version,
                traffic=traffic,
                run=run,
                expected_champion=expected_champion,
                who=who,
                reason=reason,
            )
        return self.follow(endpoint)

    def split(
        self,
        endpoint: str,
        deployed: Sequence[Deployed],
        *,
        key: str = "",
        expected: Endpoint | None = None,
        experiment: str = "",
        who: str = "",
        reason: str = "",
        run: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """Deals an endpoint's traffic; see `Endpoints.split`. By chance, as Vertex AI does it: a key is refused."""
        if key:
            raise HeadraceError(
                f"endpoint {endpoint}: expected a split without a key, as Vertex AI deals each request by chance. "
                f"Received: {key}"
            )
        answering = []
        for one in deployed:
            found = self._registry.get(one.model, one.version)
            if not one.shadow:
                check_deployable(found, found.approvals_needed)
                answering.append(found)
        with self._undone(endpoint):
            if len({one.name for one in answering}) == 1:  # else the log refuses it
                self._serving.prepare(endpoint, answering[0].name, [one.version for one in answering])
            self._log.split(
                endpoint,
                deployed,
                expected=expected,
                experiment=experiment,
                who=who,
                reason=reason,
                run=run,
                evidence=evidence,
            )
        return self.follow(endpoint)

    def rollback(
        self,
        endpoint: str,
        *,
        who: str,
        reason: str,
        run: str = "",
        expected_version: str = "",
        expected_model: str = "",
    ) -> RolledBack:
        """Serves again what served before; see `Endpoints.rollback`. Out of a split that takes one request."""
        done = self._log.rollback(
            endpoint,
            who=who,
            reason=reason,
            run=run,
            expected_version=expected_version,
            expected_model=expected_model,
        )
        self.follow(endpoint)
        return done

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint as the log has it, or None; see `Endpoints.get`."""
        return self._log.get(endpoint)

    def list(self) -> builtins.list[Endpoint]:
        """All endpoints, by name."""
        return self._log.list()

    def follow(self, endpoint: str) -> Endpoint:
        """Makes Vertex AI's endpoint as the log says.

        Raises:
            HeadraceError: nothing was ever deployed there, or Vertex AI refuses; the log stays.
        """
        found = self._log.get(endpoint)
        if found is None:
            known = ", ".join(one.name for one in self._log.list()) or "none yet"
            raise HeadraceError(f"endpoint: expected one that serves ({known}). Received: {endpoint!r}")

        def watch(deployed: Sequence[str]) -> None:
            if self._watch is not None:
                self._watch(self._registry, found, deployed)

        try:
            self._serving.apply(found, self._uri, watch=watch)
        except HeadraceError as error:
            raise HeadraceError(
                f"{error}\nThe registry has the change; `headrace models sync {endpoint}` makes Vertex AI follow it"
            ) from error
        return found

    def served(self, endpoint: str) -> Status | None:
        """What Vertex AI says of an endpoint; None where it has none of that name."""
        return self._serving.status(endpoint)

    def wanted(self, endpoint: Endpoint) -> dict[str, int]:
        """Percent by the deployed models' names, as Vertex AI has to have them: see `Status.shares`."""
        return shares(endpoint, self._uri)

    def _uri(self, model: str, version: str) -> str:
        return self._registry.get(model, version).uri

    @contextmanager
    def _undone(self, endpoint: str) -> Iterator[None]:
        """A block after which Vertex AI follows the log again, where it fails."""
        try:
            yield
        except BaseException as error:
            try:
                there = self._log.get(endpoint)
                if there is not None:
                    self.follow(endpoint)
                elif self._serving.status(endpoint) is not None:
                    self._serving.empty(endpoint)
            except HeadraceError as left:  # the error that led here says more
                error.add_note(f"what was tried may still be in Vertex AI: {left}")
            raise

    def _require_champion(self, name: str, digest: str, expected: str | None) -> None:
        """Looks before anything is started; the log looks again when it is changed."""
        champion = self._registry.champion(name)
        now = champion.digest if champion else None
        if expected in (ANY_CHAMPION, now) or now == digest:
            return
        received = f"version {champion.version} ({champion.digest[:19]})" if champion else "none"
        raise ChampionChanged(
            f"the champion of {name} changed while this run was judged; run again. "
            f"expected: {'none' if expected is None else expected[:19]}. Received: {received}"
        )
