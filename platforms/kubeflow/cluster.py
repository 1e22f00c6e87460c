"""A Kubernetes cluster's custom resources, by the kubernetes client: from inside, or by the kubeconfig."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.errors import HeadraceError

GROUP = "serving.kserve.io"
_LIMIT: dict[str, Any] = {"_request_timeout": 30.0}  # seconds
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_Manifest = dict[str, Any]


class ClusterError(HeadraceError):
    """The cluster cannot be reached, or refuses."""


class Conflict(ClusterError):
    """Somebody else changed the resource since it was read, or made it."""


@dataclass(frozen=True)
class Kind:
    """A kind of custom resource."""

    plural: str
    version: str
    name: str
    group: str = GROUP

    @property
    def api_version(self) -> str:
        """As a manifest has it."""
        return f"{self.group}/{self.version}"


SERVICE = Kind("inferenceservices", "v1beta1", "InferenceService")
RUNTIME = Kind("servingruntimes", "v1alpha1", "ServingRuntime")


class Cluster:
    """One namespace of a cluster. Credentials are read when it is first asked something."""

    def __init__(self, namespace: str, context: str = "") -> None:
        self.namespace = namespace
        self._context = context
        self._client: Any = None

    def get(self, kind: Kind, name: str) -> _Manifest | None:
        """A resource; None where there is none of that name."""
        found: _Manifest | None = self._ask(
            f"get {kind.plural}",
            name,
            lambda apis: apis.CustomObjectsApi().get_namespaced_custom_object(*self._of(kind), name, **_LIMIT),
        )
        return found

    def list(self, kind: Kind, labels: str = "") -> list[_Manifest]:
        """The resources that have some labels."""
        found = self._ask(
            f"list {kind.plural}",
            "",
            lambda apis: apis.CustomObjectsApi().list_namespaced_custom_object(
                *self._of(kind), label_selector=labels, **_LIMIT
            ),
        )
        return list(self._there(kind, found).get("items") or [])

    def create(self, kind: Kind, manifest: Mapping[str, Any]) -> _Manifest:
        """Makes a resource.

        Raises:
            Conflict: there is one of that name.
        """
        made = self._ask(
            f"create {kind.plural}",
            str(manifest["metadata"]["name"]),
            lambda apis: apis.CustomObjectsApi().create_namespaced_custom_object(
                *self._of(kind), dict(manifest), **_LIMIT
            ),
        )
        return self._there(kind, made)

    def replace(self, kind: Kind, manifest: Mapping[str, Any]) -> _Manifest:
        """Replaces a resource that was read before, if it is as it was.

        Raises:
            Conflict: it is not.
        """
        name = str(manifest["metadata"]["name"])
        made: _Manifest | None = self._ask(
            f"update {kind.plural}",
            name,
            lambda apis: apis.CustomObjectsApi().replace_namespaced_custom_object(
                *self._of(kind), name, dict(manifest), **_LIMIT
            ),
        )
        if made is None:
            raise Conflict(f"{self._where}: {name}: expected it to be there still. Received: none")
        return made

    def delete(self, kind: Kind, name: str) -> None:
        """Removes a resource; nothing where there is none."""
        self._ask(
            f"delete {kind.plural}",
            name,
            lambda apis: apis.CustomObjectsApi().delete_namespaced_custom_object(*self._of(kind), name, **_LIMIT),
        )

    def deployment(self, name: str) -> _Manifest | None:
        """A Deployment, which is what stands behind a service without Knative."""
        found: _Manifest | None = self._ask(
            "get deployments",
            name,
            lambda apis: json.loads(
                apis.AppsV1Api().read_namespaced_deployment(name, self.namespace, _preload_content=False, **_LIMIT).data
            ),
        )
        return found

    def may(self, verb: str, kind: Kind) -> bool:
        """Whether these credentials are allowed to do something in the namespace, as the cluster says."""
        asked = {"namespace": self.namespace, "verb": verb, "group": kind.group, "resource": kind.plural}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self._ask(
            "create selfsubjectaccessreviews",
            "",
            lambda apis: json.loads(
                apis.AuthorizationV1Api().create_self_subject_access_review(body, _preload_content=False, **_LIMIT).data
            ),
        )
        return bool((answer or {}).get("status", {}).get("allowed"))

    def _there(self, kind: Kind, found: _Manifest | None) -> _Manifest:
        if found is None:
            raise ClusterError(
                f"{self._where}: expected KServe in the cluster. Received: no {kind.plural}.{kind.group}; install it, "
                "or see whether the context is that of another cluster"
            )
        return found

    @property
    def _where(self) -> str:
        return f"namespace {self.namespace}" + (f" ({self._context})" if self._context else "")

    def _of(self, kind: Kind) -> tuple[str, str, str, str]:
        return kind.group, kind.version, self.namespace, kind.plural

    def _ask(self, what: str, name: str, call: Callable[[Any], Any]) -> Any:
        """Calls the client, and turns what it raises into errors for the user; None where something is not there."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        where = f"{self._where}: {name}" if name else self._where
        try:
            return call(self._connected())
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status == 409:
                raise Conflict(f"{where}: expected nobody else to change it. Received: {_told(error)}") from error
            hint = ""
            if error.status in (401, 403):
                verb, _, plural = what.partition(" ")
                hint = f"; `kubectl auth can-i {verb} {plural} -n {self.namespace}` says whether you may"
            raise ClusterError(f"{where}: expected to {what}. Received: {_told(error)}{hint}") from error
        except (HTTPError, OSError) as error:
            told = str(error).partition("(Caused by ")[2].removesuffix(")") or str(error) or type(error).__name__
            raise ClusterError(f"{where}: expected a cluster that answers. Received: {told[:300]}") from error

    def _connected(self) -> Any:
        """The client's API classes, bound to this cluster."""
        if self._client is None:
            from kubernetes import client, config

            configuration = client.Configuration()
            try:
                if os.environ.get(_IN_CLUSTER) and not self._context:
                    config.load_incluster_config(client_configuration=configuration)
                else:
                    config.load_kube_config(
                        config_file=os.environ.get("KUBECONFIG") or None,  # the client reads it when it is imported
                        context=self._context or None,
                        client_configuration=configuration,
                    )
            except config.ConfigException as error:
                raise ClusterError(
                    f"{self._where}: expected the cluster in the kubeconfig (KUBECONFIG, ~/.kube/config), or to run "
                    f"inside of it. Received: {str(error).splitlines()[0]}"
                ) from error
            configuration.retries = 2
            self._client = _Apis(client, client.ApiClient(configuration))
        return self._client


class _Apis:
    """The API classes of the client's module, each made with one connection."""

    def __init__(self, module: Any, connection: Any) -> None:
        self._module, self._connection = module, connection

    def __getattr__(self, name: str) -> Any:
        return lambda: getattr(self._module, name)(self._connection)


def _told(error: Any) -> str:
    """What the API server said: its message, or where a proxy answered, the status."""
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason or "no reason"
    return f"{str(message)[:500]} (HTTP {error.status})"
