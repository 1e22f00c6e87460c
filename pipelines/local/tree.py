"""The run as a state machine: which task may run next, with which inputs, and what becomes of the rest.

Knows nothing of processes, files or caches. A leaf that is ready is handed to `on_leaf`; whoever runs it
calls `finish`. DAGs, loops and conditions are opened and closed here. Work is queued, never recursive, so
that a chain of thousands of tasks is as good as three.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import inputs as inputs_
from headrace.pipelines.local.ir.graph import Component, Dag, Graph, Task
from headrace.pipelines.local.record.results import (
    CANCELLED,
    FAILED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    ArtifactRecord,
    TaskError,
)

UNKNOWN = "UNKNOWN"  # only when a run is foreseen: it depends on a task that would have to run
FINAL = (SUCCEEDED, FAILED, SKIPPED, CANCELLED, UNKNOWN)

Artifacts = dict[str, tuple[ArtifactRecord, ...]]


class Node:
    """One task in one place of one run."""

    def __init__(self, task: Task, component: Component, scope: Scope, path: str) -> None:
        self.task, self.component, self.scope, self.path = task, component, scope, path
        self.state = PENDING
        self.reason = ""
        self.error: TaskError | None = None
        self.waiting = len(task.upstream)
        self.dependents: list[Node] = []
        self.parameters: dict[str, Any] = {}
        self.artifacts: Artifacts = {}
        self.outputs: dict[str, Any] = {}
        self.output_artifacts: Artifacts = {}
        self.scopes: list[Scope] = []
        self.items: collections.deque[Any] = collections.deque()  # of a loop, not yet begun
        self.open = 0  # scopes under way
        self.position = 0  # in the record; 0 before it is there
        self.begun = time.time()
        self.details: Any = None  # of whoever runs it

    @property
    def leaf(self) -> bool:
        return self.component.dag is None


class Scope:
    """One opened DAG: the root, a group's, a nested pipeline's, or one iteration's."""

    def __init__(
        self, dag: Dag, owner: Node | None, prefix: str, parameters: Mapping[str, Any], artifacts: Artifacts
    ) -> None:
        self.dag, self.owner, self.prefix = dag, owner, prefix
        self.parameters, self.artifacts = parameters, artifacts
        self.nodes: dict[str, Node] = {}
        self.remaining = len(dag.tasks)


class Tree:
    """All tasks of a run, and the rules by which they follow each other."""

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Any],
        constants: Mapping[str, str],
        on_leaf: Callable[[Node], None],
        on_final: Callable[[Node], None],
    ) -> None:
        if graph.root.dag is None:
            raise HeadraceError("expected a pipeline of tasks. Received: a single component")
        self.graph, self.constants = graph, constants
        self.on_leaf, self.on_final = on_leaf, on_final
        self.nodes: list[Node] = []
        self._queue: collections.deque[Callable[[], None]] = collections.deque()
        self.root = self._open(graph.root.dag, None, "", dict(parameters), {})

    @property
    def done(self) -> bool:
        return self.root.remaining == 0 and not self._queue

    def work(self) -> None:
        """Does whatever follows from what has happened, until tasks have to run."""
        while self._queue:
            self._queue.popleft()()

    def state(self) -> str:
        """The run's state, once it is done."""
        return _joint_state(self.root)

    def outputs(self) -> dict[str, Any]:
        """The pipeline's own output parameters."""
        return inputs_.dag_outputs(self.root)[0]

    def finish(self, node: Node, state: str, error: TaskError | None = None, reason: str = "") -> None:
        """Notes a task's final state; its outputs must have been set before."""
        if node.state in FINAL:
            return
        node.state, node.error, node.reason = state, error, reason
        self.on_final(node)
        for dependent in node.dependents:
            dependent.waiting -= 1
            if dependent.waiting == 0:
                self._queue.append(lambda n=dependent: self._consider(n))  # type: ignore[misc]
        node.scope.remaining -= 1
        if node.scope.remaining == 0 and node.scope.owner is not None:
            self._queue.append(lambda n=node.scope.owner: self._closed(n))  # type: ignore[misc]

    def unfinished(self) -> Iterator[Node]:
        return (node for node in self.nodes if node.state not in FINAL)

    def _open(
        self, dag: Dag, owner: Node | None, prefix: str, parameters: Mapping[str, Any], artifacts: Artifacts
    ) -> Scope:
        scope = Scope(dag, owner, prefix, parameters, artifacts)
        for name, task in dag.tasks.items():
            component = self.graph.components[task.component]
            scope.nodes[name] = Node(task, component, scope, prefix + name)
        for node in scope.nodes.values():
            for upstream in node.task.upstream:
                scope.nodes[upstream].dependents.append(node)
            if node.waiting == 0:
                self._queue.append(lambda n=node: self._consider(n))  # type: ignore[misc]
        self.nodes += scope.nodes.values()
        if not scope.nodes and owner is not None:
            self._queue.append(lambda: self._closed(owner))
        return scope

    def _consider(self, node: Node) -> None:
        """All upstream tasks are final: run this one, or say why not."""
        if node.state in FINAL:
            return
        try:
            reason = self._reason_against(node)
            if reason is None:
                self._begin(node)
            elif reason == UNKNOWN:
                self.finish(node, UNKNOWN)
            else:
                self._skip(node, reason)
        except HeadraceError as error:
            if node.state in FINAL:
                raise  # the task is over: what failed is writing that down, on a full disk
            self._fail(node, error)

    def _fail(self, node: Node, error: HeadraceError) -> None:
        told = TaskError(type(error).__name__, str(error), user=True, exit_code=error.exit_code)
        self.finish(node, FAILED, told)

    def _reason_against(self, node: Node) -> str | None:
        upstream = [node.scope.nodes[name] for name in sorted(node.task.upstream)]
        if any(other.state == UNKNOWN for other in upstream):
            return UNKNOWN
        for other in upstream:
            if other.state != SUCCEEDED and not node.task.always:
                how = {FAILED: "failed", SKIPPED: "was skipped", CANCELLED: "was cancelled"}[other.state]
                return f"{other.task.display} {how}"
        node.parameters, node.artifacts = inputs_.resolve(node, self.constants)
        condition = node.task.condition
        if condition is not None and not condition.evaluate(node.parameters):
            return f"the condition is false: {condition.short}"
        return None

    def _skip(self, node: Node, reason: str) -> None:
        """Skips a task and, so that each is accounted for, the tasks inside it."""
        dag = node.component.dag
        if dag is not None and node.task.loop is None:
            for name, task in dag.tasks.items():
                inner = Node(
                    task,
                    self.graph.components[task.component],
                    Scope(dag, None, "", {}, {}),
                    f"{node.path}/{name}",
                )
                self.nodes.append(inner)
                self._skip(inner, reason)
        self.finish(node, SKIPPED, reason=reason)

    def _begin(self, node: Node) -> None:
        node.state, node.begun = RUNNING, time.time()
        dag = node.component.dag
        if dag is None:
            if node.component.executor and not node.component.executor.image_is_known:
                node.component = inputs_.with_image(node, self.constants)
            self.on_leaf(node)
        elif node.task.loop is None:
            node.open = 1
            node.scopes.append(self._open(dag, node, f"{node.path}/", node.parameters, node.artifacts))
        else:
            node.items.extend(inputs_.loop_items(node))
            if not node.items:
                self._queue.append(lambda: self._close_group(node))
            limit = node.task.loop.parallelism or len(node.items)
            for _ in range(min(limit, len(node.items))):
                self._next_iteration(node)

    def _next_iteration(self, node: Node) -> None:
        dag, loop = node.component.dag, node.task.loop
        assert dag is not None and loop is not None
        parameters, artifacts = dict(node.parameters), dict(node.artifacts)
        item = node.items.popleft()
        if loop.artifacts:
            artifacts[loop.item] = (item,)
        else:
            parameters.update(inputs_.iteration(node, item))
        node.open += 1
        node.scopes.append(self._open(dag, node, f"{node.path}[{len(node.scopes)}]/", parameters, artifacts))

    def _closed(self, node: Node) -> None:
        """One of a group's scopes has come to its end."""
        node.open -= 1
        if node.items and not any(_joint_state(s) == CANCELLED for s in node.scopes[-1:]):
            self._next_iteration(node)
        elif node.open == 0:
            self._close_group(node)

    def _close_group(self, node: Node) -> None:
        states = [_joint_state(scope) for scope in node.scopes]
        try:
            node.outputs, node.output_artifacts = inputs_.group_outputs(node)
        except HeadraceError as error:
            self._fail(node, error)
            return
        self.finish(node, next((s for s in (CANCELLED, FAILED, UNKNOWN) if s in states), SUCCEEDED))


def _joint_state(scope: Scope) -> str:
    states = {node.state for node in scope.nodes.values()}
    return next((s for s in (CANCELLED, FAILED, UNKNOWN) if s in states), SUCCEEDED)
