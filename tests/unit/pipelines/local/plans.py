"""Pipelines as plans: a small language for random pipelines, and the IR that each plan stands for.

A plan says what happens in it, too: how often each leaf fails, and what its outputs are made of. `plan_model.py`
says by a rule of its own what must become of a plan; `plan_strategies.py` draws plans.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WORDS = {"parameters": "Parameter", "artifacts": "Artifact"}


@dataclass(frozen=True)
class Input:
    """One input of a step: where it comes from, and whether the step can do without."""

    name: str
    kind: str  # "parameters" | "artifacts" | "status"
    depth: int  # 0: one number (or artifact); 1: a list of them; 2: a list of lists
    task: str  # the step before it, in the same group; "" where it comes from the group's own input
    key: str  # that step's output, or that input of the group
    optional: bool = False
    default: int | None = None


@dataclass(frozen=True)
class Leaf:
    """A task that runs: in the iterations whose numbers add up to n, it fails fails[n % len(fails)] times first."""

    fails: tuple[int, ...] = (0,)
    retries: int = 0
    base: int = 0
    items: tuple[int, ...] = ()
    instant: bool = False  # it is over at once, as from a cache


@dataclass(frozen=True)
class Export:
    """An output of a group: the first of these outputs of its steps that exists."""

    name: str
    kind: str
    depth: int
    sources: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """Steps, each after all the steps that it waits for; the IR may list them the other way round."""

    steps: tuple[Step, ...]
    exports: tuple[Export, ...] = ()
    backwards: bool = False


@dataclass(frozen=True)
class Loop:
    """The items that a group is repeated over: written in the plan, or those of an input."""

    items: tuple[int | str, ...] = ()  # a word where a number is declared makes the loop fail
    source: str = ""
    artifacts: bool = False
    depth: int = 0  # of one item
    parallelism: int = 0


@dataclass(frozen=True)
class Step:
    name: str
    body: Leaf | Group
    inputs: tuple[Input, ...] = ()
    after: tuple[str, ...] = ()
    always: bool = False
    condition: tuple[str, str, int] | None = None  # input, comparison, number
    loop: Loop | None = None

    @property
    def upstream(self) -> set[str]:
        """The steps that this one waits for."""
        return {*self.after, *(one.task for one in self.inputs if one.task)}


ITEM = "item"  # the input that an iteration gets its item in
LEAF_OUTPUTS = (("value", "parameters", 0), ("list", "parameters", 1), ("thing", "artifacts", 0))


def outputs(step: Step) -> Iterator[tuple[str, str, int]]:
    """(name, kind, depth) of each output of a step; a loop's are lists of what its iterations put out (flat ones of artifacts)."""
    if isinstance(step.body, Leaf):
        yield from LEAF_OUTPUTS
    else:
        for one in step.body.exports:
            depth = one.depth + (step.loop is not None)
            yield one.name, one.kind, depth if one.kind == "parameters" else min(depth, 1)


def to_ir(root: Group) -> dict[str, Any]:
    """The compiled pipeline that a plan stands for."""
    components: dict[str, Any] = {}
    dag = _dag(root, components, itertools.count())
    container = {"image": "python:3.11", "command": ["true"]}
    return {
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.16.1",
        "pipelineInfo": {"name": "plan"},
        "root": {"dag": dag},
        "components": components,
        "deploymentSpec": {"executors": {"exec": {"container": container}}},
    }


def _dag(group: Group, components: dict[str, Any], count: Iterator[int]) -> dict[str, Any]:
    tasks = {step.name: _task(step, components, count) for step in group.steps}
    outputs: dict[str, Any] = {}
    for one in group.exports:
        key = f"output{WORDS[one.kind]}Key"
        selectors = [{"producerSubtask": task, key: name} for task, name in one.sources]
        if one.kind == "artifacts":
            value: dict[str, Any] = {"artifactSelectors": selectors}
        elif len(selectors) == 1:
            value = {"valueFromParameter": selectors[0]}
        else:
            value = {"valueFromOneof": {"parameterSelectors": selectors}}
        outputs.setdefault(one.kind, {})[one.name] = value
    return {"tasks": dict(reversed(tasks.items())) if group.backwards else tasks, "outputs": outputs}


def _task(step: Step, components: dict[str, Any], count: Iterator[int]) -> dict[str, Any]:
    component = f"comp-{next(count)}"
    components[component] = _component(step, components, count)
    inputs: dict[str, Any] = {}
    for one in step.inputs:
        kind = "parameters" if one.kind == "status" else one.kind
        inputs.setdefault(kind, {})[one.name] = _source(one)
    task: dict[str, Any] = {
        "taskInfo": {"name": step.name},
        "componentRef": {"name": component},
        "inputs": inputs,
        "dependentTasks": sorted(step.upstream),
    }
    policy: dict[str, Any] = {}
    if step.always:
        policy["strategy"] = "ALL_UPSTREAM_TASKS_COMPLETED"
    if step.condition:
        name, comparison, number = step.condition
        policy["condition"] = f"inputs.parameter_values['{name}'] {comparison} {number}"
    if policy:
        task["triggerPolicy"] = policy
    if isinstance(step.body, Leaf) and step.body.retries:
        task["retryPolicy"] = {"maxRetryCount": step.body.retries}
    if step.loop:
        task |= _iterator(step.loop)
    return task


def _source(one: Input) -> dict[str, Any]:
    if one.kind == "status":
        return {"taskFinalStatus": {"producerTask": one.task}}
    word = WORDS[one.kind]
    if one.task:
        return {f"taskOutput{word}": {"producerTask": one.task, f"output{word}Key": one.key}}
    return {f"componentInput{word}": one.key}


def _iterator(loop: Loop) -> dict[str, Any]:
    policy = {"iteratorPolicy": {"parallelismLimit": loop.parallelism}} if loop.parallelism else {}
    if loop.artifacts:
        return {"artifactIterator": {"itemInput": ITEM, "items": {"inputArtifact": loop.source}}, **policy}
    items = {"inputParameter": loop.source} if loop.source else {"raw": json.dumps(loop.items)}
    return {"parameterIterator": {"itemInput": ITEM, "items": items}, **policy}


def _component(step: Step, components: dict[str, Any], count: Iterator[int]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for one in step.inputs:
        if one.kind == "artifacts":
            declared: dict[str, Any] = {"artifactType": {"schemaTitle": "system.Dataset"}}
            if one.depth:
                declared["isArtifactList"] = True
        else:
            declared = {"parameterType": "STRUCT" if one.kind == "status" else _parameter_type(one.depth)}
            if one.default is not None:
                declared["defaultValue"] = float(one.default)
        if one.optional or one.default is not None:
            declared["isOptional"] = True
        inputs.setdefault("artifacts" if one.kind == "artifacts" else "parameters", {})[one.name] = declared
    if step.loop and step.loop.artifacts:
        inputs.setdefault("artifacts", {})[ITEM] = {"artifactType": {"schemaTitle": "system.Dataset"}}
    elif step.loop:
        inputs.setdefault("parameters", {})[ITEM] = {"parameterType": _parameter_type(step.loop.depth)}
    declared_outputs: dict[str, Any] = {}
    for name, kind, depth in outputs(step):
        artifact = {"artifactType": {"schemaTitle": "system.Dataset"}}
        entry = artifact if kind == "artifacts" else {"parameterType": _parameter_type(depth)}
        declared_outputs.setdefault(kind, {})[name] = entry
    body = {"executorLabel": "exec"} if isinstance(step.body, Leaf) else {"dag": _dag(step.body, components, count)}
    return {"inputDefinitions": inputs, "outputDefinitions": declared_outputs, **body}


def _parameter_type(depth: int) -> str:
    return "LIST" if depth else "NUMBER_INTEGER"
