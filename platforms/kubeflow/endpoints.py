"""Endpoints that KServe serves: the log decides, and the InferenceService follows it.

A version is tried in the cluster before the log is changed, without traffic. So what cannot be pulled, scheduled or
loaded there never becomes the champion, and the version before goes on as if nothing had been.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    ANY_CHAMPION,
    ChampionChanged,
    Deployed,
    Endpoint,
    ModelRegistry,
    RolledBack,
)
from headrace.platforms.kubeflow.kserve import KServe, Served
from headrace.platforms.kubeflow.place import RAW
from headrace.platforms.ledger.endpoints import LedgerEndpoints
from headrace.platforms.lifecycle import check_deployable


class KubeflowEndpoints:
    """Implements `platforms.interface.Endpoints`."""

    def __init__(self, registry: ModelRegistry, log: LedgerEndpoints, services: KServe) -> None:
        self._registry = registry
        self._log = log
        self._services = services

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
        with _Undone(self, endpoint):
            self._services.try_out(self._registry, endpoint, found)
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
        """Deals an endpoint's traffic to two versions at most; see `Endpoints.split`.

        KServe deals each request by chance, so a key is refused.
        """
        answering = [one for one in deployed if not one.shadow]
        words = ", ".join(f"{one.version}={one.traffic}" for one in answering)
        if len(answering) > 2:
            raise HeadraceError(f"endpoint {endpoint}: expected two versions, as KServe has. Received: {words}")
        if len(answering) == 2 and self._services.place.mode == RAW:
            raise HeadraceError(
                f"endpoint {endpoint}: expected one version, as KServe without Knative knows no canaries. "
                f"Received: {words}"
            )
        if key:
            raise HeadraceError(
                f"endpoint {endpoint}: expected a split without a key, as KServe deals each request by chance. "
                f"Received: {key}"
            )
        there = self._log.get(endpoint)
        with _Undone(self, endpoint):
            if there is not None:
                self.undo(endpoint)  # what KServe rolled out is what a canary takes from: it has to be the base
                for one in answering:
                    if one.version != there.base.version:
                        found = self._registry.get(one.model, one.version)
                        check_deployable(found, found.approvals_needed)
                        self._services.try_out(self._registry, endpoint, found)
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
        """Serves again what served before; see `Endpoints.rollback`.

        Out of a canary that is a matter of the shares, and immediate. What was replaced altogether is started anew, and
        until it is ready the version that is taken out goes on.
        """
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
        """Makes the service as the log says, and waits until it serves that.

        Raises:
            HeadraceError: nothing was ever deployed there, or the cluster refuses; the log stays, and the message says
                how to go on.
        """
        try:
            self._services.deploy(self._registry, lambda: self._log.get(endpoint), endpoint)
        except HeadraceError as error:
            raise HeadraceError(
                f"{error}\nThe registry has the change; `headrace models sync {endpoint}` makes the cluster follow it"
            ) from error
        found = self._log.get(endpoint)
        if found is None:
            known = ", ".join(one.name for one in self._log.list()) or "none yet"
            raise HeadraceError(f"endpoint: expected one that serves ({known}). Received: {endpoint!r}")
        return found

    def served(self, endpoint: str) -> Served | None:
        """What the cluster says of an endpoint; None where it has no such service."""
        return self._services.status(endpoint)

    def differences(self, endpoint: Endpoint) -> builtins.list[str]:
        """What the cluster serves otherwise than the log says, in words; see `KServe.differences`."""
        return self._services.differences(self._registry, endpoint)

    def address(self, endpoint: str) -> tuple[str, str]:
        """Where to ask for predictions, and the host's name to send with it; see `KServe.address`."""
        return self._services.address(endpoint)

    def undo(self, endpoint: str) -> None:
        """Makes the service as the log says, as after a try that came to nothing."""
        self._services.deploy(self._registry, lambda: self._log.get(endpoint), endpoint)

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


class _Undone:
    """A block which the cluster follows the log again after, where it fails."""

    def __init__(self, endpoints: KubeflowEndpoints, endpoint: str) -> None:
        self._endpoints, self._endpoint = endpoints, endpoint

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        try:
            self._endpoints.undo(self._endpoint)
        except HeadraceError as left:  # the error that led here says more
            error.add_note(f"what was tried may still be in the cluster: {left}")
