"""Random pipelines, random outcomes, random order of completion: the tree does what the definition says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.record.results import FAILED, SUCCEEDED, ArtifactRecord
from headrace.pipelines.local.tree import Node, Tree
from tests.unit.pipelines.local.plan_model import Everything, attempts, leaf_outputs, survey
from tests.unit.pipelines.local.plan_strategies import plans
from tests.unit.pipelines.local.plans import Export, Group, Leaf, Loop, Step, to_ir

orders = st.lists(st.integers(0, 20), max_size=30)  # which of the running leaves is over next; then the oldest


class Play:
    """One run of a plan: leaves succeed and fail as the plan has it, in the order that is given."""

    def __init__(self, plan: Group, order: Sequence[int]) -> None:
        self.plan, self.order = plan, list(order)
        self.running: list[Node] = []
        self.over: set[str] = set()
        self.finals: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self.tree = Tree(read_graph(to_ir(plan)), {}, {}, self._on_leaf, self._on_final)

    def to_the_end(self) -> None:
        self.tree.work()
        self._check()
        while self.running:
            pick = self.order.pop(0) if self.order else 0
            self._end_attempt(self.running.pop(pick % len(self.running)))
            if pick < 15 or not self.running:  # else another one is over before the tree looks
                self.tree.work()
                self._check()
        self.tree.work()
        self._check()

    def _on_leaf(self, node: Node) -> None:
        assert node.path not in self.attempts, "a leaf begins once"
        self.attempts[node.path] = 0
        if leaf_at(self.plan, node.path).instant:
            self.running.append(node)
            while node in self.running:
                self._end_attempt(self.running.pop(self.running.index(node)))
        else:
            self.running.append(node)

    def _end_attempt(self, node: Node) -> None:
        leaf, retry = leaf_at(self.plan, node.path), node.task.retry
        needed, well = attempts(leaf, node.path)
        self.attempts[node.path] += 1
        if self.attempts[node.path] < needed + (not well):
            if retry and self.attempts[node.path] <= retry.max_retries:
                self.running.append(node)
                return
            well = False
        self.over.add(node.path)
        if well:
            given = {**node.parameters, **{name: numbers_in(node, name) for name in node.artifacts}}
            made = leaf_outputs(leaf, given)
            thing = ArtifactRecord("thing", "system.Dataset", node.path, "", {"number": made.pop("thing")})
            node.outputs, node.output_artifacts = made, {"thing": (thing,)}
        self.tree.finish(node, SUCCEEDED if well else FAILED)

    def _on_final(self, node: Node) -> None:
        self.finals[node.path] += 1

    def _check(self) -> None:
        """What runs now is just what must: nothing begins too early, and nothing waits without a reason."""
        _, seen = survey(self.plan, self.over)
        expected = {path for path, one in seen.items() if one.leaf and one.state == "RUNNING"}
        assert {node.path for node in self.running} == expected
        assert self.finals == Counter({path: 1 for path, one in seen.items() if one.final})


def numbers_in(node: Node, name: str) -> Any:
    records = [record.metadata["number"] for record in node.artifacts[name]]
    return records if node.component.artifacts[name].is_list else records[0]


def step_at(plan: Group, path: str) -> Step:
    """The step of a plan that a task's path names."""
    first, *rest = re.sub(r"\[\d+\]", "", path).split("/")
    step = next(one for one in plan.steps if one.name == first)
    for name in rest:
        assert isinstance(step.body, Group)
        step = next(one for one in step.body.steps if one.name == name)
    return step


def leaf_at(plan: Group, path: str) -> Leaf:
    body = step_at(plan, path).body
    assert isinstance(body, Leaf)
    return body


def check(plan: Group, order: Sequence[int]) -> None:
    play = Play(plan, order)
    play.to_the_end()
    assert play.tree.done
    state, seen = survey(plan, Everything())
    nodes = {node.path: node for node in play.tree.nodes}
    assert len(nodes) == len(play.tree.nodes), "a path names one task"
    assert {path: node.state for path, node in nodes.items()} == {path: one.state for path, one in seen.items()}
    assert play.tree.state() == state
    for path, one in seen.items():
        node = nodes[path]
        numbers = {name: [r.metadata["number"] for r in records] for name, records in node.output_artifacts.items()}
        assert {**node.outputs, **numbers} == {
            name: [value] if name in numbers and not isinstance(value, list) else value
            for name, value in one.outputs.items()
        }
        if one.leaf:
            ran = one.state in (SUCCEEDED, FAILED) and path in play.over
            assert play.attempts[path] == (attempts(leaf_at(plan, path), path)[0] if ran else 0)


def loop_over(*items: int | str, parallelism: int = 0) -> Group:
    return Group((Step("a", Group((Step("b", Leaf()),)), loop=Loop(items, parallelism=parallelism)),))


@settings(max_examples=150, deadline=None)
@example(loop_over(1, "word"), [])  # nothing of a loop runs when one of its items is wrong
@example(loop_over(1, "word", parallelism=1), [])
@given(plans(), orders)
def test_a_random_pipeline_does_what_its_definition_says(plan, order):
    check(plan, order)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), orders)
def test_many_random_pipelines_do_what_their_definitions_say(plan, order):
    check(plan, order)


def test_a_group_passes_on_what_its_tasks_put_out_whatever_type_it_declares():
    """KFP's compiler declares a list for a group inside a loop, where the list is only made by the loop around it."""
    inner = Group((Step("b", Leaf(base=3)),), (Export("out", "parameters", 0, (("b", "value"),)),))
    ir = to_ir(Group((Step("a", inner), Step("c", Leaf(), after=("a",)))))
    ir["components"]["comp-0"]["outputDefinitions"]["parameters"]["out"]["parameterType"] = "STRUCT"

    def on_leaf(node):
        node.outputs = {"value": 3}
        tree.finish(node, SUCCEEDED)

    tree = Tree(read_graph(ir), {}, {}, on_leaf, lambda node: None)
    tree.work()
    assert tree.done
    assert {node.path: node.state for node in tree.nodes} == {"a": SUCCEEDED, "a/b": SUCCEEDED, "c": SUCCEEDED}
    assert next(node for node in tree.nodes if node.path == "a").outputs == {"out": 3}
