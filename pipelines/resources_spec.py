"""The `resources` section of the spec: what each step is given where it runs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from headrace.components.section import Section
from headrace.platforms.resources import TaskResources, Toleration

ALL = "all"
# The steps of our pipelines, as their executors are called.
STEPS = (
    *("fingerprint", "ingest", "logged-requests", "statistics", "check", "champion", "examine", "validate"),
    *("split-segments", "segment", "transform", "tune", "choose-tuned", "train", "evaluate", "track"),
    *("infra-validate", "gate", "card", "register", "push", "summarize-segments"),
    *("fetch-model", "check-rows", "batch-predict"),
)
_QUANTITY = re.compile(r"\d+(\.\d+)?([EPTGMK]i?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GPU = re.compile(r"nvidia-[a-z0-9-]+")


def _quantity(value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        raise ValueError(f"expected a number of bytes, such as 16Gi or 500M. Received: {value!r}")
    return value


def _reference(value: str) -> str:
    name, _, key = value.partition("/")
    if not name or not key or "/" in key:
        raise ValueError(f"expected NAME/KEY, such as s3-credentials/password. Received: {value!r}")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"expected the name of an environment variable. Received: {value!r}")
    return value


def _folder(value: str) -> str:
    if not value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f"expected a whole path, such as /data. Received: {value!r}")
    return value


Bytes = Annotated[str, AfterValidator(_quantity)]
Variable = Annotated[str, AfterValidator(_variable)]
Reference = Annotated[str, AfterValidator(_reference)]
Folder = Annotated[str, AfterValidator(_folder)]


class TolerationSpec(Section):
    """A taint of nodes that a step may run on all the same, as Kubernetes has it."""

    key: str
    """The taint's key."""
    operator: str = Field(default="Exists", pattern="^(Exists|Equal)$")
    """`Exists`, or `Equal` to `value`."""
    value: str = ""
    """The taint's value, with `Equal`."""
    effect: str = Field(default="", pattern="^(|NoSchedule|PreferNoSchedule|NoExecute)$")
    """`NoSchedule`, `PreferNoSchedule` or `NoExecute`; by default any."""


class ResourcesSpec(Section):
    """What a step is given where it runs. Cores, memory and accelerators are for every platform; `headrace run` heeds
    cores and memory, and says what of the rest means nothing on this machine."""

    cpu: float | None = Field(default=None, gt=0)
    """Cores, such as 4 or 0.5."""
    memory: Bytes | None = None
    """Memory, such as `16Gi`. A step that takes more is ended."""
    machine: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9.-]*$")
    """A machine type, such as `n1-standard-8`. On Vertex AI the step is a custom job on such a machine; on Kubernetes
    it goes to nodes with the label `node.kubernetes.io/instance-type`. Cores and memory follow from it."""
    gpu: str | None = None
    """An accelerator by Google Cloud's name, such as `nvidia-tesla-t4` or `nvidia-l4`. On Kubernetes it is
    `nvidia.com/gpu`; which kind a node has, its labels say: see `node_selector`."""
    gpus: int = Field(default=1, ge=1, le=16)
    """How many, with `gpu`."""
    spot: bool = False
    """Whether the machine may be taken away at any time, for about a third of the price. On Vertex AI the step is then
    started again: a network goes on from its last checkpoint and a search from its last trial, anything else begins
    anew. On GKE the step fails then, and the next run takes what came before it from the cache."""
    disk_gb: int | None = Field(default=None, ge=10, le=65_536)
    """The boot disk, on Vertex AI."""
    timeout_minutes: float | None = Field(default=None, gt=0)
    """After which the step is ended, and has failed."""
    wait_minutes: float | None = Field(default=None, gt=0)
    """How long it may wait for an accelerator or a spot machine, on Vertex AI."""
    environment: dict[Variable, str] = Field(default={})
    """Environment variables. They stand in the compiled pipeline for all to read: nothing secret."""
    secrets: dict[Variable, Reference] = Field(default={})
    """Environment variables from Kubernetes' secrets: `{AWS_SECRET_ACCESS_KEY: s3-credentials/password}`. `headrace
    run` takes them from its own environment. On Vertex AI give the service account a role instead."""
    config: dict[Variable, Reference] = Field(default={})
    """Environment variables from Kubernetes' config maps: `{REGION: site/region}`."""
    volumes: dict[str, Folder] = Field(default={})
    """Kubernetes' persistent volume claims, by name, and where they are mounted: `{models: /models}`."""
    secret_files: dict[str, Folder] = Field(default={})
    """Kubernetes' secrets as files, by name, and in which folder."""
    scratch: dict[Folder, Bytes] = Field(default={})
    """Folders for what is not kept, and how large they may grow: `{/tmp: 20Gi}`. `/dev/shm` lies in memory."""
    node_selector: dict[str, str] = Field(default={})
    """Labels that a Kubernetes node must have."""
    tolerations: list[TolerationSpec] = Field(default=[])
    """Taints that a Kubernetes node may have."""
    image_pull_secrets: list[str] = Field(default=[])
    """Kubernetes' secrets with which the images are pulled."""
    labels: dict[str, str] = Field(default={})
    """Labels of the pod, on Kubernetes."""

    @model_validator(mode="after")
    def _fits(self) -> ResourcesSpec:
        if self.gpu is not None and not _GPU.fullmatch(self.gpu):
            raise ValueError(f"gpu: expected a name such as nvidia-tesla-t4 or nvidia-l4. Received: {self.gpu!r}")
        if "gpus" in self.model_fields_set and self.gpu is None:
            raise ValueError(f"gpus: expected a `gpu` beside it, which says of what kind. Received: {self.gpus} alone")
        twice = sorted(
            name
            for name in {*self.environment, *self.secrets, *self.config}
            if (name in self.environment) + (name in self.secrets) + (name in self.config) > 1
        )
        if twice:
            expected = "expected each variable in one of environment, secrets, config"
            raise ValueError(f"{expected}. Received: {twice[0]} in two")
        return self


def check_steps(value: Any) -> Any:
    """Refuses steps that no pipeline has; `infra_validate` may be written for `infra-validate`."""
    if not isinstance(value, dict):
        return value
    named: dict[Any, Any] = {}
    for key, section in value.items():
        step = key.replace("_", "-") if isinstance(key, str) else key
        if step not in (ALL, *STEPS):
            near = difflib.get_close_matches(str(step), (ALL, *STEPS), n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"the steps are {', '.join(STEPS)}"
            raise ValueError(f"expected a step, or `{ALL}`. Received: {key!r}; {hint}")
        if step in named:
            raise ValueError(f"expected each step once. Received: {key!r} twice")
        named[step] = {} if section is None else section
    return named


def resources_of(sections: Mapping[str, ResourcesSpec], step: str) -> TaskResources:
    """What a step is given: its own section over the one for all. Mappings are merged, lists follow each other."""
    merged: dict[str, Any] = {}
    for name in (ALL, step):
        said = sections[name].model_dump(exclude_unset=True) if name in sections else {}
        for key, value in said.items():
            if isinstance(value, dict):
                merged[key] = {**merged.get(key, {}), **value}
            elif isinstance(value, list):
                merged[key] = [*merged.get(key, []), *value]
            elif value is not None:
                merged[key] = value
    for name in {*merged.get("environment", {})} & {*merged.get("secrets", {}), *merged.get("config", {})}:
        # what the step says of a variable wins over what is said for all
        own = sections[step].environment if step in sections else {}
        for other in ("secrets", "config") if name in own else ("environment",):
            merged.get(other, {}).pop(name, None)
    return TaskResources(
        cpu=merged.get("cpu", 0.0),
        memory=merged.get("memory", ""),
        gpu=merged.get("gpu", ""),
        gpus=merged.get("gpus", 1) if "gpu" in merged else 0,
        machine=merged.get("machine", ""),
        disk_gb=merged.get("disk_gb", 0),
        node_selector=merged.get("node_selector", {}),
        tolerations=tuple(Toleration(**one) for one in merged.get("tolerations", ())),
        secrets=merged.get("secrets", {}),
        config=merged.get("config", {}),
        environment=merged.get("environment", {}),
        volumes=merged.get("volumes", {}),
        secret_files=merged.get("secret_files", {}),
        empty_dir=merged.get("scratch", {}),
        image_pull_secrets=tuple(dict.fromkeys(merged.get("image_pull_secrets", ()))),
        spot=merged.get("spot", False),
        timeout_s=round(merged.get("timeout_minutes", 0) * 60),
        wait_s=round(merged.get("wait_minutes", 0) * 60),
        labels=merged.get("labels", {}),
    )
