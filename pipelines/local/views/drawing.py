"""A run's graph in plain text: a task per line, each below the one that it waited for last.

What follows in the same column came after; branches stand to the right; what is inside a group is dotted.
A task that waits for several names those that the drawing does not show. The iterations of a loop, and tasks
that differ in nothing but their number, share a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.pipelines.local.ir.graph import Dag, Graph, Task
from headrace.pipelines.local.record.arrows import place_of, places_of, rounds_of
from headrace.pipelines.local.record.results import FAILED, PENDING, RUNNING, SUCCEEDED, RunResult, TaskResult
from headrace.pipelines.local.views.live import counts_text, joint_state
from headrace.pipelines.local.views.view import seconds_text, task_text

TOGETHER = 4  # tasks that differ only in their number: more than these share a line
_NAMED = 3  # upstream tasks that are named at most
GLYPHS = {"first": "┌─", "branch": "├─", "on": "│ ", "inside": "┊ "}
ASCII_GLYPHS = {"first": ",-", "branch": "|-", "on": "| ", "inside": ": "}


@dataclass(frozen=True)
class Line:
    """One line of the drawing."""

    lead: str  # the lines of the tree before it
    state: str
    label: str
    text: str


@dataclass(frozen=True)
class _Item:
    """One or several tasks that share a line."""

    tasks: tuple[Task, ...]
    upstream: tuple[int, ...]  # numbers of items

    @property
    def task(self) -> Task:
        return self.tasks[0]


def draw(graph: Graph | None, run: RunResult, glyphs: Mapping[str, str] = GLYPHS) -> list[Line]:
    """The lines of a run; in the order in which they were recorded where its pipeline is not known."""
    if graph is None or graph.root.dag is None:
        return [Line("", t.state, t.label, task_text(t)) for t in run.tasks.values() if t.leaf]
    waiting = "waiting" if run.state == RUNNING else "not reached"
    return list(_Drawing(graph, run, glyphs, waiting).scope(graph.root.dag, "", ""))


class _Drawing:
    """What is the same for all scopes of one drawing."""

    def __init__(self, graph: Graph, run: RunResult, glyphs: Mapping[str, str], waiting: str) -> None:
        self._graph, self._glyphs, self._waiting = graph, glyphs, waiting
        self._found, self._rounds = places_of(run.tasks.values()), rounds_of(run.tasks.values())

    def scope(self, dag: Dag, prefix: str, lead: str) -> Iterator[Line]:
        """One DAG. Work is stacked, not recursive: a chain may be thousands of tasks long."""
        items = _items(dag)
        below, heights, before = _dependents(items), _heights(items), _ancestors(items)
        missing = [len(item.upstream) for item in items]
        glyphs = self._glyphs

        def fan(ready: list[int], after: int, first: str) -> None:
            ready.sort(key=lambda n: (heights[n], n))  # the longest way goes on in the same column
            for place in reversed(range(len(ready))):
                last = place == len(ready) - 1
                glyph = "" if last else (first if place == 0 else glyphs["branch"])
                stack.append((ready[place], after, leads[after], glyph))

        leads = {-1: lead}
        stack: list[tuple[int, int, str, str]] = []
        fan([n for n, count in enumerate(missing) if not count], -1, glyphs["first"])
        while stack:
            number, after, before_it, glyph = stack.pop()
            leads[number] = before_it + (glyphs["on"] if glyph else "")
            others = [n for n in items[number].upstream if n != after and after >= 0 and not before[after] >> n & 1]
            others = [n for n in others if not any(before[m] >> n & 1 for m in others if m != n)]
            yield from self._lines(items, number, prefix, before_it + glyph, leads[number], others)
            ready = []
            for n in below[number]:
                missing[n] -= 1
                if not missing[n]:
                    ready.append(n)
            fan(ready, number, glyphs["branch"])

    def _lines(
        self, items: list[_Item], number: int, prefix: str, lead: str, inside: str, others: list[int]
    ) -> Iterator[Line]:
        item = items[number]
        task, component = item.task, self._graph.components[item.task.component]
        found = [result for t in item.tasks for result in self._found.get(prefix + t.name, ())]
        name = f"if {task.condition.short}" if task.condition and component.dag else task.display
        if task.loop:
            name = f"{name} x {self._rounds.get(place_of(prefix + task.name), 0)}"
        elif (len(found) > 1 and component.dag is None) or len(item.tasks) > 1:
            name = f"{name} x {max(len(found), len(item.tasks))}"
        named = [items[n].task.display for n in others]
        if named:
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            name += f" (after {', '.join(named[:_NAMED])}{more})"
        yield Line(lead, joint_state(found) if found else PENDING, name, self._text(found))
        if component.dag is not None:
            yield from self.scope(component.dag, f"{prefix}{task.name}/", inside + self._glyphs["inside"])

    def _text(self, found: list[TaskResult]) -> str:
        if not found:
            return self._waiting
        return task_text(found[0]) if len(found) == 1 else many_text(found)


def many_text(tasks: list[TaskResult]) -> str:
    """What became of tasks that share a line: how many are in which state, which failed, how long they took."""
    text = counts_text(tasks)
    failed = [index(task) for task in tasks if task.state == FAILED]
    if failed:
        text += f": {' '.join(failed[:_NAMED])}{' ...' if len(failed) > _NAMED else ''}"
    ran = sorted(task.seconds for task in tasks if task.state in (SUCCEEDED, FAILED) and not task.cached)
    if ran:
        text += f"; {seconds_text(ran[0])} to {seconds_text(ran[-1])} each, {seconds_text(sum(ran))} in all"
    return text


def index(task: TaskResult) -> str:
    """What tells a task from those that it shares a line with: its indices, or its name."""
    return "".join(re.findall(r"\[\d+\]", task.path)) or task.path.rpartition("/")[2]


def _items(dag: Dag) -> list[_Item]:
    """The tasks of a DAG, those that differ only in their number together, in an order in which they can run."""
    dependents: dict[str, list[str]] = {name: [] for name in dag.tasks}
    for name, task in dag.tasks.items():
        for upstream in task.upstream:
            dependents[upstream].append(name)
    alike: dict[object, list[Task]] = {}
    for name, task in dag.tasks.items():
        plain = task.loop is None and task.condition is None
        key = (task.component, task.upstream, tuple(sorted(dependents[name]))) if plain else name
        alike.setdefault(key, []).append(task)
    groups: list[tuple[Task, ...]] = []
    for tasks in alike.values():
        groups += [tuple(tasks)] if len(tasks) > TOGETHER else [(task,) for task in tasks]
    number = {task.name: n for n, tasks in enumerate(groups) for task in tasks}
    return [_Item(tasks, tuple(sorted({number[name] for name in tasks[0].upstream}))) for tasks in groups]


def _dependents(items: list[_Item]) -> list[list[int]]:
    below: list[list[int]] = [[] for _ in items]
    for number, item in enumerate(items):
        for upstream in item.upstream:
            below[upstream].append(number)
    return below


def _order(items: list[_Item]) -> list[int]:
    """The items' numbers, each after those that it waits for."""
    missing, below = [len(item.upstream) for item in items], _dependents(items)
    order = [n for n, count in enumerate(missing) if not count]
    for number in order:
        for n in below[number]:
            missing[n] -= 1
            if not missing[n]:
                order.append(n)
    return order


def _heights(items: list[_Item]) -> list[int]:
    """For each item how many follow it on the longest way."""
    heights, below = [0] * len(items), _dependents(items)
    for number in reversed(_order(items)):
        heights[number] = max((heights[n] + 1 for n in below[number]), default=0)
    return heights


def _ancestors(items: list[_Item]) -> list[int]:
    """For each item the set, as bits, of those before it; itself among them."""
    before = [0] * len(items)
    for number in _order(items):
        before[number] = 1 << number
        for upstream in items[number].upstream:
            before[number] |= before[upstream]
    return before
