"""Which task starts next: within the budget, in order, and none is starved."""

from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.local.workers.resources import Amount
from headrace.pipelines.local.workers.scheduling import OVERTAKEN, Line

BUDGET = Amount(4000, 100)


def starts(line):
    """Everything that may start now, in order."""
    found = []
    while one := line.take():
        found.append(one)
    return found


def names(found):
    return [name for name, _ in found]


def test_in_order_of_arrival_and_no_more_than_there_are_slots():
    line = Line(BUDGET, slots=3)
    for name in "abcde":
        line.put(name, Amount(1000, 0))
    first = starts(line)
    assert names(first) == ["a", "b", "c"]
    assert len(line) == 2
    line.release(first[1][1])
    assert names(starts(line)) == ["d"]
    line.clear()
    line.release(Amount(1000, 0))
    assert (line.take(), len(line)) == (None, 0)


def test_within_cores_and_memory():
    line = Line(BUDGET, slots=10)
    line.put("wide", Amount(3000, 0))
    line.put("heavy", Amount(1000, 80))
    line.put("heavy too", Amount(1, 30))
    line.put("light", Amount(1, 0))
    assert names(starts(line)) == ["wide", "heavy"]
    line.release(Amount(3000, 0))
    assert names(starts(line)) == ["light"]  # past `heavy too`, for which there is no memory yet
    line.release(Amount(1000, 80))
    assert names(starts(line)) == ["heavy too"]


def test_a_task_that_takes_everything_runs_alone():
    line = Line(BUDGET, slots=10)
    line.put("a", Amount(1, 0))
    line.put("all", BUDGET)
    line.put("b", Amount(1, 0))
    assert names(starts(line)) == ["a", "b"]
    line.release(Amount(1, 0))
    line.release(Amount(1, 0))
    line.put("c", Amount(1, 0))
    assert names(starts(line)) == ["all"]
    line.release(BUDGET)
    assert names(starts(line)) == ["c"]


def test_a_big_task_is_overtaken_only_so_often():
    line = Line(BUDGET, slots=10)
    small = Amount(1000, 0)
    line.put("first", small)
    assert names(starts(line)) == ["first"]
    line.put("big", BUDGET)
    for number in range(100):
        line.put(number, small)
    order = names(starts(line))
    while line.running > 0 and "big" not in order:
        line.release(small)
        order += names(starts(line))
    assert order == [*range(OVERTAKEN), "big"]
    line.release(BUDGET)
    assert names(starts(line)) == [8, 9, 10, 11]


claims = st.builds(Amount, st.integers(1, 4000), st.integers(0, 100))


@given(st.lists(claims, max_size=40), st.integers(1, 6), st.randoms(use_true_random=False))
def test_whatever_comes_all_start_within_the_budget_and_none_waits_for_ever(waiting, slots, random):
    line = Line(BUDGET, slots)
    for number, claim in enumerate(waiting):
        line.put(number, claim)
    running, order = [], []
    while len(order) < len(waiting):
        found = starts(line)
        running += found
        order += names(found)
        assert len(running) <= slots
        assert sum(c.cpu for _, c in running) <= BUDGET.cpu
        assert sum(c.memory for _, c in running) <= BUDGET.memory
        assert running, "nothing runs, and nothing starts"
        line.release(running.pop(random.randrange(len(running)))[1])
    assert sorted(order) == list(range(len(waiting)))
    for number in range(len(waiting)):
        later = [other for other in order[: order.index(number)] if other > number]
        assert len(later) <= OVERTAKEN * (number + 1)  # so often for each that was first in line up to its turn


@given(st.integers(1, 8), st.integers(0, 30))
def test_without_claims_it_is_a_plain_queue(slots, tasks):
    line = Line(Amount(8000, 0), slots)
    for number in range(tasks):
        line.put(number, Amount(1000, 0))
    assert names(starts(line)) == list(range(min(slots, tasks)))
