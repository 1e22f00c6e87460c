"""A pipeline's arrows, followed through its groups: which task made what another one takes.

Works on the graph alone, so on places ("for-loop-1/train") and not on tasks of a run ("for-loop-1[3]/train");
`places_of` and `same_branch` go from the one to the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headrace.pipelines.local.ir.graph import Component, Dag, Graph, Source, Task
from headrace.pipelines.local.record.results import TaskResult


@dataclass(frozen=True)
class Place:
    """A task where it stands in the pipeline."""

    path: str  # as a task's path in a run, without the indices of loops
    task: Task
    component: Component
    owner: str  # the path of the group around it; empty at the top


@dataclass(frozen=True)
class Origin:
    """What an input comes from: an output of a task, or, with an empty path, a parameter of the pipeline."""

    path: str
    name: str


def find_places(graph: Graph) -> dict[str, Place]:
    """All places of a pipeline by path, groups before what is in them."""
    found: dict[str, Place] = {}

    def enter(dag: Dag, owner: str) -> None:
        for name, task in dag.tasks.items():
            path = f"{owner}/{name}" if owner else name
            component = graph.components[task.component]
            found[path] = Place(path, task, component, owner)
            if component.dag is not None:
                enter(component.dag, path)

    if graph.root.dag is not None:
        enter(graph.root.dag, "")
    return found


def inputs_of(place: Place) -> dict[str, Source]:
    """A place's inputs by name, parameters and artifacts alike."""
    return {**place.task.parameters, **place.task.artifacts}


def origins(places: Mapping[str, Place], place: Place, source: Source) -> set[Origin]:
    """Where an input comes from in the end; nothing for a constant, several for collected and one-of outputs."""
    return set(_origins(places, place.owner, source))


def _origins(places: Mapping[str, Place], owner: str, source: Source) -> Iterator[Origin]:
    if source.kind == "parent":
        yield from _from_outside(places, owner, source.name)
    elif source.kind in ("task", "status"):
        path = f"{owner}/{source.name}" if owner else source.name
        dag = places[path].component.dag
        if dag is None or source.kind == "status":
            yield Origin(path, source.key or "status")
            return
        for inner in (*dag.parameters.get(source.key, ()), *dag.artifacts.get(source.key, ())):
            yield from _origins(places, path, inner)


def _from_outside(places: Mapping[str, Place], owner: str, name: str) -> Iterator[Origin]:
    """What a group was given under a name: a loop's item is the item of a list that was."""
    if not owner:
        yield Origin("", name)
        return
    group = places[owner]
    if group.task.loop is not None and name == group.task.loop.item:
        name = group.task.loop.source
    if source := inputs_of(group).get(name):
        yield from _origins(places, group.owner, source)


def place_of(path: str) -> str:
    """The place of a task's path in a run."""
    return re.sub(r"\[\d+\]", "", path)


def places_of(tasks: Iterable[TaskResult]) -> dict[str, list[TaskResult]]:
    """The tasks of a run by their place; several where a loop went round."""
    found: dict[str, list[TaskResult]] = {}
    for task in tasks:
        found.setdefault(place_of(task.path), []).append(task)
    return found


def rounds_of(tasks: Iterable[TaskResult]) -> dict[str, int]:
    """How many iterations of each loop there were, by the loop's place."""
    found: dict[str, set[str]] = {}
    for task in tasks:
        for match in re.finditer(r"\[\d+\]", task.path):
            found.setdefault(place_of(task.path[: match.end()]), set()).add(task.path[: match.end()])
    return {place: len(each) for place, each in found.items()}


def same_branch(path: str, other: str) -> bool:
    """Whether two tasks of a run are in the same iteration of every loop that is around both."""
    for a, b in zip(path.split("/"), other.split("/"), strict=False):
        if place_of(a) != place_of(b):
            return True
        if a != b:
            return False
    return True
