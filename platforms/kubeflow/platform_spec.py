"""What tasks are given, as KFP's platform spec has it: the second document of a compiled pipeline.

The form is the JSON of `KubernetesExecutorConfig`: https://github.com/kubeflow/pipelines, kubernetes_platform/proto/
kubernetes_executor_config.proto. A name stands in its field twice where the message has both: the older backends read
the plain one, the newer ones `...Parameter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.resources import TaskResources, Toleration

SHARED_MEMORY = "/dev/shm"
SPOT = "cloud.google.com/gke-spot"  # the label, and the taint, of GKE's spot nodes


def platform_spec(tasks: Mapping[str, TaskResources]) -> dict[str, Any] | None:
    """The platform spec of a pipeline; None where its tasks need none.

    Cores, memory, accelerators and plain variables are not in it: they stand in the pipeline spec.

    Args:
        tasks: by the label of the executor in the IR, as `exec-train`.

    Raises:
        HeadraceError: a task asks for what KFP cannot give it.
    """
    executors = {label: found for label, asked in tasks.items() if (found := _executor(label, asked))}
    if not executors:
        return None
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _executor(label: str, asked: TaskResources) -> dict[str, Any]:
    task = label.removeprefix("exec-")
    if asked.service_account:
        raise HeadraceError(
            f"resources: {task}: expected no service account, as on Kubeflow a run has one for all of its tasks. "
            f"Received: {asked.service_account}"
        )
    spot = (Toleration(SPOT, "Equal", "true", "NoSchedule"),) if asked.spot else ()
    shared = asked.empty_dir.get(SHARED_MEMORY)
    folders = {folder: limit for folder, limit in asked.empty_dir.items() if folder != SHARED_MEMORY}
    found: dict[str, Any] = {
        "nodeSelector": _labels({**asked.node_selector, **({SPOT: "true"} if asked.spot else {})}),
        "tolerations": [_toleration(one) for one in (*asked.tolerations, *spot)],
        "secretAsEnv": _variables(task, asked.secrets, "secret"),
        "configMapAsEnv": _variables(task, asked.config, "configMap"),
        "secretAsVolume": [
            {"secretName": name, "secretNameParameter": _constant(name), "mountPath": folder, "optional": False}
            for name, folder in asked.secret_files.items()
        ],
        "pvcMount": [
            {"constant": claim, "pvcNameParameter": _constant(claim), "mountPath": folder}
            for claim, folder in asked.volumes.items()
        ],
        "emptyDirMounts": [
            {"volumeName": f"scratch-{number}", "mountPath": folder, **({"sizeLimit": limit} if limit else {})}
            for number, (folder, limit) in enumerate(folders.items(), 1)
        ],
        "enabledSharedMemory": {} if shared is None else {"volumeName": "shm", **({"size": shared} if shared else {})},
        "imagePullSecret": [
            {"secretName": name, "secretNameParameter": _constant(name)} for name in asked.image_pull_secrets
        ],
        "activeDeadlineSeconds": str(asked.timeout_s) if asked.timeout_s else "",  # int64 is text in protobuf's JSON
        "podMetadata": _labels(asked.labels),
    }
    return {name: value for name, value in found.items() if value}


def _constant(value: str) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def _labels(labels: Mapping[str, str]) -> dict[str, Any]:
    return {"labels": dict(labels)} if labels else {}


def _toleration(one: Toleration) -> dict[str, str]:
    fields = {"key": one.key, "operator": one.operator, "value": one.value, "effect": one.effect}
    return {name: value for name, value in fields.items() if value}


def _variables(task: str, given: Mapping[str, str], kind: str) -> list[dict[str, Any]]:
    """Variables from secrets or config maps, `NAME/KEY` each: an entry per secret."""
    keys: dict[str, list[dict[str, str]]] = {}
    for variable, place in given.items():
        name, _, key = place.partition("/")
        if not name or not key:
            what = {"secret": "SECRET", "configMap": "MAP"}[kind]
            raise HeadraceError(f"resources: {task}: {variable}: expected {what}/KEY. Received: {place!r}")
        keys.setdefault(name, []).append({f"{kind}Key": key, "envVar": variable})
    parameter = {"secret": "secretNameParameter", "configMap": "configMapNameParameter"}[kind]
    return [
        {f"{kind}Name": name, parameter: _constant(name), "keyToEnv": pairs, "optional": False}
        for name, pairs in keys.items()
    ]
