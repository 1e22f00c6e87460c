"""What the platform spec, KFP's second document, says of executors: what of it has a meaning on this machine.

Kubernetes only, as KFP writes no other: https://github.com/kubeflow/pipelines, kubernetes_executor_config.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.graph import Graph, Secret, UnsupportedPipeline

_MEANINGLESS = {
    "configMapAsVolume": "config map as a volume",
    "emptyDirMounts": "empty volume",
    "enabledSharedMemory": "size of the shared memory",
    "genericEphemeralVolume": "ephemeral volume",
    "imagePullPolicy": "policy of pulling the image",
    "imagePullSecret": "secret for pulling the image",
    "nodeAffinity": "node affinity",
    "nodeSelector": "node selector",
    "podAffinity": "pod affinity",
    "podMetadata": "labels and annotations of the pod",
    "pvcMount": "volume",
    "secretAsVolume": "secret as a volume",
    "securityContext": "user that the container runs as",
    "tolerations": "toleration",
}
_KNOWN = {*_MEANINGLESS, "activeDeadlineSeconds", "configMapAsEnv", "fieldPathAsEnv", "initContainers", "secretAsEnv"}
_FIELD_PATH = re.compile(r"metadata\.(annotations|labels)\['(.+)'\]")


class MissingVariable(HeadraceError):
    """A task needs an environment variable that Kubernetes would fill, and this machine does not have."""


@dataclass(frozen=True)
class Pod:
    """What the platform spec says of one executor."""

    timeout: float | None = None  # seconds
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    meaningless: tuple[str, ...] = ()  # what this machine cannot do, in words
    config: Mapping[str, Any] = field(default_factory=dict)  # all of it, as written


def read_pods(spec: Mapping[str, Any]) -> dict[str, Pod]:
    """What a platform spec says, by the label of the executor.

    Raises:
        UnsupportedPipeline: it asks for what a task cannot do without, and this machine cannot do.
    """
    kubernetes = spec.get("platforms", {}).get("kubernetes", {})
    executors = (kubernetes.get("deploymentSpec") or {}).get("executors") or {}
    return {label: _pod(label.removeprefix("exec-"), config) for label, config in executors.items()}


def pipeline_notices(spec: Mapping[str, Any]) -> list[str]:
    """What a platform spec says of the pipeline, or of other platforms, that means nothing on this machine."""
    platforms = spec.get("platforms", {})
    config = (platforms.get("kubernetes") or {}).get("pipelineConfig") or {}
    notices = [
        f"what the pipeline says for the platform {name} means nothing here" for name in {*platforms} - {"kubernetes"}
    ]
    notices += [f"the pipeline's setting {name} means nothing on this machine" for name in {*config} - {"workspace"}]
    return sorted(notices)


def has_workspace(spec: Mapping[str, Any]) -> bool:
    """Whether the pipeline is configured with a workspace."""
    config = (spec.get("platforms", {}).get("kubernetes") or {}).get("pipelineConfig") or {}
    return config.get("workspace") is not None


def check_variables(graph: Graph, environ: Mapping[str, str]) -> None:
    """Before anything runs: every variable that a secret would fill is set in this machine's environment.

    Raises:
        MissingVariable: one that a task needs is not; names them all.
    """
    missing = [
        f"{component.name.removeprefix('comp-')} needs {secret.variable} ({secret.origin})"
        for component in graph.components.values()
        if component.executor
        for secret in component.executor.secrets
        if not secret.optional and secret.variable not in environ
    ]
    if missing:
        raise MissingVariable(
            "expected the variables that Kubernetes fills from secrets in the environment of this command. "
            f"Missing: {'; '.join(missing)}"
        )


def _pod(task: str, config: Mapping[str, Any]) -> Pod:
    if config.get("initContainers"):
        raise UnsupportedPipeline(
            f"{task}: expected a task without init containers. Received: one with them, and they cannot run here"
        )
    words = [text for key, text in _MEANINGLESS.items() if config.get(key)]
    words += sorted(f"setting {key}" for key in config if key not in _KNOWN)
    env: dict[str, str] = {}
    for item in config.get("fieldPathAsEnv", ()):
        match = _FIELD_PATH.fullmatch(str(item.get("fieldPath", "")))
        if match:
            kind, key = match.groups()
            env[item["name"]] = str(config.get("podMetadata", {}).get(kind, {}).get(key, ""))
        else:
            words.append(f"variable {item.get('name')} from the pod's {item.get('fieldPath')}")
    secrets = [
        *_secrets(config.get("secretAsEnv", ()), "secret"),
        *_secrets(config.get("configMapAsEnv", ()), "configMap"),
    ]
    return Pod(
        timeout=float(config.get("activeDeadlineSeconds") or 0) or None,
        env=env,
        secrets=tuple(secrets),
        meaningless=tuple(words),
        config=config,
    )


def _secrets(items: Iterable[Mapping[str, Any]], kind: str) -> list[Secret]:
    what = {"secret": "secret", "configMap": "config map"}[kind]
    found = []
    for item in items:
        given = item.get(f"{kind}NameParameter", {})
        constant = given.get("runtimeValue", {}).get("constant")
        name = constant or item.get(f"{kind}Name") or given.get("componentInputParameter") or "of another task"
        for pair in item.get("keyToEnv", ()):
            origin = f"the key `{pair.get(f'{kind}Key')}` of the {what} `{name}`"
            found.append(Secret(str(pair["envVar"]), origin, item.get("optional") is True))
    return found
