"""What differs between two values, and between two pipelines: where, before and after."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from headrace.pipelines.local.ir.graph import Graph, Source
from headrace.pipelines.local.record.arrows import Place, find_places

ADDED, REMOVED, CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class Change:
    """One difference. What was added has no `before`, what was removed no `after`."""

    what: str  # where: "train: train.max_depth"
    kind: str
    before: Any = None
    after: Any = None


def value_changes(what: str, before: Any, after: Any) -> Iterator[Change]:
    """The differences of two values of JSON's kind, as deep inside as they are."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from mapping_changes(what, before, after)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from value_changes(f"{what}[{place}]", one, other)
    elif (type(before) is not type(after) or before != after) and not (_is_nan(before) and _is_nan(after)):
        yield Change(what, CHANGED, before, after)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def mapping_changes(what: str, before: Mapping[Any, Any], after: Mapping[Any, Any], dot: str = ".") -> Iterator[Change]:
    """The differences of two mappings: entries removed, added, changed."""
    for name in dict.fromkeys((*before, *after)):
        path = f"{what}{dot}{name}" if what else str(name)
        if name not in after:
            yield Change(path, REMOVED, before=before[name])
        elif name not in before:
            yield Change(path, ADDED, after=after[name])
        else:
            yield from value_changes(path, before[name], after[name])


def pipeline_changes(before: Graph, after: Graph) -> tuple[Change, ...]:
    """The differences of two compiled pipelines: tasks, and what is written in them."""
    old, new = find_places(before), find_places(after)
    found = list(mapping_changes("pipeline parameter", _defaults(before), _defaults(after), dot=" "))
    for path in dict.fromkeys((*old, *new)):
        if path not in new:
            found.append(Change(path, REMOVED, before=old[path].component.name))
        elif path not in old:
            found.append(Change(path, ADDED, after=new[path].component.name))
        else:
            found += mapping_changes(path, _written(old[path]), _written(new[path]), dot=": ")
    return tuple(found)


def _defaults(graph: Graph) -> dict[str, Any]:
    return {name: _plain(parameter) for name, parameter in graph.root.parameters.items()}


def _written(place: Place) -> dict[str, Any]:
    """All that a pipeline says of a task, under the names that a reader knows."""
    task, component = place.task, place.component
    said = {name: _source(source) for name, source in {**task.parameters, **task.artifacts}.items()}
    own = {f.name: _plain(getattr(task, f.name)) for f in fields(task) if f.name not in ("parameters", "artifacts")}
    condition = own.pop("condition", None)
    own["condition"] = task.condition.short if condition and task.condition else None
    executor = _plain(component.executor) if component.executor else {}
    outputs = {"outputs": _plain({**component.output_parameters, **component.output_artifacts})}
    return {**said, **own, **executor, **(outputs if component.dag is None else {})}


def _source(source: Source) -> Any:
    """Where an input comes from; a constant is its value."""
    if source.kind == "constant":
        return _plain(source.value)
    chosen = f" {source.selector}" if source.selector else ""
    whence = source.name if source.kind == "parent" else f"{source.name}.{source.key or source.kind}"
    return f"<- {whence}{chosen}"


def _plain(value: Any) -> Any:
    """Dataclasses, sets and tuples as mappings and lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(_plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
