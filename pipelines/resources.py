"""Writes what the steps are given into a compiled pipeline: into its IR, and into its platform spec beside it.

Every platform reads cores, memory, accelerators and variables in the IR. An accelerator stands there twice, as KFP's
newer fields (`resourceType`, which its backend reads first, and which Kubernetes has to know: `nvidia.com/gpu`) and the
older ones (`type`, which Vertex AI knows: `NVIDIA_TESLA_T4`). What only one platform knows is in the platform spec,
under that platform's name; the others pass over it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headrace.components import images
from headrace.pipelines.resources_spec import ResourcesSpec, resources_of
from headrace.platforms.resources import TaskResources

_GIGABYTE = 10**9
_UNITS: dict[str, int] = {"": 1} | {
    unit + suffix: base**power
    for power, unit in enumerate("KMGTPE", start=1)
    for suffix, base in (("", 1000), ("i", 1024))
}
_OF_MACHINE = 0.8  # of a machine that a step asks for as a whole: Kubernetes and the system take some of it
# GiB per core; https://cloud.google.com/compute/docs/machine-resource
_GIB_PER_CORE = {
    **{f"n1-{kind}": gib for kind, gib in (("standard", 3.75), ("highmem", 6.5), ("highcpu", 0.9))},
    **{
        f"{family}-{kind}": gib
        for family in ("e2", "n2", "n2d")
        for kind, gib in (("standard", 4), ("highmem", 8), ("highcpu", 1))
    },
    **{
        f"{family}-{kind}": gib
        for family in ("c2d", "c3", "c3d")
        for kind, gib in (("standard", 4), ("highmem", 8), ("highcpu", 2))
    },
    **{f"{family}-standard": 4 for family in ("c2", "t2d", "g2")},
}


def write_resources(pipeline: Any, sections: Mapping[str, ResourcesSpec]) -> None:
    """Writes the spec's `resources` into a pipeline that KFP has built, before it is written to a file.

    Args:
        pipeline: KFP's GraphComponent. Its pipeline spec and platform spec are changed.
        sections: the spec's. Without any, nothing is changed.
    """
    if not sections:
        return
    from google.protobuf import json_format

    deployment = json_format.MessageToDict(pipeline.pipeline_spec.deployment_spec)
    tasks = {label: resources_of(sections, step_of(label)) for label in deployment["executors"]}
    for label, resources in tasks.items():
        if "container" in deployment["executors"][label]:
            container = deployment["executors"][label]["container"]
            if resources.gpu:
                container["image"] = images.on_gpu(step_of(label), container["image"])
            _into_container(container, resources)
    json_format.ParseDict(deployment, pipeline.pipeline_spec.deployment_spec)
    if platforms := platform_spec(tasks):
        json_format.ParseDict(platforms, pipeline.platform_spec)


def step_of(label: str) -> str:
    """The step that an executor is of: KFP numbers those of one component.

    >>> step_of("exec-evaluate-2"), step_of("exec-infra-validate")
    ('evaluate', 'infra-validate')
    """
    return re.sub(r"-\d+$", "", label.removeprefix("exec-"))


def platform_spec(tasks: Mapping[str, TaskResources]) -> dict[str, Any] | None:
    """The second document of a compiled pipeline; None where no platform needs one.

    Args:
        tasks: what each is given, by the label of its executor.
    """
    from headrace.platforms.kubeflow.platform_spec import platform_spec as kubernetes

    platforms: dict[str, Any] = dict((kubernetes(tasks) or {}).get("platforms", {}))
    jobs = {label: job for label, resources in tasks.items() if (job := _custom_job(resources))}
    if jobs:
        platforms.setdefault("kubernetes", {"deploymentSpec": {}})  # KFP's API takes no platform spec without it
        platforms["vertex"] = {"deploymentSpec": {"executors": jobs}}
    return {"platforms": platforms} if platforms else None


def _into_container(container: dict[str, Any], given: TaskResources) -> None:
    resources = container.setdefault("resources", {})
    machine = _machine(given.machine)
    if machine:
        _quantity(resources, "cpu", "Limit", machine[0])
        _quantity(resources, "memory", "Limit", f"{machine[1] * 1024:.0f}Mi")
    if given.cpu:
        _quantity(resources, "cpu", "Limit", given.cpu)
    if given.memory:
        _quantity(resources, "memory", "Limit", given.memory)
    if machine:  # what it must have at least is less, or no node of just that kind would do
        _quantity(resources, "cpu", "Request", given.cpu or round(machine[0] * _OF_MACHINE, 1))
        _quantity(resources, "memory", "Request", given.memory or f"{machine[1] * 1024 * _OF_MACHINE:.0f}Mi")
    if given.gpu:
        resources["accelerator"] = {
            "type": given.gpu.upper().replace("-", "_"),
            "count": str(given.gpus),
            "resourceType": "nvidia.com/gpu",
            "resourceCount": str(given.gpus),
        }
    if not resources:
        del container["resources"]
    if given.environment:
        kept = [item for item in container.get("env", []) if item["name"] not in given.environment]
        container["env"] = kept + [{"name": name, "value": value} for name, value in given.environment.items()]


def _quantity(resources: dict[str, Any], what: str, kind: str, value: float | str) -> None:
    """Writes a quantity in both of KFP's spellings; the older one is a number, of cores or of gigabytes."""
    text = value if isinstance(value, str) else f"{value:g}"
    resources[f"resource{what.capitalize()}{kind}"] = text
    resources[f"{what}{kind}"] = float(text) if what == "cpu" else bytes_of(text) / _GIGABYTE


def bytes_of(text: str) -> float:
    """A number of bytes in Kubernetes' words.

    >>> bytes_of("2Gi"), bytes_of("500M")
    (2147483648.0, 500000000.0)
    """
    found = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text)
    assert found, text
    return float(found[1]) * _UNITS[found[2]]


def _machine(name: str) -> tuple[float, float] | None:
    """(cores, GiB) of a machine type; None of one that is not known."""
    found = re.fullmatch(r"([a-z0-9]+-[a-z]+)-(\d+)", name)
    if not found or found[1] not in _GIB_PER_CORE:
        return None
    return float(found[2]), float(found[2]) * _GIB_PER_CORE[found[1]]


def _custom_job(given: TaskResources) -> dict[str, Any]:
    """What Vertex AI knows only of custom jobs: an exact machine, spot, a disk; empty where a plain task will do."""
    if not (given.machine or given.spot or given.disk_gb):
        return {}
    said = {
        "machine": given.machine,
        "accelerator": given.gpu.upper().replace("-", "_"),
        "accelerators": given.gpus,
        "spot": given.spot,
        "disk_gb": given.disk_gb,
        "timeout_hours": round(given.timeout_s / 3600, 4),
        "max_wait_hours": round(given.wait_s / 3600, 4),
    }
    return {name: value for name, value in said.items() if value}
