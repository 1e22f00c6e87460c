"""Why tasks ran again: for each, the first causes on the ways that lead to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.pipelines.local.ir.graph import Graph
from headrace.pipelines.local.record.arrows import (
    Place,
    find_places,
    inputs_of,
    origins,
    place_of,
    places_of,
    same_branch,
)
from headrace.pipelines.local.record.changes import value_changes
from headrace.pipelines.local.record.results import (
    FAILED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    ArtifactRecord,
    RunResult,
    TaskResult,
)

_PARTS = {"code": "the code", "environment": "the environment", "command": "the command", "env": "the variables"}

_NAMED = 4  # tasks that a cause names

Cause = tuple[str, str]  # what is to be said, with `{}` for the task that it is said of; that task's label


@dataclass(frozen=True)
class Rerun:
    """Tasks that ran in the later run, and why they were not taken from the earlier one."""

    tasks: tuple[str, ...]  # labels
    causes: tuple[str, ...]  # in words; "it" is each of the tasks


@dataclass
class _Told:
    """What is different about one task."""

    first: dict[Cause, None] = field(default_factory=dict)  # the causes, its own and those before it


def reruns(before: RunResult, after: RunResult, graph: Graph | None) -> tuple[Rerun, ...]:
    """The tasks of `after` that were not taken from the cache, together where their causes are the same."""
    told = _Telling(before, after, graph).all()
    together: dict[tuple[str, ...], list[str]] = {}
    for path, one in told.items():
        task = after.tasks[path]
        if not task.cached and task.state in (SUCCEEDED, FAILED, RUNNING):
            together.setdefault(_in_words(task.label, one.first), []).append(task.label)
    return tuple(Rerun(tuple(tasks), causes) for causes, tasks in together.items())


def _in_words(label: str, first: Iterable[Cause]) -> tuple[str, ...]:
    """The causes of a task in words: each once, and of the task itself rather than of others before it."""
    of: dict[str, list[str]] = {}
    for text, about in first:
        of.setdefault(text, []).append(about)
    said = []
    for text, labels in of.items():
        more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
        said.append(_of_itself(text) if label in labels else text.format(", ".join(labels[:_NAMED]) + more))
    return tuple(dict.fromkeys(said))


def _of_itself(text: str) -> str:
    """A cause as said of the task in question: "its code changed"."""
    if text.startswith("the ") and " of {}" in text:
        text = f"its {text[4:]}".replace(" of {}", "", 1)
    return text.format("it")


class _Telling:
    """Goes through the tasks in the order in which they ran, so that causes are known before their effects."""

    def __init__(self, before: RunResult, after: RunResult, graph: Graph | None) -> None:
        self._before, self._after = before, after
        self._places = find_places(graph) if graph else {}
        self._found = places_of(after.tasks.values())
        self._told: dict[str, _Told] = {}

    def all(self) -> dict[str, _Told]:
        for path, task in self._after.tasks.items():
            if task.leaf:
                self._told[path] = self._one(task)
        return self._told

    def _one(self, task: TaskResult) -> _Told:
        told = _Told()
        old = self._before.tasks.get(task.path)
        label = task.label
        if old is None:
            told.first["{} is new", label] = None
            return told
        if old.state == SKIPPED and task.state != SKIPPED:
            told.first[f"{{}} was skipped before ({_literal(old.reason)})", label] = None
            return told
        for part in dict.fromkeys((*old.made_of, *task.made_of)):
            if old.made_of.get(part) != task.made_of.get(part) and old.made_of and task.made_of:
                told.first[_part_changed(part, task), label] = None
        self._inputs(old, task, told)
        if not told.first:
            self._unchanged(old, task, told)
        return told

    def _inputs(self, old: TaskResult, task: TaskResult, told: _Told) -> None:
        """What it was given differs: the causes of whoever gave it, or the thing itself."""
        for name, change in self._changed(old, task):
            producers = self._producers(task, name)
            known = [cause for producer in producers for cause in self._of(producer)]
            told.first.update(dict.fromkeys(known or [(change, task.label)]))

    def _changed(self, old: TaskResult, task: TaskResult) -> Iterator[tuple[str, str]]:
        """(input, what is to be said of it) for each that differs."""
        a, b = _without_run(old.parameters, self._before.id), _without_run(task.parameters, self._after.id)
        for name in dict.fromkeys((*a, *b)):
            if changes := list(value_changes(name, a.get(name), b.get(name))):
                more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
                yield name, f"the parameter {_literal(changes[0].what)}{more} of {{}} changed"
        for name in dict.fromkeys((*old.inputs, *task.inputs)):
            if _content(old.inputs.get(name, ())) != _content(task.inputs.get(name, ())):
                yield name, f"the input {name} of {{}} changed"

    def _producers(self, task: TaskResult, name: str) -> list[TaskResult]:
        place = self._places.get(place_of(task.path))
        source = inputs_of(place).get(name) if place else None
        if place is None or source is None:
            return []
        return [
            producer
            for origin in sorted(origins(self._places, place, source), key=lambda o: (o.path, o.name))
            for producer in self._found.get(origin.path, ())
            if same_branch(producer.path, task.path)
        ]

    def _of(self, producer: TaskResult) -> list[Cause]:
        """The causes of a task before, if it did put out something else."""
        old, told = self._before.tasks.get(producer.path), self._told.get(producer.path)
        if old is not None and told is not None and _same_outputs(old, producer):
            return []
        return list(told.first) if told else []

    def _unchanged(self, old: TaskResult, task: TaskResult, told: _Told) -> None:
        """It was given the same, and is the same."""
        if old.state == SUCCEEDED and task.state == SUCCEEDED and not _same_outputs(old, task):
            outputs = _literal(", ".join(_other_outputs(old, task)))
            reads = f"what {{}} reads changed ({outputs})"
            said = reads if not task.inputs else f"{{}} gave another {outputs} from the same inputs"
        elif old.state != SUCCEEDED:
            said = "{} had not succeeded before"
        elif _never_cached(self._places.get(place_of(task.path))):
            said = "{} is never cached"
        elif not task.key:
            said = "an input of {} has content that is not known"
        elif old.key and old.key != task.key:
            said = "something changed that {} depends on, which was not recorded in the earlier run"
        else:
            said = "the cache was not used, or had lost what {} put out"
        told.first[said, task.label] = None


def _part_changed(part: str, task: TaskResult) -> str:
    """An environment is one thing for all its tasks; code, command and variables are a task's own."""
    if part == "environment" and (name := task.made_of.get(part, "").partition(" ")[0]):
        return f"the environment {_literal(name)} changed"
    return f"{_PARTS.get(part, part)} of {{}} changed"


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _never_cached(place: Place | None) -> bool:
    return place is not None and not place.task.cache


def _without_run(values: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    """Values without the run's own id, which is different every time."""
    return {n: v.replace(run_id, "{run}") if isinstance(v, str) else v for n, v in values.items()}


def _content(records: tuple[ArtifactRecord, ...]) -> list[tuple[str | None, str, dict[str, Any]]]:
    return [(record.digest, record.type, dict(record.metadata)) for record in records]


def _other_outputs(old: TaskResult, task: TaskResult) -> list[str]:
    names = dict.fromkeys((*old.outputs, *task.outputs))
    found = [name for name in names if list(value_changes(name, old.outputs.get(name), task.outputs.get(name)))]
    for name in dict.fromkeys((*old.artifacts, *task.artifacts)):
        if _content(old.artifacts.get(name, ())) != _content(task.artifacts.get(name, ())):
            found.append(name)
    return found


def _same_outputs(old: TaskResult, task: TaskResult) -> bool:
    return not _other_outputs(old, task)
