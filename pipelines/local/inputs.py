"""Inputs of tasks and outputs of groups: values and artifacts on their way along the arrows."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.graph import Component, Graph, Source
from headrace.pipelines.local.placeholders import resolve_value
from headrace.pipelines.local.results import ArtifactRecord
from headrace.pipelines.local.values import cast, shown, tidy

if TYPE_CHECKING:
    from headrace.pipelines.local.tree import Node, Scope

Artifacts = dict[str, tuple[ArtifactRecord, ...]]

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
        elif name in node.component.artifacts and not node.component.artifacts[name].optional:
            raise _missing(node, name, source)
    parameters = {}
    for name, source in node.task.parameters.items():
        if source.kind != "constant":
            value = _parameter(node, source, constants)
            if value is not _MISSING:
                parameters[name] = _select(value, source.selector, node.path)
            elif not _dispensable(node.component, name):
                raise _missing(node, name, source)
    context = {"inputs": {"parameterValues": parameters, "artifacts": as_executor_input(artifacts)}}
    for name, source in node.task.parameters.items():
        if source.kind == "constant":
            parameters[name] = tidy(resolve_value(source.value, context, constants))
    return _with_defaults(
        node.component, parameters, node.path, node.task.loop.item if node.task.loop else ""
    ), artifacts


def cast_input(node: Node, name: str, value: Any) -> Any:
    """A value as the component's input `name` has it."""
    declared = node.component.parameters.get(name)
    return cast(tidy(value), declared.type, f"{node.path}: `{name}`") if declared else tidy(value)


def loop_items(node: Node, constants: Mapping[str, str]) -> list[Any]:
    """What a loop goes over.

    Raises:
        InputError: it is not a list.
    """
    loop = node.task.loop
    assert loop is not None
    if loop.artifacts:
        return list(node.artifacts.get(loop.source, ()))
    items = node.parameters.get(loop.source) if loop.source else loop.raw
    if loop.raw is not None:
        items = resolve_value(items, {"inputs": {"parameterValues": node.parameters}}, constants)
    if isinstance(items, str):
        with contextlib.suppress(ValueError):
            items = json.loads(items)
    if not isinstance(items, list):
        raise InputError(f"{node.path}: expected a list to loop over. Received: {shown(items)}")
    return items


def group_outputs(node: Node) -> tuple[dict[str, Any], Artifacts]:
    """The outputs of a group; a loop's are lists, one entry for each iteration that produced one."""
    each = [dag_outputs(scope, node.component, cast_them=node.task.loop is None) for scope in node.scopes]
    if node.task.loop is None:
        return each[0] if each else ({}, {})
    dag = node.component.dag
    assert dag is not None
    parameters = {name: [values[name] for values, _ in each if name in values] for name in dag.parameters}
    artifacts = {name: tuple(record for _, found in each for record in found.get(name, ())) for name in dag.artifacts}
    return parameters, artifacts


def dag_outputs(scope: Scope, component: Component, cast_them: bool = True) -> tuple[dict[str, Any], Artifacts]:
    """The outputs of one opened DAG: of several sources (OneOf), the first that has a value."""
    parameters, artifacts = {}, {}
    for name, sources in scope.dag.parameters.items():
        for source in sources:
            outputs = scope.nodes[source.name].outputs
            if source.key in outputs:
                value = outputs[source.key]
                kind = component.output_parameters.get(name, "")
                parameters[name] = cast(value, kind, f"{scope.prefix}{name}") if cast_them else value
                break
    for name, sources in scope.dag.artifacts.items():
        for source in sources:
            found = scope.nodes[source.name].output_artifacts
            if source.key in found:
                artifacts[name] = found[source.key]
                break
    return parameters, artifacts


def as_executor_input(artifacts: Artifacts) -> dict[str, Any]:
    """Input artifacts in the form of KFP's executor input."""
    return {
        name: {
            "artifacts": [
                {
                    "name": record.name,
                    "type": dict(record.schema) or {"schemaTitle": record.type},
                    "uri": record.uri,
                    "metadata": dict(record.metadata),
                }
                for record in records
            ]
        }
        for name, records in artifacts.items()
    }


def _parameter(node: Node, source: Source, constants: Mapping[str, str]) -> Any:
    if source.kind == "parent":
        return node.scope.parameters.get(source.name, _MISSING)
    producer = node.scope.nodes[source.name]
    if source.kind == "status":
        error = {"code": 13, "message": producer.error.message} if producer.error else {}
        return {
            "state": producer.state,
            "pipelineJobResourceName": constants.get("{{$.pipeline_job_resource_name}}", ""),
            "pipelineTaskName": producer.task.name,
            "error": error,
        }
    return producer.outputs.get(source.key, _MISSING)


def _artifacts(node: Node, source: Source) -> tuple[ArtifactRecord, ...] | None:
    if source.kind == "parent":
        return node.scope.artifacts.get(source.name)
    return node.scope.nodes[source.name].output_artifacts.get(source.key)


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
            elif (
                not declared.optional and not declared.has_default and name != later and declared.type != "TASK_CONFIG"
            ):
                what = "null" if name in given else "none"
                raise InputError(
                    f"{where}: expected a value for the parameter `{name}` ({declared.type}). Received: {what}"
                )
        else:
            complete[name] = cast(value, declared.type, f"{where}: `{name}`")
    return complete


def _dispensable(component: Component, name: str) -> bool:
    declared = component.parameters.get(name)
    return declared is None or declared.optional or declared.has_default


def _missing(node: Node, name: str, source: Source) -> InputError:
    if source.kind == "parent":
        return InputError(f"{node.path}: expected a value for `{name}`. Received: none from `{source.name}` outside")
    producer = node.scope.nodes[source.name]
    return InputError(
        f"{node.path}: expected the output `{source.key}` of {source.name} for its input `{name}`. "
        f"Received: none ({source.name} is {producer.state})"
    )
