"""What `headrace doctor --on kubeflow` looks at: the Pipelines API, and the cluster that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.kubeflow.cluster import RUNTIME, SERVICE, Cluster, ClusterError
from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.kubeflow.store import ObjectStore
from headrace.platforms.running import Finding, RunsError

if TYPE_CHECKING:
    from headrace.platforms.kubeflow.runs import KubeflowRuns

_VERBS = {SERVICE: ("get", "list", "create", "update", "delete"), RUNTIME: ("get", "create")}


def check_runs(runs: KubeflowRuns) -> list[Finding]:
    """The Pipelines API: whether it answers, whether it wants a namespace, and whether these credentials may."""
    try:
        health = runs.healthz()
    except RunsError as error:
        remedy = "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80, and --endpoint http://localhost:8080"
        return [Finding("Pipelines API", False, str(error), remedy)]
    found = [Finding("Pipelines API", True, f"{runs.where.endpoint} answers")]
    if health.multi_user and not runs.where.namespace:
        told = "the cluster is for several users, and no namespace is said"
        return [*found, Finding("namespace", False, told, "say the namespace of your profile: `kubectl get profiles`")]
    try:
        runs.experiments()
    except RunsError as error:
        account = "ACCOUNT" if not runs.where.namespace else f"{runs.where.namespace}:ACCOUNT"
        namespace = runs.where.namespace or "NAMESPACE"
        remedy = (
            f"kubectl create rolebinding headrace-runs -n {namespace} --clusterrole=kubeflow-edit "
            f"--serviceaccount={account}"
        )
        return [*found, Finding("role kubeflow-edit", False, str(error), remedy)]
    return [*found, Finding("experiments", True, "may be listed")]


def check_serving(place: KubeflowPlace) -> list[Finding]:
    """The namespace that models are served in: KServe, the permissions on it, and the bucket. Changes nothing."""
    cluster = Cluster(place.namespace, place.context)
    found: list[Finding] = []
    try:
        cluster.list(SERVICE)
    except ClusterError as error:
        found.append(Finding("KServe", False, str(error), 'see docs/kubeflow.md, "KServe"'))
    else:
        found.append(Finding("KServe", True, f"answers in the namespace {place.namespace}"))
        found += _permissions(cluster, place)
    if not place.image:
        found.append(Finding("serving image", False, "none is said", "add &image=IMAGE to the platform"))
    try:
        ObjectStore(place).entries(0)
    except HeadraceError as error:
        remedy = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and for MinIO AWS_ENDPOINT_URL; or Google's credentials"
        found.append(Finding("bucket", False, str(error), remedy))
    else:
        found.append(Finding("bucket", True, f"{place.bucket} may be read"))
    return found


def _permissions(cluster: Cluster, place: KubeflowPlace) -> list[Finding]:
    try:
        lacking = [
            f"{verb} {kind.plural}.{kind.group}"
            for kind, verbs in _VERBS.items()
            for verb in verbs
            if not cluster.may(verb, kind)
        ]
    except ClusterError as error:
        return [Finding("permissions", None, str(error))]
    if not lacking:
        return [Finding("permissions", True, "may change InferenceServices")]
    remedy = f'kubectl apply -n {place.namespace} -f the Role of docs/kubeflow.md, "Permissions"'
    return [Finding("permissions", False, f"may not {', '.join(lacking)}", remedy)]
