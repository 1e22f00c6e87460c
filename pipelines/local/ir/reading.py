"""Reads a compiled pipeline, the IR as a parsed dictionary, into a graph that is checked before anything runs.

Schema 2.1.0 (and 2.0.0), as kfp 2 writes it. What this runner cannot do is refused here, with the task's name,
and what means nothing on this machine becomes a notice; nothing is skipped on the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from headrace.pipelines.local.ir import platform_spec
from headrace.pipelines.local.ir.commands import with_driver
from headrace.pipelines.local.ir.graph import (
    Artifact,
    Component,
    Dag,
    Executor,
    Graph,
    Parameter,
    Source,
    Task,
    UnsupportedPipeline,
)
from headrace.pipelines.local.ir.placeholders import WORKSPACE, WORKSPACE_MOUNT
from headrace.pipelines.local.ir.platform_spec import Pod
from headrace.pipelines.local.ir.queries import check_query
from headrace.pipelines.local.ir.reading_tasks import checked_sources, read_task

_REFERENCE = re.compile(r"(\$?)\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_SHOWN_TASKS = 5


class _Reader:
    """What is collected on the way through the components."""

    def __init__(self, executors: Mapping[str, Any], pods: Mapping[str, Pod]) -> None:
        self.executors, self.pods = executors, pods
        self.meaningless: dict[str, dict[str, None]] = {}  # what means nothing here -> the tasks that ask for it
        self.notices: list[str] = []

    def note(self, what: str, component: str) -> None:
        self.meaningless.setdefault(what, {})[component.removeprefix("comp-")] = None

    def all_notices(self) -> tuple[str, ...]:
        told = [f"{_listed(names)}: this machine has no use for the {what}" for what, names in self.meaningless.items()]
        return tuple(dict.fromkeys([*told, *self.notices]))


def read_graph(ir: Mapping[str, Any]) -> Graph:
    """Reads a compiled pipeline.

    Args:
        ir: the pipeline spec, or `{"pipelineSpec": ..., "platformSpec": ...}` where there is a platform spec too.

    Raises:
        UnsupportedPipeline: not a pipeline spec, or one that uses what this runner cannot do.
        ConditionError: a condition cannot be parsed.
    """
    platform = ir.get("platformSpec") or {}
    ir = ir.get("pipelineSpec", ir)
    if not isinstance(ir, Mapping) or "root" not in ir or "deploymentSpec" not in ir:
        raise UnsupportedPipeline(
            "expected a compiled pipeline (KFP's IR with `root`, `deploymentSpec`). Received: another thing"
        )
    schema = str(ir.get("schemaVersion", "2.1.0"))
    if schema.split(".")[0] != "2":
        raise UnsupportedPipeline(f"expected a pipeline of schema version 2.x. Received: {schema}")
    reader = _Reader(ir["deploymentSpec"].get("executors", {}), platform_spec.read_pods(platform))
    components = {name: _component(reader, name, spec) for name, spec in (ir.get("components") or {}).items()}
    root = _component(reader, "root", ir["root"])
    for component in (root, *components.values()):
        _check_references(component, components)
        _note_tasks(reader, component, components)
    root = checked_sources(root, components, reader.notices)
    components = {name: checked_sources(c, components, reader.notices) for name, c in components.items()}
    reader.notices += platform_spec.pipeline_notices(platform)
    workspace = platform_spec.has_workspace(platform) or any(
        c.executor and c.executor.workspace for c in components.values()
    )
    name = ir.get("pipelineInfo", {}).get("name", "pipeline")
    return Graph(name, components, root, reader.all_notices(), workspace)


def _component(reader: _Reader, name: str, spec: Mapping[str, Any]) -> Component:
    inputs, outputs = spec.get("inputDefinitions", {}), spec.get("outputDefinitions", {})
    executor, config = None, {}
    if "executorLabel" in spec:
        label = spec["executorLabel"]
        if label not in reader.executors:
            raise UnsupportedPipeline(f"{name}: expected an executor named {label}. Received: none in deploymentSpec")
        passed = {
            item["field"]: bool(item.get("applyToTask", False)) for item in spec.get("taskConfigPassthroughs", ())
        }
        pod = reader.pods.get(label, Pod())
        executor = _executor(reader, name, reader.executors[label], pod, passed)
        config = _task_config(reader.executors[label].get("container", {}), pod, passed)
    elif "dag" not in spec:
        raise UnsupportedPipeline(f"{name}: expected an executor or a dag. Received: neither")
    return Component(
        name=name,
        parameters={n: _parameter(p) for n, p in inputs.get("parameters", {}).items()},
        artifacts=_artifacts(inputs),
        output_parameters={
            n: str(p.get("parameterType", p.get("type", ""))) for n, p in outputs.get("parameters", {}).items()
        },
        output_artifacts=_artifacts(outputs),
        executor=executor,
        dag=_dag(reader, name, spec["dag"]) if executor is None else None,
        task_config=config,
    )


def _parameter(spec: Mapping[str, Any]) -> Parameter:
    return Parameter(
        type=str(spec.get("parameterType", spec.get("type", ""))),
        optional=bool(spec.get("isOptional", False)),
        default=spec.get("defaultValue"),
        has_default="defaultValue" in spec,
        literals=tuple(spec.get("literals", ())),
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


def _executor(reader: _Reader, name: str, spec: Mapping[str, Any], pod: Pod, passed: Mapping[str, bool]) -> Executor:
    if "importer" in spec:
        importer = spec["importer"]
        return Executor("importer", importer=importer, workspace=importer.get("downloadToWorkspace") is True)
    task = name.removeprefix("comp-")
    if "resolver" in spec:
        queries = spec["resolver"].get("outputArtifactQueries") or {"": {}}
        for query in queries.values():
            check_query(task, str(query.get("filter", "")))
        return Executor("resolver", resolver=queries)
    if "container" not in spec:
        kind = next(iter(spec), "nothing")
        raise UnsupportedPipeline(
            f"{name}: expected a container or an importer. Received: {kind}, which cannot run on this machine"
        )
    container = spec["container"]
    container, driven = with_driver(name, container)
    image = str(container.get("image", ""))
    if image.startswith("argostub/"):
        raise UnsupportedPipeline(
            f"{task}: expected a container. Received: {image}, which stands for an action on a Kubernetes volume"
        )
    resources = container.get("resources", {}) if passed.get("RESOURCES", True) else {}
    if resources.get("accelerator"):
        reader.note("accelerator", name)
    for what in pod.meaningless:
        reader.note(what, name)
    reader.notices += [
        f"{task}: {secret.variable} is taken from this machine's environment, not from {secret.origin}"
        for secret in pod.secrets
    ]
    words = (*container.get("command", ()), *container.get("args", ()))
    return Executor(
        kind="container",
        image=image,
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env={**(_env(task, container.get("env", ())) if passed.get("ENV", True) else {}), **pod.env},
        resources=resources,
        timeout=pod.timeout,
        secrets=pod.secrets,
        workspace=any(place in word for word in words for place in (WORKSPACE, WORKSPACE_MOUNT)),
        driven=driven,
    )


def _env(task: str, items: Any) -> dict[str, str]:
    """The variables of a container; `$(NAME)` stands for one before it and `$$(NAME)` for itself, as on Kubernetes."""
    env: dict[str, str] = {}
    for item in items:
        name, value = str(item["name"]), str(item.get("value", ""))
        if "{{channel:" in value or "{{$" in value:
            raise UnsupportedPipeline(
                f"{task}: expected a fixed value for the variable {name}: KFP fills in no parameters there. "
                f"Received: {value}. Give the task a parameter instead."
            )
        env[name] = _REFERENCE.sub(
            lambda m: f"$({m.group(2)})" if m.group(1) else env.get(m.group(2), m.group(0)),
            value,
        )
    return env


def _task_config(container: Mapping[str, Any], pod: Pod, passed: Mapping[str, bool]) -> dict[str, Any]:
    """What KFP gives a component that starts a job of its own and declares what of its task's settings it passes on."""
    config: dict[str, Any] = {}
    if "RESOURCES" in passed and container.get("resources"):
        config["resources"] = _kubernetes_resources(container["resources"])
    if "ENV" in passed:
        config["env"] = [{"name": e["name"], "value": e.get("value", "")} for e in container.get("env", ())]
    if "KUBERNETES_TOLERATIONS" in passed and pod.config.get("tolerations"):
        config["tolerations"] = list(pod.config["tolerations"])
    if "KUBERNETES_NODE_SELECTOR" in passed and pod.config.get("nodeSelector", {}).get("labels"):
        config["nodeSelector"] = dict(pod.config["nodeSelector"]["labels"])
    return config


def _kubernetes_resources(spec: Mapping[str, Any]) -> dict[str, Any]:
    resources: dict[str, dict[str, Any]] = {}
    for kind in ("Limit", "Request"):
        for what in ("Cpu", "Memory"):
            if value := spec.get(f"resource{what}{kind}"):
                resources.setdefault(f"{kind.lower()}s", {})[what.lower()] = value
    accelerator = spec.get("accelerator", {})
    if accelerator.get("resourceType"):
        resources.setdefault("limits", {})[accelerator["resourceType"]] = accelerator.get("resourceCount", "1")
    return resources


def _dag(reader: _Reader, component: str, spec: Mapping[str, Any]) -> Dag:
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
    tasks = {name: read_task(name, task) for name, task in spec.get("tasks", {}).items()}
    _check_order(component, tasks)
    for task in tasks.values():
        if task.condition and task.condition.doubt:
            reader.notices.append(f"{task.name}: {task.condition.doubt}")
    for name, sources in (*parameters.items(), *artifacts.items()):
        if missing := sorted({source.name for source in sources} - tasks.keys()):
            raise UnsupportedPipeline(
                f"{component}: expected the output `{name}` to come from one of its tasks. Received: {missing[0]}"
            )
    return Dag(tasks, parameters, artifacts)


def _note_tasks(reader: _Reader, component: Component, components: Mapping[str, Component]) -> None:
    for task in component.dag.tasks.values() if component.dag else ():
        if task.retry and components[task.component].dag is not None:
            reader.notices.append(
                f"{task.name}: a pipeline in a pipeline is not retried as a whole, as on KFP; its tasks are"
            )


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
    for name, task in tasks.items():
        if missing := task.upstream - tasks.keys():
            raise UnsupportedPipeline(
                f"{name}: expected its upstream tasks in {component}. Missing: {', '.join(sorted(missing))}"
            )
    try:
        TopologicalSorter({name: task.upstream for name, task in tasks.items()}).prepare()
    except CycleError as error:
        raise UnsupportedPipeline(
            f"{component}: expected tasks without a cycle. Received: one of {', '.join(sorted(set(error.args[1])))}"
        ) from None


def _listed(names: Mapping[str, None]) -> str:
    shown = list(names)[:_SHOWN_TASKS]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
