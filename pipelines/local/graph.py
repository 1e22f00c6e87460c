"""The compiled pipeline as frozen dataclasses: what the IR says, checked before anything runs.

Reads the pipeline spec (schema 2.1.0, as kfp 2 writes it) as a parsed dictionary. What this runner cannot do
is refused here, with the task's name, never skipped on the way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import conditions


class UnsupportedPipeline(HeadraceError):
    """The IR is not one that this runner can execute."""


@dataclass(frozen=True)
class Source:
    """Where an input comes from: a constant, the enclosing DAG's input, another task's output or status."""

    kind: str  # "constant" | "parent" | "task" | "status"
    value: Any = None  # of a constant
    name: str = ""  # of the parent's input, or the producing task
    key: str = ""  # the producing task's output
    selector: str = ""  # KFP's expression that picks a field of a loop's item


@dataclass(frozen=True)
class Parameter:
    type: str
    optional: bool = False
    default: Any = None
    has_default: bool = False


@dataclass(frozen=True)
class Artifact:
    schema: Mapping[str, Any]  # {"schemaTitle": "system.Dataset", ...}
    is_list: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Executor:
    """What a leaf task runs: a container's command, or an importer."""

    kind: str  # "container" | "importer"
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    importer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    max_retries: int
    delay: float  # seconds before the first retry
    factor: float
    max_delay: float  # seconds


@dataclass(frozen=True)
class Loop:
    item: str  # the input that each iteration gets its item in
    raw: Any = None  # the items as written in the pipeline
    source: str = ""  # or the input that holds them
    artifacts: bool = False  # the items are artifacts
    parallelism: int = 0  # 0: no limit


@dataclass(frozen=True)
class Task:
    name: str
    display: str
    component: str
    parameters: Mapping[str, Source]
    artifacts: Mapping[str, Source]
    upstream: frozenset[str]
    condition: conditions.Condition | None
    always: bool  # runs whatever became of its upstream tasks
    cache: bool
    retry: Retry | None
    loop: Loop | None


@dataclass(frozen=True)
class Dag:
    tasks: Mapping[str, Task]
    parameters: Mapping[str, tuple[Source, ...]]  # output name -> the first of these that exists
    artifacts: Mapping[str, tuple[Source, ...]]


@dataclass(frozen=True)
class Component:
    name: str
    parameters: Mapping[str, Parameter]
    artifacts: Mapping[str, Artifact]
    output_parameters: Mapping[str, str]  # name -> type
    output_artifacts: Mapping[str, Artifact]
    executor: Executor | None
    dag: Dag | None


@dataclass(frozen=True)
class Graph:
    name: str
    components: Mapping[str, Component]
    root: Component
    notices: tuple[str, ...]  # what means nothing on this machine


def read_graph(ir: Mapping[str, Any]) -> Graph:
    """Reads a compiled pipeline.

    Raises:
        UnsupportedPipeline: not a pipeline spec, or one that uses what this runner cannot do.
        ConditionError: a condition cannot be parsed.
    """
    ir = ir.get("pipelineSpec", ir)
    if not isinstance(ir, Mapping) or "root" not in ir or "deploymentSpec" not in ir:
        raise UnsupportedPipeline(
            "expected a compiled pipeline (KFP's IR with `root`, `deploymentSpec`). Received: another thing"
        )
    schema = str(ir.get("schemaVersion", "2.1.0"))
    if schema.split(".")[0] != "2":
        raise UnsupportedPipeline(f"expected a pipeline of schema version 2.x. Received: {schema}")
    executors = ir["deploymentSpec"].get("executors", {})
    notices: list[str] = []
    components = {
        name: _component(name, spec, executors, notices) for name, spec in (ir.get("components") or {}).items()
    }
    root = _component("root", ir["root"], executors, notices)
    for component in (root, *components.values()):
        _check_references(component, components)
    name = ir.get("pipelineInfo", {}).get("name", "pipeline")
    return Graph(name, components, root, tuple(dict.fromkeys(notices)))


def _component(name: str, spec: Mapping[str, Any], executors: Mapping[str, Any], notices: list[str]) -> Component:
    inputs, outputs = spec.get("inputDefinitions", {}), spec.get("outputDefinitions", {})
    executor = None
    if "executorLabel" in spec:
        label = spec["executorLabel"]
        if label not in executors:
            raise UnsupportedPipeline(f"{name}: expected an executor named {label}. Received: none in deploymentSpec")
        executor = _executor(name, executors[label], notices)
    elif "dag" not in spec:
        raise UnsupportedPipeline(f"{name}: expected an executor or a dag. Received: neither")
    return Component(
        name=name,
        parameters={
            n: Parameter(
                type=str(p.get("parameterType", p.get("type", ""))),
                optional=bool(p.get("isOptional", False)),
                default=p.get("defaultValue"),
                has_default="defaultValue" in p,
            )
            for n, p in inputs.get("parameters", {}).items()
        },
        artifacts=_artifacts(inputs),
        output_parameters={
            n: str(p.get("parameterType", p.get("type", ""))) for n, p in outputs.get("parameters", {}).items()
        },
        output_artifacts=_artifacts(outputs),
        executor=executor,
        dag=_dag(name, spec["dag"]) if executor is None else None,
    )


def _artifacts(definitions: Mapping[str, Any]) -> dict[str, Artifact]:
    return {
        n: Artifact(
            schema=a.get("artifactType", {}),
            is_list=bool(a.get("isArtifactList", False)),
            optional=bool(a.get("isOptional", False)),
        )
        for n, a in definitions.get("artifacts", {}).items()
    }


def _executor(name: str, spec: Mapping[str, Any], notices: list[str]) -> Executor:
    if "importer" in spec:
        if spec["importer"].get("downloadToWorkspace"):
            raise UnsupportedPipeline(
                f"{name}: expected an importer without a workspace. Received: one with a workspace"
            )
        return Executor("importer", importer=spec["importer"])
    if "container" not in spec:
        kind = next(iter(spec), "nothing")
        raise UnsupportedPipeline(
            f"{name}: expected a container or an importer. Received: {kind}, which cannot run on this machine"
        )
    container = spec["container"]
    if "lifecycle" in container:
        raise UnsupportedPipeline(f"{name}: expected a plain container. Received: one with a lifecycle hook")
    if container.get("resources", {}).get("accelerator"):
        notices.append(f"{name.removeprefix('comp-')}: its accelerator request means nothing on this machine")
    words = (*container.get("command", ()), *container.get("args", ()))
    if any("workspace_path" in word or "/kfp-workspace" in word for word in words):
        raise UnsupportedPipeline(f"{name}: expected a component without a workspace. Received: one that uses it")
    return Executor(
        kind="container",
        image=str(container.get("image", "")),
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env={e["name"]: e.get("value", "") for e in container.get("env", ())},
        resources=container.get("resources", {}),
    )


def _dag(component: str, spec: Mapping[str, Any]) -> Dag:
    outputs = spec.get("outputs", {})
    parameters = {}
    for name, value in outputs.get("parameters", {}).items():
        if "valueFromParameter" in value:
            selectors = [value["valueFromParameter"]]
        elif "valueFromOneof" in value:
            selectors = value["valueFromOneof"]["parameterSelectors"]
        else:
            raise UnsupportedPipeline(
                f"{component}: expected the output `{name}` to come from a task. Received: {value}"
            )
        parameters[name] = tuple(
            Source("task", name=s["producerSubtask"], key=s["outputParameterKey"]) for s in selectors
        )
    artifacts = {
        name: tuple(
            Source("task", name=s["producerSubtask"], key=s["outputArtifactKey"])
            for s in value.get("artifactSelectors", ())
        )
        for name, value in outputs.get("artifacts", {}).items()
    }
    tasks = {name: _task(name, task) for name, task in spec.get("tasks", {}).items()}
    _check_order(component, tasks)
    return Dag(tasks, parameters, artifacts)


def _task(name: str, spec: Mapping[str, Any]) -> Task:
    inputs = spec.get("inputs", {})
    parameters = {n: _parameter_source(name, n, p) for n, p in inputs.get("parameters", {}).items()}
    artifacts = {n: _artifact_source(name, n, a) for n, a in inputs.get("artifacts", {}).items()}
    upstream = set(spec.get("dependentTasks", ()))
    upstream |= {s.name for s in (*parameters.values(), *artifacts.values()) if s.kind in ("task", "status")}
    policy = spec.get("triggerPolicy", {})
    strategy = policy.get("strategy", "ALL_UPSTREAM_TASKS_SUCCEEDED")
    if strategy not in (
        "ALL_UPSTREAM_TASKS_SUCCEEDED",
        "ALL_UPSTREAM_TASKS_COMPLETED",
        "TRIGGER_STRATEGY_UNSPECIFIED",
    ):
        raise UnsupportedPipeline(f"{name}: expected a trigger strategy of KFP's. Received: {strategy}")
    condition = policy.get("condition")
    return Task(
        name=name,
        display=str(spec.get("taskInfo", {}).get("name", name)),
        component=spec["componentRef"]["name"],
        parameters=parameters,
        artifacts=artifacts,
        upstream=frozenset(upstream),
        condition=_condition(name, condition) if condition else None,
        always=strategy == "ALL_UPSTREAM_TASKS_COMPLETED",
        cache=spec.get("cachingOptions", {}).get("enableCache") is True,
        retry=_retry(spec.get("retryPolicy")),
        loop=_loop(name, spec),
    )


def _condition(task: str, text: str) -> conditions.Condition:
    try:
        return conditions.parse(text)
    except conditions.ConditionError as error:
        raise conditions.ConditionError(f"{task}: {error}") from None


def _parameter_source(task: str, name: str, spec: Mapping[str, Any]) -> Source:
    selector = str(spec.get("parameterExpressionSelector", ""))
    if "runtimeValue" in spec:
        value = spec["runtimeValue"]
        if "constant" not in value and "constantValue" not in value:
            raise UnsupportedPipeline(f"{task}: expected a constant for `{name}`. Received: {dict(value)}")
        return Source("constant", value=value.get("constant", value.get("constantValue")))
    if "componentInputParameter" in spec:
        return Source("parent", name=spec["componentInputParameter"], selector=selector)
    if "taskOutputParameter" in spec:
        output = spec["taskOutputParameter"]
        return Source("task", name=output["producerTask"], key=output["outputParameterKey"], selector=selector)
    if "taskFinalStatus" in spec:
        return Source("status", name=spec["taskFinalStatus"]["producerTask"])
    raise UnsupportedPipeline(f"{task}: expected a source for the parameter `{name}`. Received: {dict(spec)}")


def _artifact_source(task: str, name: str, spec: Mapping[str, Any]) -> Source:
    if "taskOutputArtifact" in spec:
        output = spec["taskOutputArtifact"]
        return Source("task", name=output["producerTask"], key=output["outputArtifactKey"])
    if "componentInputArtifact" in spec:
        return Source("parent", name=spec["componentInputArtifact"])
    raise UnsupportedPipeline(f"{task}: expected a source for the artifact `{name}`. Received: {dict(spec)}")


def _retry(spec: Mapping[str, Any] | None) -> Retry | None:
    if not spec or not spec.get("maxRetryCount"):
        return None

    def seconds(key: str, default: float) -> float:
        return float(str(spec.get(key, default)).removesuffix("s"))

    return Retry(
        max_retries=int(spec["maxRetryCount"]),
        delay=seconds("backoffDuration", 0.0),
        factor=float(spec.get("backoffFactor", 2.0)),
        max_delay=seconds("backoffMaxDuration", 3600.0),
    )


def _loop(task: str, spec: Mapping[str, Any]) -> Loop | None:
    limit = int(spec.get("iteratorPolicy", {}).get("parallelismLimit", 0))
    if "artifactIterator" in spec:
        iterator = spec["artifactIterator"]
        return Loop(
            iterator["itemInput"],
            source=iterator["items"]["inputArtifact"],
            artifacts=True,
            parallelism=limit,
        )
    if "parameterIterator" not in spec:
        return None
    iterator = spec["parameterIterator"]
    items = iterator["items"]
    if "raw" not in items:
        return Loop(iterator["itemInput"], source=items["inputParameter"], parallelism=limit)
    try:
        raw = json.loads(items["raw"])
    except ValueError:
        raw = None
    if not isinstance(raw, list):
        raise UnsupportedPipeline(f"{task}: expected a JSON list to loop over. Received: {items['raw']!r}")
    return Loop(iterator["itemInput"], raw=raw, parallelism=limit)


def _check_references(component: Component, components: Mapping[str, Component]) -> None:
    for task in component.dag.tasks.values() if component.dag else ():
        if task.component not in components:
            raise UnsupportedPipeline(
                f"{task.name}: expected a component named {task.component}. Received: none in the pipeline"
            )
        if task.loop and components[task.component].dag is None:
            raise UnsupportedPipeline(f"{task.name}: expected a group of tasks to loop over. Received: a single one")


def _check_order(component: str, tasks: Mapping[str, Task]) -> None:
    """Every upstream task exists, and no task waits for itself."""
    waiting = {name: set(task.upstream) for name, task in tasks.items()}
    for name, upstream in waiting.items():
        if missing := upstream - waiting.keys():
            raise UnsupportedPipeline(
                f"{name}: expected its upstream tasks in {component}. Missing: {', '.join(sorted(missing))}"
            )
    while ready := [name for name, upstream in waiting.items() if not upstream]:
        for name in ready:
            del waiting[name]
        for upstream in waiting.values():
            upstream.difference_update(ready)
    if waiting:
        raise UnsupportedPipeline(
            f"{component}: expected tasks without a cycle. Received: one among {', '.join(sorted(waiting))}"
        )
