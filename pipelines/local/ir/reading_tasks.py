"""Reads the tasks of a compiled pipeline's DAGs: where their inputs come from, and when and how often they run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headrace.pipelines.local.inputs import MADE_BY_COMPILER
from headrace.pipelines.local.ir import conditions
from headrace.pipelines.local.ir.graph import Component, Loop, Retry, Source, Task, UnsupportedPipeline
from headrace.pipelines.local.ir.placeholders import WORKSPACE, WORKSPACE_MOUNT


def read_task(name: str, spec: Mapping[str, Any]) -> Task:
    """One task of a DAG.

    Raises:
        UnsupportedPipeline: it uses what this runner cannot do.
        ConditionError: its condition cannot be parsed.
    """
    inputs = spec.get("inputs", {})
    parameters = {n: _parameter_source(name, n, p) for n, p in inputs.get("parameters", {}).items()}
    artifacts = {n: _artifact_source(name, n, a) for n, a in inputs.get("artifacts", {}).items()}
    upstream = set(spec.get("dependentTasks", ()))
    upstream |= {s.name for s in (*parameters.values(), *artifacts.values()) if s.kind in ("task", "status")}
    policy = spec.get("triggerPolicy", {})
    strategy = policy.get("strategy", "ALL_UPSTREAM_TASKS_SUCCEEDED")
    caching = spec.get("cachingOptions", {})
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
        cache=caching.get("enableCache") is True,
        retry=_retry(spec.get("retryPolicy")),
        loop=_loop(name, spec),
        cache_key=str(caching.get("cacheKey", "")),
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
        constant = value.get("constant", value.get("constantValue"))
        if isinstance(constant, str):
            constant = constant.replace(WORKSPACE_MOUNT, WORKSPACE)
        return Source("constant", value=constant)
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


def checked_sources(component: Component, components: Mapping[str, Component], notices: list[str]) -> Component:
    """The component, with only such inputs of its tasks as come from somewhere.

    Where a text is put together from a loop's item, KFP's compiler lets the groups around ask for the item, too, where
    it does not exist yet. The loop fills it in, so this is only said; any other input from nowhere is refused.

    Raises:
        UnsupportedPipeline: a task needs what is not there.
    """
    if component.dag is None:
        return component
    tasks = {}
    for name, task in component.dag.tasks.items():
        lost = [n for n, source in task.parameters.items() if not _exists(source, component, components, "parameters")]
        made = [n for n in lost if n.startswith(MADE_BY_COMPILER) and components[task.component].dag]
        lost += [n for n, source in task.artifacts.items() if not _exists(source, component, components, "artifacts")]
        if refused := [n for n in lost if n not in made]:
            hint = " KFP's compiler loses a loop's item in a text inside another loop: give it an input of its own."
            raise UnsupportedPipeline(
                f"{name}: expected a source for its input `{refused[0]}` in {component.name}. Received: one that is "
                f"not there.{hint if refused[0].startswith(MADE_BY_COMPILER) else ''}"
            )
        if made:
            shown = ", ".join(n.removeprefix(MADE_BY_COMPILER) for n in made)
            notices.append(f"{name}: asks for {shown} where it does not exist: filled in here, an error on KFP")
        tasks[name] = replace(task, parameters={n: s for n, s in task.parameters.items() if n not in made})
    return replace(component, dag=replace(component.dag, tasks=tasks))


def _exists(source: Source, component: Component, components: Mapping[str, Component], kind: str) -> bool:
    if source.kind == "parent":
        return source.name in getattr(component, kind)
    if source.kind == "task" and component.dag is not None:
        producer = components[component.dag.tasks[source.name].component]
        return source.key in (producer.output_parameters if kind == "parameters" else producer.output_artifacts)
    return True
