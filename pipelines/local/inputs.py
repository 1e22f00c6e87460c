"""Inputs of tasks and outputs of groups: values and artifacts on their way along the arrows."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.graph import Component, Graph, Source
from headrace.pipelines.local.ir.placeholders import WORKSPACE, resolve_text, resolve_value, task_constants
from headrace.pipelines.local.ir.values import cast, shown, tidy
from headrace.pipelines.local.record.results import ArtifactRecord

if TYPE_CHECKING:
    from headrace.pipelines.local.tree import Node, Scope

Artifacts = dict[str, tuple[ArtifactRecord, ...]]

IN_WORKSPACE = "_kfp_workspace"  # KFP's mark, in an artifact's metadata, that it was copied into the workspace
MADE_BY_COMPILER = "pipelinechannel--"
_MISSING = object()
_SELECTOR = re.compile(r"parseJson\(string_value\)((?:\[(?:\"[^\"]*\"|'[^']*'|\d+)\])+)")
_STEP = re.compile(r"\[(?:\"([^\"]*)\"|'([^']*)'|(\d+))\]")


class InputError(HeadraceError):
    """A task, or the pipeline, lacks an input, or was given one that it does not have."""


def pipeline_parameters(graph: Graph, given: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline's parameters: what was given, cast, and the defaults.

    Raises:
        InputError: an unknown one, or one without default that is missing.
    """
    known = graph.root.parameters
    if unknown := sorted(set(given) - set(known)):
        raise InputError(
            f"expected parameters of {graph.name} among {', '.join(known) or 'none'}. Received: {', '.join(unknown)}"
        )
    required = [name for name, artifact in graph.root.artifacts.items() if not artifact.optional]
    if required:
        raise InputError(
            f"expected a pipeline whose inputs are parameters. "
            f"Received: {graph.name}, with the input artifact {required[0]}"
        )
    return _with_defaults(graph.root, dict(given), graph.name)


def resolve(node: Node, constants: Mapping[str, str]) -> tuple[dict[str, Any], Artifacts]:
    """A task's input parameters and artifacts, from its scope and the tasks before it.

    Raises:
        InputError: an input that is needed has no value.
    """
    artifacts: Artifacts = {}
    for name, source in node.task.artifacts.items():
        found = _artifacts(node, source)
        if found is not None:
            artifacts[name] = found
        elif name in node.component.artifacts and not (
            node.component.artifacts[name].optional or _passed_on(node.component, name)
        ):
            raise _missing(node, name, source)
    parameters = {}
    for name, source in node.task.parameters.items():
        if source.kind != "constant":
            value = _parameter(node, source, constants)
            if value is not _MISSING:
                parameters[name] = _select(value, source.selector, node.path)
            elif not _dispensable(node.component, name):
                raise _missing(node, name, source)
    constants = task_constants(constants, node.task.name, node.path)
    read = as_executor_input(artifacts, constants.get(WORKSPACE, ""))
    context = {"inputs": {"parameterValues": parameters, "artifacts": read}}
    for name, source in node.task.parameters.items():
        if source.kind == "constant":
            parameters[name] = tidy(resolve_value(source.value, context, constants))
    for name, declared in node.component.parameters.items():
        if declared.type == "TASK_CONFIG":
            parameters[name] = resolve_value(node.component.task_config, context, constants)
    item = node.task.loop.item if node.task.loop else ""
    return _with_defaults(node.component, parameters, node.path, item), artifacts


def with_image(node: Node, constants: Mapping[str, str]) -> Component:
    """The component of a task whose image is the value of a parameter."""
    executor = node.component.executor
    assert executor is not None
    context = {"inputs": {"parameterValues": node.parameters}}
    image = resolve_text(executor.image, context, task_constants(constants, node.task.name, node.path))
    return replace(node.component, executor=replace(executor, image=image))


def cast_input(node: Node, name: str, value: Any) -> Any:
    """A value as the component's input `name` has it."""
    declared = node.component.parameters.get(name)
    return cast(tidy(value), declared.type, f"{node.path}: `{name}`") if declared else tidy(value)


def iteration(node: Node, item: Any) -> dict[str, Any]:
    """The inputs that one iteration of a loop gets by its item: the item, and the fields of it that are asked for."""
    loop = node.task.loop
    assert loop is not None
    found = {loop.item: item}
    prefix = f"{loop.item}-subvar-"  # by this name KFP's compiler asks for a field, where it stands in a longer text
    wanted = [n for n in node.component.parameters if n.startswith(prefix) and n not in node.parameters]
    fields = _parsed(item) if wanted else None
    if isinstance(fields, Mapping):
        found.update({n: fields[n.removeprefix(prefix)] for n in wanted if n.removeprefix(prefix) in fields})
    return found


def loop_items(node: Node) -> list[Any]:
    """What a loop goes over, each item as its tasks expect it: a wrong one is found before any of them runs.

    Raises:
        InputError: it is not a list.
        ValueMismatch: an item is of another type than the tasks inside expect.
    """
    loop = node.task.loop
    assert loop is not None
    if loop.artifacts:
        return list(node.artifacts.get(loop.source, ()))
    items = node.parameters.get(loop.source) if loop.source else loop.raw
    items = _parsed(items)
    if not isinstance(items, list):
        raise InputError(f"{node.path}: expected a list to loop over. Received: {shown(items)}")
    return [cast_input(node, loop.item, item) for item in items]


def group_outputs(node: Node) -> tuple[dict[str, Any], Artifacts]:
    """The outputs of a group; a loop's are lists, one entry for each iteration that produced one."""
    each = [dag_outputs(scope) for scope in node.scopes]
    if node.task.loop is None:
        return each[0] if each else ({}, {})
    dag = node.component.dag
    assert dag is not None
    parameters = {name: [values[name] for values, _ in each if name in values] for name in dag.parameters}
    artifacts = {name: tuple(record for _, found in each for record in found.get(name, ())) for name in dag.artifacts}
    return parameters, artifacts


def dag_outputs(scope: Scope) -> tuple[dict[str, Any], Artifacts]:
    """The outputs of one opened DAG: of several sources (OneOf), the first that has a value.

    They have the types of the tasks that put them out. What the group declares is another one where the values
    are collected further out: KFP's compiler writes the type of the list there.
    """
    parameters, artifacts = {}, {}
    for name, sources in scope.dag.parameters.items():
        for source in sources:
            outputs = scope.nodes[source.name].outputs
            if source.key in outputs:
                parameters[name] = outputs[source.key]
                break
    for name, sources in scope.dag.artifacts.items():
        for source in sources:
            found = scope.nodes[source.name].output_artifacts
            if source.key in found:
                artifacts[name] = found[source.key]
                break
    return parameters, artifacts


def as_executor_input(artifacts: Artifacts, workspace: str = "") -> dict[str, Any]:
    """Input artifacts in the form of KFP's executor input; `workspace` is the folder that some were copied into."""
    return {
        name: {"artifacts": [_as_executor_input(record, workspace) for record in records]}
        for name, records in artifacts.items()
    }


def in_workspace(path: str, workspace: str) -> str:
    """Where an importer puts the copy of a local artifact."""
    return f"{workspace}/.artifacts/{path.lstrip('/')}"


def _as_executor_input(record: ArtifactRecord, workspace: str) -> dict[str, Any]:
    copied = record.metadata.get(IN_WORKSPACE) is True and bool(workspace)
    return {
        # TFX's tasks pass names on, to be found by later: they must be unique.
        "name": record.uri if "instanceSchema" in record.schema else record.name,
        "type": dict(record.schema) or {"schemaTitle": record.type},
        "uri": in_workspace(record.uri, workspace) if copied else record.uri,
        "metadata": {k: v for k, v in record.metadata.items() if k != IN_WORKSPACE},
    }


def _parameter(node: Node, source: Source, constants: Mapping[str, str]) -> Any:
    if source.kind == "parent":
        return node.scope.parameters.get(source.name, _MISSING)
    producer = node.scope.nodes[source.name]
    if source.kind == "status":
        return {
            "state": producer.state,
            "pipelineJobResourceName": constants.get("{{$.pipeline_job_resource_name}}", ""),
            "pipelineTaskName": producer.task.name,
            "error": {"code": 13, "message": message} if (message := _failure(producer)) else {},
        }
    return producer.outputs.get(source.key, _MISSING)


def _failure(node: Node) -> str:
    """Why a task failed; a group, by the first of its tasks that did."""
    todo = [node]
    while todo:
        one = todo.pop(0)
        if one.error:
            return one.error.message if one is node else f"{one.path}: {one.error.message}"
        todo += [inner for scope in one.scopes for inner in scope.nodes.values()]
    return ""


def _artifacts(node: Node, source: Source) -> tuple[ArtifactRecord, ...] | None:
    if source.kind == "parent":
        return node.scope.artifacts.get(source.name)
    return node.scope.nodes[source.name].output_artifacts.get(source.key)


def _parsed(value: Any) -> Any:
    """A list or a mapping that travels as JSON, since KFP's compiler did not know its type."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value


def _select(value: Any, selector: str, where: str) -> Any:
    """Applies KFP's expression for a field of a loop's item, `parseJson(string_value)["a"]`."""
    if not selector:
        return value
    match = _SELECTOR.fullmatch(selector)
    if not match:
        raise InputError(f"{where}: expected an expression of KFP's for a loop's item. Received: {selector}")
    try:
        value = json.loads(value) if isinstance(value, str) else value
        for step in _STEP.finditer(match.group(1)):
            value = value[int(step.group(3))] if step.group(3) else value[step.group(1) or step.group(2) or ""]
    except (ValueError, LookupError, TypeError):
        raise InputError(f"{where}: expected an item with {match.group(1)}. Received: {shown(value)}") from None
    return value


def _with_defaults(component: Component, given: dict[str, Any], where: str, later: str = "") -> dict[str, Any]:
    """Casts what is given, adds defaults; `later` is an input that comes with each iteration of a loop."""
    complete = dict(given)
    for name, declared in component.parameters.items():
        value = given.get(name)
        if value is None:
            complete.pop(name, None)
            if declared.has_default and declared.default is not None:
                complete[name] = cast(tidy(declared.default), declared.type, f"{where}: default of `{name}`")
            elif not (name == later or declared.type == "TASK_CONFIG" or _dispensable(component, name)):
                what = "null" if name in given else "none"
                raise InputError(
                    f"{where}: expected a value for the parameter `{name}` ({declared.type}). Received: {what}"
                )
        else:
            complete[name] = cast(value, declared.type, f"{where}: `{name}`")
        if declared.literals and name in complete and complete[name] not in map(tidy, declared.literals):
            allowed = ", ".join(shown(tidy(literal)) for literal in declared.literals)
            raise InputError(f"{where}: expected `{name}` to be one of {allowed}. Received: {shown(complete[name])}")
    return complete


def _dispensable(component: Component, name: str) -> bool:
    declared = component.parameters.get(name)
    return declared is None or declared.optional or declared.has_default or _passed_on(component, name)


def _passed_on(component: Component, name: str) -> bool:
    """Whether an input is one that KFP's compiler made, to pass on what is optional for the tasks inside a group."""
    return component.dag is not None and name.startswith(MADE_BY_COMPILER)


def _missing(node: Node, name: str, source: Source) -> InputError:
    if source.kind == "parent":
        return InputError(f"{node.path}: expected a value for `{name}`. Received: none from `{source.name}` outside")
    producer = node.scope.nodes[source.name]
    return InputError(
        f"{node.path}: expected the output `{source.key}` of {source.name} for its input `{name}`. "
        f"Received: none ({source.name} is {producer.state})"
    )
