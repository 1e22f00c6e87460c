"""What must become of a plan: a recursive definition, which knows nothing of the runner's graph, tree or queue.

`survey` says, for the leaves that are over so far, what state each task is in: so it tells the end (when all are
over) as well as which leaves must be running at every moment on the way.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

from tests.unit.pipelines.local.plans import ITEM, Group, Input, Leaf, Loop, Step

COMPARISONS = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, ">=": operator.ge}
STATUS = {"SUCCEEDED": 1, "FAILED": 2, "SKIPPED": 3}


class Everything(Container[str]):
    def __contains__(self, path: object) -> bool:
        return True


@dataclass(frozen=True)
class Seen:
    """A task: its state ("WAITING", "RUNNING" or a final one), its outputs, and for a loop how many iterations run."""

    state: str
    outputs: dict[str, Any] = field(default_factory=dict)  # numbers and lists; an artifact is the number in it
    leaf: bool = True
    running: int = 0

    @property
    def final(self) -> bool:
        return self.state in STATUS


@dataclass(frozen=True)
class Wrong(Exception):
    """A task cannot begin: it fails at its inputs."""


def survey(root: Group, over: Container[str]) -> tuple[str, dict[str, Seen]]:
    """The run's state, and every task's by its path, when the leaves in `over` are over."""
    found: dict[str, Seen] = {}
    return _group(root, "", {}, over, found), found


def attempts(leaf: Leaf, path: str) -> tuple[int, bool]:
    """How often a leaf is tried, and whether it succeeds in the end."""
    fails = leaf.fails[sum(map(int, re.findall(r"\[(\d+)\]", path))) % len(leaf.fails)]
    return min(fails, leaf.retries) + 1, fails <= leaf.retries


def fold(value: Any) -> int:
    """One number for whatever a leaf is given; another one when a list's order changes."""
    if isinstance(value, list | tuple):
        return len(value) + sum(place * fold(item) for place, item in enumerate(value, 1))
    return STATUS[value["state"]] if isinstance(value, dict) else int(value)


def leaf_outputs(leaf: Leaf, given: dict[str, Any]) -> dict[str, Any]:
    """What a leaf makes of its inputs, all of them."""
    value = (leaf.base + sum((len(name) + fold(given[name])) for name in given)) % 5
    return {"value": value, "list": [(value + item) % 5 for item in leaf.items], "thing": value + 10}


def _group(group: Group, prefix: str, given: dict[str, Any], over: Container[str], found: dict[str, Seen]) -> str:
    """The joint state of a group whose inputs are `given`: RUNNING until all of it is over."""
    states = []
    for step in group.steps:
        path = prefix + step.name
        found[path] = _step(step, path, prefix, given, over, found)
        states.append(found[path].state)
    if not all(state in STATUS for state in states):
        return "RUNNING"
    return "FAILED" if "FAILED" in states else "SUCCEEDED"


def _step(
    step: Step, path: str, prefix: str, given: dict[str, Any], over: Container[str], found: dict[str, Seen]
) -> Seen:
    before = {name: found[prefix + name] for name in step.upstream}
    if not all(other.final for other in before.values()):
        return Seen("WAITING", leaf=isinstance(step.body, Leaf))
    if not step.always and any(other.state != "SUCCEEDED" for other in before.values()):
        return _skipped(step, path, found)
    try:
        own = _inputs(step, before, given)
        if step.condition and not _holds(step.condition, own):
            return _skipped(step, path, found)
        items = _items(step.loop, own) if step.loop else None
    except Wrong:
        return Seen("FAILED", leaf=isinstance(step.body, Leaf))
    if isinstance(step.body, Leaf):
        if path not in over:
            return Seen("RUNNING")
        well = attempts(step.body, path)[1]
        return Seen("SUCCEEDED", leaf_outputs(step.body, own)) if well else Seen("FAILED")
    if step.loop is None or items is None:
        state = _group(step.body, f"{path}/", own, over, found)
        return Seen(state, _exports(step.body, f"{path}/", found), leaf=False)
    return _loop(step.body, items, step.loop.parallelism, path, own, over, found)


def _skipped(step: Step, path: str, found: dict[str, Seen]) -> Seen:
    """A skipped group's tasks are skipped too, each of them; a loop has none yet."""
    if isinstance(step.body, Group) and step.loop is None:
        for inner in step.body.steps:
            found[f"{path}/{inner.name}"] = _skipped(inner, f"{path}/{inner.name}", found)
    return Seen("SKIPPED", leaf=isinstance(step.body, Leaf))


def _inputs(step: Step, before: dict[str, Seen], given: dict[str, Any]) -> dict[str, Any]:
    own = {}
    for one in step.inputs:
        value = _value(one, before, given)
        value = one.default if value is None else value
        if value is not None:
            own[one.name] = value
        elif not one.optional:
            raise Wrong
    return own


def _value(one: Input, before: dict[str, Seen], given: dict[str, Any]) -> Any:
    if one.kind == "status":
        return {"state": before[one.task].state}
    return before[one.task].outputs.get(one.key) if one.task else given.get(one.key)


def _holds(condition: tuple[str, str, int], own: dict[str, Any]) -> bool:
    name, comparison, number = condition
    if name not in own:
        raise Wrong
    return bool(COMPARISONS[comparison](own[name], number))


def _items(loop: Loop, own: dict[str, Any]) -> list[Any]:
    if not loop.source:
        if any(isinstance(item, str) for item in loop.items):
            raise Wrong  # before any iteration has begun
        return list(loop.items)
    if loop.source not in own:
        if loop.artifacts:
            return []  # no artifacts, no iterations
        raise Wrong
    return list(own[loop.source])


def _loop(
    body: Group,
    items: list[Any],
    parallelism: int,
    path: str,
    own: dict[str, Any],
    over: Container[str],
    found: dict[str, Seen],
) -> Seen:
    """Iterations begin in their order; one that is over makes room for one more."""
    states: list[str] = []
    while len(states) < len(items) and (not parallelism or states.count("RUNNING") < parallelism):
        prefix = f"{path}[{len(states)}]/"
        states.append(_group(body, prefix, {**own, ITEM: items[len(states)]}, over, found))
    each = [_exports(body, f"{path}[{number}]/", found) for number in range(len(states))]
    collected: dict[str, Any] = {}
    for one in body.exports:
        lists = [made[one.name] for made in each if one.name in made]
        # artifacts are one flat list, however deep the loops
        flat = one.kind == "artifacts" and one.depth
        collected[one.name] = [item for inner in lists for item in inner] if flat else lists
    if len(states) < len(items) or "RUNNING" in states:
        return Seen("RUNNING", leaf=False, running=states.count("RUNNING"))
    return Seen("FAILED" if "FAILED" in states else "SUCCEEDED", collected, leaf=False)


def _exports(group: Group, prefix: str, found: dict[str, Seen]) -> dict[str, Any]:
    made = {}
    for one in group.exports:
        values = [found[prefix + task].outputs.get(key) for task, key in one.sources]
        if (first := next((value for value in values if value is not None), None)) is not None:
            made[one.name] = first
    return made
