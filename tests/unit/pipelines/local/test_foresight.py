"""When a run looks ahead, and how much is then prepared."""

from types import SimpleNamespace

import pytest

from headrace.pipelines.local import foresight
from headrace.pipelines.local.foresight import Foreseen, Foresight


def component(name):
    return SimpleNamespace(name=name)


class Node(SimpleNamespace):
    __hash__ = object.__hash__


def node(name, value=1, dependents=()):
    return Node(
        path=name,
        component=component(name),
        leaf=True,
        outputs={"Output": value},
        output_artifacts={},
        dependents=list(dependents),
    )


class Watched:
    """A foresight whose looks come to what is told, and what it had prepared."""

    def __init__(self, *looks: list[str]) -> None:
        supposed = {"a": ({"Output": 1}, {})}
        self._looks = [Foreseen({name: component(name) for name in names}, supposed) for names in looks]
        self.prepared: list[tuple[str, bool]] = []
        self.of = Foresight(lambda ended: self._looks.pop(0), self._note)

    def _note(self, components, fully):
        self.prepared += [(one.name, fully) for one in components]

    def told(self):
        found, self.prepared = self.prepared, []
        return found


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(foresight, "A_WHILE", -1.0)


def test_only_what_comes_to_something_else_than_supposed_is_worth_another_look():
    watched = Watched(["a"])
    watched.of.look()
    assert watched.told() == [("a", True)]
    assert watched.of.wants_another_look(node("a", value=2))
    assert not watched.of.wants_another_look(node("a", value=1))
    assert not watched.of.wants_another_look(node("unknown", value=2))


def test_a_graph_that_takes_long_to_look_through_is_looked_through_once(monkeypatch):
    monkeypatch.setattr(foresight, "WORTH", 0.0)
    watched = Watched(["a"])
    watched.of.look()
    assert not watched.of.wants_another_look(node("a", value=2))


def test_what_begins_in_a_moment_is_prepared_in_haste_and_fully_once_there_is_time(at_once):
    watched = Watched(["a"], ["a", "b", "c"])
    watched.of.look()
    watched.of.look_again({})
    assert watched.told() == [("a", True), ("b", False), ("c", False)]
    watched.of.begun(node("b", dependents=[node("c"), node("d")]))
    assert watched.of.watches
    watched.of.after_a_while()
    assert watched.told() == [("c", True), ("d", True)]
    assert not watched.of.watches
    watched.of.begun(node("d", dependents=[node("c"), node("d")]))
    watched.of.after_a_while()
    assert watched.told() == []


def test_a_task_that_has_ended_takes_no_while(at_once):
    watched = Watched([])
    one = node("a", dependents=[node("b")])
    watched.of.begun(one)
    watched.of.ended(one)
    watched.of.after_a_while()
    assert watched.told() == []
