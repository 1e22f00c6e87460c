"""InferenceServices that follow what a registry's log says is behind an endpoint.

The log decides and the service follows, never the other way: whoever changes an endpoint writes the log first, and then
makes the service as the log says at that moment. Of two who do so at once both write the same in the end.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Endpoint, ModelRegistry, ModelVersion
from headrace.platforms.kubeflow import manifests
from headrace.platforms.kubeflow.cluster import RUNTIME, SERVICE, Cluster, ClusterError, Conflict
from headrace.platforms.kubeflow.place import RAW, KubeflowPlace
from headrace.platforms.kubeflow.store import ObjectStore

_TRIES = 50  # of writing a service that others, KServe's controller for one, write as well
_EVERY_S = 1.0
_PATIENCE = 10  # looks in a row that may fail while a service gets ready


@dataclass(frozen=True)
class Served:
    """What a cluster says of an endpoint.

    Attributes:
        endpoint: its name.
        service: the InferenceService's.
        version: the newest version, which may have no traffic yet.
        ready: whether that is ready, and the shares are as they should be.
        url: where it answers, by the cluster's names; empty where it does not yet.
        traffic: percent by Knative's revisions; empty without Knative.
        problems: conditions that are not met, in the cluster's words.
    """

    endpoint: str
    service: str
    version: str
    ready: bool
    url: str
    traffic: Mapping[str, int]
    problems: tuple[str, ...] = ()


class KServe:
    """The InferenceServices of one namespace."""

    def __init__(self, place: KubeflowPlace, files: ObjectStore, *, every_s: float = _EVERY_S) -> None:
        self.place = place
        self.cluster = Cluster(place.namespace, place.context)
        self._files = files
        self._every_s = every_s

    @classmethod
    def at(cls, place: KubeflowPlace) -> KServe:
        """Those of a place, without its registry."""
        return cls(place, ObjectStore(place))

    def deploy(self, registry: ModelRegistry, wanted: Callable[[], Endpoint | None], endpoint: str) -> None:
        """Makes the service as the log says, and waits until it serves that.

        Args:
            registry: where the bundles are.
            wanted: reads what is behind the endpoint now; None: nothing, and the service is removed.
            endpoint: its name.

        Raises:
            HeadraceError: the cluster refuses, KServe cannot do what is wanted, or it does not get ready.
        """
        name = manifests.service_name(endpoint)
        for _ in range(_TRIES):
            asked, now = wanted(), self._ours(name)
            if self.place.mode == RAW:
                self.cluster.delete(SERVICE, manifests.trial_name(endpoint))
            if asked is None:
                if now is not None:
                    self.cluster.delete(SERVICE, name)
                return
            try:
                self._write(now, self._service(registry, asked, now))
            except Conflict:
                time.sleep(self._every_s * 0.1)
                continue
            if wanted() == asked:
                break  # else somebody changed it meanwhile, and may have written before we did
        else:
            raise ClusterError(
                f"endpoint {endpoint}: expected to change {name}. Received: others' changes, {_TRIES} times"
            )
        answering = [f"{one.model}:{one.version}" for one in asked.deployed if one.traffic]
        written = self._ours(name)
        if written is not None and manifests.newest(written) in answering:
            self._wait(name, endpoint)

    def try_out(self, registry: ModelRegistry, endpoint: str, version: ModelVersion) -> None:
        """Starts a version in the cluster without traffic, and waits until it is ready.

        Where nothing serves yet it is the service itself; `deploy` removes it where the log comes to nothing.

        Raises:
            HeadraceError: it does not get ready, and the message says why.
        """
        name = manifests.service_name(endpoint)
        uri = self._uri(registry, version)
        for _ in range(_TRIES):
            now = self._ours(name)
            if now is not None and manifests.bundle_of(now) == uri:
                break  # a canary, or one that was taken back and may serve again
            made = manifests.trial(self.place, endpoint, version, uri, now)
            if self.place.mode == RAW and now is not None:
                name = manifests.trial_name(endpoint)
                made["metadata"]["name"] = name
                self.cluster.delete(SERVICE, name)
            try:
                self._write(now if name == manifests.service_name(endpoint) else None, made)
                break
            except Conflict:
                name = manifests.service_name(endpoint)
                time.sleep(self._every_s * 0.1)
        else:
            raise ClusterError(
                f"endpoint {endpoint}: expected to change {name}. Received: others' changes, {_TRIES} times"
            )
        self._wait(name, endpoint)

    def status(self, endpoint: str) -> Served | None:
        """What the cluster says of an endpoint; None where it has no such service."""
        now = self.cluster.get(SERVICE, manifests.service_name(endpoint))
        if now is None or not manifests.is_ours(now):
            return None
        problems = [f"{kind}: {told}" for kind, status, told in manifests.conditions(now) if status == "False"]
        if failed := manifests.failure(now):
            problems.append(failed)
        return Served(
            endpoint=endpoint,
            service=str(now["metadata"]["name"]),
            version=manifests.newest(now),
            ready=self._is_ready(now) or manifests.taken_back(now),
            url=str(now.get("status", {}).get("url", "")),
            traffic=manifests.traffic(now),
            problems=tuple(problems),
        )

    def differences(self, registry: ModelRegistry, wanted: Endpoint) -> list[str]:
        """What a service has otherwise than the log says: see `manifests.differences`. It only looks."""
        now = self.cluster.get(SERVICE, manifests.service_name(wanted.name))
        if now is None or not manifests.is_ours(now):
            return []
        return manifests.differences(now, wanted, lambda one: self._there(registry.get(one.model, one.version)))

    def address(self, endpoint: str) -> tuple[str, str]:
        """Where to ask for predictions: the server's address, and the host's name to send where it is a gateway's.

        Raises:
            ClusterError: there is no such service, or it has no address yet.
        """
        served = self.status(endpoint)
        if served is None:
            known = sorted(
                manifests.endpoint_of(one) for one in self.cluster.list(SERVICE, f"{manifests.MANAGED}=headrace")
            )
            raise ClusterError(
                f"endpoint: expected one that serves in the namespace {self.place.namespace} "
                f"({', '.join(known) or 'none yet'}). Received: {endpoint!r}"
            )
        if not served.url:
            raise ClusterError(
                f"endpoint {endpoint}: expected an address. Received: {'; '.join(served.problems) or 'none yet'}"
            )
        host = served.url.partition("://")[2].partition("/")[0]
        base = self.place.ingress.rstrip("/") or served.url.rstrip("/")
        return base, host if self.place.ingress else ""

    def remove(self, endpoint: str) -> None:
        """Removes an endpoint's service; nothing where there is none."""
        name = manifests.service_name(endpoint)
        if self._ours(name) is not None:
            self.cluster.delete(SERVICE, name)

    def _service(self, registry: ModelRegistry, asked: Endpoint, now: dict[str, Any] | None) -> dict[str, Any]:
        versions = {one.version: registry.get(one.model, one.version) for one in asked.deployed}
        uris = {number: self._uri(registry, version) for number, version in versions.items()}
        return manifests.service(self.place, asked, uris, now)

    def _uri(self, registry: ModelRegistry, version: ModelVersion) -> str:
        """Where KServe finds a bundle: where the registry keeps it, or in a copy."""
        if there := self._there(version):
            return there
        folder = Path(tempfile.mkdtemp(prefix="headrace-serve-"))
        try:
            registry.download(version.name, version.version, folder / "bundle")
            return self._files.copy_in(folder / "bundle", version.name, version.digest)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _there(self, version: ModelVersion) -> str:
        """Where KServe finds a bundle by now; empty where a copy has to be made first."""
        if version.uri.startswith(f"{self.place.bucket}/"):
            return version.uri
        return self._files.served_copy(version.name, version.digest)

    def _write(self, now: dict[str, Any] | None, made: dict[str, Any]) -> None:
        if not self.place.image:
            raise HeadraceError(f"{self.place.uri}: expected &image=... to deploy. Received: no image")
        if self.cluster.get(RUNTIME, manifests.runtime_name(self.place.image)) is None:
            with suppress(Conflict):  # another process was faster: its name is the image's
                self.cluster.create(RUNTIME, manifests.runtime(self.place.image))
        if now is None:
            self.cluster.create(SERVICE, made)
        elif not manifests.same(now, made):
            self.cluster.replace(SERVICE, made)

    def _ours(self, name: str) -> dict[str, Any] | None:
        now = self.cluster.get(SERVICE, name)
        if now is not None and not manifests.is_ours(now):
            raise ClusterError(
                f"InferenceService {name} in the namespace {self.place.namespace}: expected one that headrace made. "
                "Received: another's; name the endpoint otherwise (deploy.endpoint)"
            )
        return now

    def _is_ready(self, now: dict[str, Any]) -> bool:
        if self.place.mode == RAW:
            return manifests.rolled_over(now, self.cluster.deployment(f"{now['metadata']['name']}-predictor"))
        return manifests.settled(now)

    def _wait(self, name: str, endpoint: str) -> None:
        give_up = time.monotonic() + self.place.wait
        now, away = None, 0
        while time.monotonic() < give_up:
            try:
                now = self.cluster.get(SERVICE, name)
            except ClusterError:  # an API server that is away for a moment; the service goes on getting ready
                away += 1
                if away >= _PATIENCE:
                    raise
                time.sleep(self._every_s)
                continue
            away = 0
            if now is None:
                raise ClusterError(
                    f"endpoint {endpoint}: expected the InferenceService {name}. Received: none any more"
                )
            if self._is_ready(now):
                return
            if failed := manifests.failure(now):
                raise ClusterError(
                    f"endpoint {endpoint}: expected version {manifests.newest(now)} to start. Received: {failed}"
                )
            time.sleep(self._every_s)
        told = [
            f"{kind}: {words}"
            for kind, status, words in manifests.conditions(now or {"metadata": {}})
            if status != "True"
        ]
        raise ClusterError(
            f"endpoint {endpoint}: expected the InferenceService {name} to be ready within {self.place.wait} s. "
            f"Received: {'; '.join(told) or 'no word of it'}; `kubectl describe inferenceservice {name} -n "
            f"{self.place.namespace}` tells more"
        )
