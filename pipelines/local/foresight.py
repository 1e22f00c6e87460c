"""What of a run will probably have to run: workers import for it while there is nothing else to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from headrace.pipelines.local.ir.graph import Component, Graph
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import SUCCEEDED, TaskResult
from headrace.pipelines.local.store.cache import Catalogue, guess
from headrace.pipelines.local.tree import UNKNOWN, Artifacts, Node, Tree

A_WHILE = 0.25  # seconds that a task has to run until what follows it is prepared
WORTH = 0.03  # seconds: where a look takes longer, what is imported earlier is not worth another one

Outputs: TypeAlias = tuple[dict[str, Any], Artifacts]  # of a task: parameters, artifacts


@dataclass
class Foreseen:
    """What a look ahead came to."""

    expected: dict[str, Component] = field(default_factory=dict)  # will probably run, in the order of their need
    supposed: dict[str, Outputs] = field(default_factory=dict)  # by task


def foresee(
    graph: Graph,
    parameters: Mapping[str, Any],
    constants: Mapping[str, str],
    catalogue: Catalogue,
    record: Record,
    name: str,
    use_cache: bool,
    ended: Mapping[str, TaskResult] | None = None,
) -> Foreseen:
    """Goes through a run as far as it is known: by the cache, and by the tasks that have `ended`.

    A task that is never cached, or that has to run because something was changed, is supposed to put out what it did
    last time in the runs of this `name`: most often it does, and then no worker imports what only others would need.
    """
    found = Foreseen()
    last: dict[str, str] | None = None

    def before(node: Node) -> Outputs | None:
        nonlocal last
        if last is None:
            last = record.latest_keys(name)
        return guess(record, last[node.path], reusable=False) if use_cache and node.path in last else None

    def on_leaf(node: Node) -> None:
        executor = node.component.executor
        if ended and (result := ended.get(node.path)):
            node.outputs, node.output_artifacts = dict(result.outputs), dict(result.artifacts)
            tree.finish(node, result.state)
            return
        if executor is None or executor.kind != "container":
            tree.finish(node, UNKNOWN)  # an importer is looked at in the run itself
            return
        key = catalogue.key(node)
        cacheable = node.task.cache and use_cache
        kept = guess(record, key, cacheable) if key and use_cache else None
        if kept is None or not cacheable:
            found.expected.setdefault(node.component.name, node.component)
        outputs = kept or before(node)
        if outputs is None:
            tree.finish(node, UNKNOWN)
        else:
            found.supposed[node.path] = outputs
            node.outputs, node.output_artifacts = dict(outputs[0]), dict(outputs[1])
            tree.finish(node, SUCCEEDED)

    def on_final(node: Node) -> None:
        if node.state == UNKNOWN:
            for component in _leaves(graph, node.component):
                found.expected.setdefault(component.name, component)

    tree = Tree(graph, parameters, constants, on_leaf, on_final)
    tree.work()
    return found


class Foresight:
    """Looks ahead when a run begins, when a task comes to something else than last time, and when one takes a while."""

    def __init__(
        self, look: Callable[[Mapping[str, TaskResult]], Foreseen], prepare: Callable[[list[Component], bool], None]
    ) -> None:
        """Prepares nothing yet.

        Args:
            look: `foresee`, given the tasks that have ended.
            prepare: is told what will probably run, and whether there is time for all that it may import, or only for
                what it needs to begin.
        """
        self._look, self._prepare = look, prepare
        self._expected: set[str] = set()
        self._in_haste: dict[str, Component] = {}  # prepared only as far as they need to begin, which they did not yet
        self._supposed: dict[str, Outputs] = {}
        self._young: dict[Node, float] = {}  # running tasks that began only just now, and when
        self._is_quick = True

    @property
    def watches(self) -> bool:
        """Whether there is a task that may turn out to take a while."""
        return bool(self._young)

    def look(self) -> None:
        """Looks through a run that is about to begin."""
        self._expect(self._found({}))

    def look_again(self, ended: Mapping[str, TaskResult]) -> None:
        """Looks through the run from these tasks on; what will run now begins in a moment."""
        new = {one.name: one for one in self._found(ended) if one.name not in self._expected}
        self._in_haste |= new
        self._expect(list(new.values()), fully=False)

    def _found(self, ended: Mapping[str, TaskResult]) -> list[Component]:
        began = time.perf_counter()
        found = self._look(ended)
        self._supposed = found.supposed
        self._is_quick = time.perf_counter() - began < WORTH
        return list(found.expected.values())

    def begun(self, node: Node) -> None:
        """A task has begun."""
        self._young[node] = time.monotonic()
        self._in_haste.pop(node.component.name, None)

    def ended(self, node: Node) -> None:
        """A task has ended."""
        self._young.pop(node, None)

    def wants_another_look(self, node: Node) -> bool:
        """Whether a task that has succeeded came to something else than was supposed: then others may have to run.

        Where it was not known what it would come to, all that follows it is expected anyway.
        """
        supposed = self._supposed.get(node.path)
        return (
            supposed is not None
            and self._is_quick
            and _content(*supposed) != _content(node.outputs, node.output_artifacts)
        )

    def after_a_while(self) -> None:
        """Once a task has run for a while, what follows it may have to run as well, and its worker should be ready.

        Not sooner: after a short one it often turns out that nothing has changed, and a worker that is importing what
        nobody needs cannot start what somebody does.
        """
        for node, began in list(self._young.items()):
            if time.monotonic() - began > A_WHILE:
                del self._young[node]
                follow = [one.component for one in node.dependents if one.leaf]
                hasty, self._in_haste = list(self._in_haste.values()), {}
                self._expect(hasty + [one for one in follow if one.name not in self._expected])

    def _expect(self, components: list[Component], *, fully: bool = True) -> None:
        self._expected.update(one.name for one in components)
        self._prepare(components, fully)


def _content(outputs: Mapping[str, Any], artifacts: Artifacts) -> tuple[Any, ...]:
    return dict(outputs), {name: [(one.digest, one.metadata) for one in many] for name, many in artifacts.items()}


def _leaves(graph: Graph, component: Component) -> list[Component]:
    """The container components inside a component."""
    if component.dag is None:
        return [component] if component.executor and component.executor.kind == "container" else []
    return [leaf for task in component.dag.tasks.values() for leaf in _leaves(graph, graph.components[task.component])]
