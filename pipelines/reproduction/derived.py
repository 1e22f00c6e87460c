"""Derives from a compiled pipeline the part between a snapshot and a model, with everything else given.

The result is a pipeline like any other, in KFP's IR: tasks whose outputs are given become importers of the artifacts
that they once put out, and constants. So it runs, is recorded and can be resumed like any other, and cannot do more
than train.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.record.results import ArtifactRecord, TaskResult

OUTPUT = "artifact"  # of an importer, as KFP names it
Spec = dict[str, Any]


class NotDerivable(HeadraceError):
    """The pipeline has no such part, or it depends on what cannot be given."""


@dataclass(frozen=True)
class Derived:
    """A pipeline from a snapshot to a model."""

    ir: Spec
    tasks: tuple[str, ...]  # those that are executed
    parameters: tuple[str, ...]  # of the pipeline, that they use
    given: Mapping[str, str]  # "ingest/dataset" -> the place that is read instead
    left_out: tuple[str, ...]  # optional inputs whose artifacts are gone: "examine without champion"


@dataclass
class _Work:
    pipeline: Spec
    recorded: Mapping[str, TaskResult]
    place: Callable[[ArtifactRecord], str | None]
    kept: set[str]
    given: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def derive(
    ir: Mapping[str, Any],
    recorded: Mapping[str, TaskResult],
    source: str,
    target: str,
    constants: Mapping[str, str],
    place: Callable[[ArtifactRecord], str | None],
) -> Derived:
    """Derives the pipeline that leads from one task's output to another's.

    Args:
        ir: the compiled pipeline, with its platform spec where it was compiled with one.
        recorded: what each of its tasks did in the run that is reproduced, by path.
        source: the task that put out the snapshot.
        target: the task that put out the model.
        constants: what placeholders of that run stood for, such as the time when it was created.
        place: where an artifact that is to be given lies; None when it is gone.

    Raises:
        NotDerivable: one of them is not at the top of the pipeline, there is no way from one to the other, or
            something that is needed is gone.
    """
    whole = copy.deepcopy(dict(ir))
    pipeline: Spec = whole.get("pipelineSpec", whole)
    tasks: dict[str, Spec] = pipeline["root"]["dag"]["tasks"]
    for name in (source, target):
        if name not in tasks:
            raise NotDerivable(f"expected a task at the top of the pipeline. Received: {name}, inside of a group")
    upstream = {name: set(_upstream(task)) for name, task in tasks.items()}
    kept = _reachable(target, upstream) & _reachable(source, _turned(upstream)) - {source}
    if target not in kept:
        raise NotDerivable(f"expected {target} to follow from {source}. Received: a pipeline in which it does not")
    work = _Work(pipeline, recorded, place, kept)
    wanted = {name: tasks[name] for name in tasks if name in kept}
    for name, task in wanted.items():
        _ground(work, name, task)
    importers = {name: task for name, task in tasks.items() if name.startswith("given-")}
    pipeline["root"]["dag"] = {"tasks": {**importers, **wanted}}
    pipeline["root"].pop("outputDefinitions", None)
    parameters = _keep_used(pipeline)
    for task in wanted.values():
        _fill(task, constants)
    return Derived(whole, tuple(wanted), parameters, work.given, tuple(work.left_out))


def _upstream(task: Spec) -> Iterator[str]:
    yield from task.get("dependentTasks", ())
    for one in _inputs(task):
        for kind in ("taskOutputArtifact", "taskOutputParameter", "taskFinalStatus"):
            if kind in one:
                yield one[kind]["producerTask"]


def _inputs(task: Spec) -> Iterator[Spec]:
    for kind in ("parameters", "artifacts"):
        yield from task.get("inputs", {}).get(kind, {}).values()


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        new = edges.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _turned(upstream: Mapping[str, set[str]]) -> dict[str, set[str]]:
    turned: dict[str, set[str]] = {}
    for name, before in upstream.items():
        for one in before:
            turned.setdefault(one, set()).add(name)
    return turned


def _ground(work: _Work, name: str, task: Spec) -> None:
    """Replaces what a task gets from tasks that do not run by what those once put out."""
    inputs = task.get("inputs", {})
    waits = {before for before in task.get("dependentTasks", ()) if before in work.kept}
    for key, one in list(inputs.get("parameters", {}).items()):
        producer = (one.get("taskOutputParameter") or one.get("taskFinalStatus") or {}).get("producerTask")
        if producer is None or producer in work.kept:
            continue
        if "taskFinalStatus" in one:
            raise NotDerivable(f"{name}: expected inputs that can be given. Received: the status of {producer}")
        outputs = _recorded(work, producer).outputs
        output = one["taskOutputParameter"]["outputParameterKey"]
        if output not in outputs:
            raise NotDerivable(f"{name}: expected the output `{output}` of {producer} in the record. Received: none")
        inputs["parameters"][key] = {"runtimeValue": {"constant": outputs[output]}}
    for key, one in list(inputs.get("artifacts", {}).items()):
        producer = one.get("taskOutputArtifact", {}).get("producerTask")
        if producer is None or producer in work.kept:
            continue
        importer = _importer(work, producer, one["taskOutputArtifact"]["outputArtifactKey"])
        if importer is not None:
            inputs["artifacts"][key] = {"taskOutputArtifact": {"producerTask": importer, "outputArtifactKey": OUTPUT}}
            waits.add(importer)
        elif _optional(work, task, key):
            del inputs["artifacts"][key]
            work.left_out.append(f"{name} without {key}")
        else:
            raise NotDerivable(f"{name}: expected its input `{key}`, which {producer} put out. Received: it is gone")
    if "dependentTasks" in task or waits:
        task["dependentTasks"] = sorted(waits)


def _importer(work: _Work, producer: str, output: str) -> str | None:
    """The name of the task that imports an artifact; None where it is gone."""
    name = f"given-{producer}-{output}"
    if f"{producer}/{output}" in work.given:
        return name
    records = _recorded(work, producer).artifacts.get(output, ())
    if len(records) != 1:
        raise NotDerivable(f"{producer}/{output}: expected one artifact in the record. Received: {len(records)}")
    uri = work.place(records[0])
    if uri is None:
        return None
    work.given[f"{producer}/{output}"] = uri
    kind = dict(records[0].schema) or {"schemaTitle": records[0].type, "schemaVersion": "0.0.1"}
    work.pipeline["components"][f"comp-{name}"] = {
        "executorLabel": f"exec-{name}",
        "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
        "outputDefinitions": {"artifacts": {OUTPUT: {"artifactType": kind}}},
    }
    work.pipeline["deploymentSpec"]["executors"][f"exec-{name}"] = {
        "importer": {
            "artifactUri": {"constant": uri},
            "typeSchema": kind,
            "metadata": dict(records[0].metadata),
        }
    }
    work.pipeline["root"]["dag"]["tasks"][name] = {
        "cachingOptions": {},
        "componentRef": {"name": f"comp-{name}"},
        "inputs": {"parameters": {"uri": {"runtimeValue": {"constant": uri}}}},
        "taskInfo": {"name": name},
    }
    return name


def _recorded(work: _Work, task: str) -> TaskResult:
    if task not in work.recorded:
        raise NotDerivable(f"expected the task {task} in the record of the run. Received: none")
    return work.recorded[task]


def _optional(work: _Work, task: Spec, key: str) -> bool:
    component = work.pipeline["components"][task["componentRef"]["name"]]
    declared = component.get("inputDefinitions", {}).get("artifacts", {}).get(key, {})
    return bool(declared.get("isOptional", False))


def _keep_used(pipeline: Spec) -> tuple[str, ...]:
    """Drops the components, executors and parameters that no task uses any more; returns the parameters that stay."""
    tasks = pipeline["root"]["dag"]["tasks"].values()
    components = _used_components(pipeline["components"], tasks)
    pipeline["components"] = components
    labels = {component.get("executorLabel") for component in components.values()}
    executors = pipeline["deploymentSpec"]["executors"]
    pipeline["deploymentSpec"]["executors"] = {n: one for n, one in executors.items() if n in labels}
    used = {
        one["componentInputParameter"] for task in tasks for one in _inputs(task) if "componentInputParameter" in one
    }
    definitions = pipeline["root"].get("inputDefinitions", {})
    definitions["parameters"] = {n: one for n, one in definitions.get("parameters", {}).items() if n in used}
    pipeline["root"]["inputDefinitions"] = definitions
    return tuple(definitions["parameters"])


def _used_components(components: Mapping[str, Spec], tasks: Iterable[Spec]) -> dict[str, Spec]:
    found: dict[str, Spec] = {}
    waiting = list(tasks)
    while waiting:
        name = waiting.pop()["componentRef"]["name"]
        if name not in found:
            found[name] = components[name]
            waiting += found[name].get("dag", {}).get("tasks", {}).values()
    return {name: components[name] for name in components if name in found}


def _fill(task: Spec, constants: Mapping[str, str]) -> None:
    """Writes what placeholders stood for into a task's constants."""
    for one in task.get("inputs", {}).get("parameters", {}).values():
        value = one.get("runtimeValue", {}).get("constant")
        if isinstance(value, str) and "{{$" in value:
            for placeholder, text in constants.items():
                value = value.replace(placeholder, text)
            one["runtimeValue"]["constant"] = value
