from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from headrace.serving.sequential import EXPERTS, Block, Wealth, block, start, update

BLOCKS = ("seen", "recent", "waiting")


def wealth_after(margin: float, above: bool, *blocks: tuple[float, float, float, float]) -> Wealth:
    wealth = start(margin, above)
    for one in blocks:
        wealth = update(wealth, block(*one))
    return wealth


def outcomes(wealth: Wealth, units: tuple[int, int]) -> np.ndarray:
    """The wealth after one more block, for each pair of sums that it can bring."""
    sums = np.asarray(list(itertools.product(range(units[0] + 1), range(units[1] + 1))), float)
    shape = (len(sums),)
    many = {name: Block(*(np.broadcast_to(part, shape) for part in parts(getattr(wealth, name)))) for name in BLOCKS}
    logs = np.broadcast_to(wealth.logs[:, None], (EXPERTS, *shape))
    spread = replace(wealth, margin=np.broadcast_to(wealth.margin, shape), logs=logs, **many)
    after = update(spread, block(sums[:, 0], np.full(shape, units[0]), sums[:, 1], np.full(shape, units[1])))
    return np.exp(after.log())


def parts(one: Block) -> tuple[np.ndarray, ...]:
    return one.candidate_sum, one.candidate_units, one.baseline_sum, one.baseline_units


def expected(found: np.ndarray, units: tuple[int, int], means: tuple[float, float]) -> float:
    """The mean of what a block can bring: exact, for such small ones."""
    chances = [
        [math.comb(count, total) * mean**total * (1 - mean) ** (count - total) for total in range(count + 1)]
        for count, mean in zip(units, means, strict=True)
    ]
    return float(np.outer(*chances).ravel() @ found)


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.05, 0.3])
@pytest.mark.parametrize("past", [(), ((3, 5, 1, 9),), ((9, 10, 1, 40), (0, 6, 30, 30))])
def test_where_the_null_hypothesis_is_true_no_block_makes_richer(
    margin: float, above: bool, past: tuple[tuple[float, float, float, float], ...]
) -> None:
    wealth = wealth_after(margin, above, *past)
    before, found = math.exp(float(wealth.log())), outcomes(wealth, (3, 7))
    for baseline, candidate in itertools.product(np.linspace(0.01, 0.99, 50), repeat=2):
        if candidate - baseline <= margin if above else candidate - baseline >= margin:
            assert expected(found, (3, 7), (candidate, baseline)) <= before * (1 + 1e-6)


def test_where_it_is_false_wealth_grows() -> None:
    wealth = wealth_after(0.05, True, (20, 50, 5, 50))
    assert expected(outcomes(wealth, (5, 5)), (5, 5), (0.4, 0.1)) > 1.1 * math.exp(float(wealth.log()))


def test_values_between_0_and_1_are_worth_no_more_than_their_mean() -> None:
    wealth = wealth_after(0.0, True, (20, 50, 5, 50))
    certain = math.exp(float(update(wealth, block(0.3, 1, 0.3, 1)).log()))
    assert certain <= expected(outcomes(wealth, (1, 1)), (1, 1), (0.3, 0.3)) + 1e-12


def test_it_begins_with_1_and_keeps_it_while_the_estimate_is_in_the_null_hypothesis() -> None:
    wealth = start(0.1, True)
    assert (float(wealth.log()), wealth.logs.shape) == (0.0, (EXPERTS,))
    assert float(update(wealth, block(1, 100, 1, 100)).log()) == 0.0


def test_a_block_without_one_of_the_groups_waits_and_is_not_lost() -> None:
    waiting = wealth_after(0.01, True, (5, 10, 1, 100), (0, 0, 2, 50))
    assert float(waiting.log()) == float(wealth_after(0.01, True, (5, 10, 1, 100)).log())
    together = wealth_after(0.01, True, (5, 10, 1, 100), (4, 8, 3, 70))
    assert float(update(waiting, block(4, 8, 1, 20)).log()) == pytest.approx(float(together.log()))


def test_many_at_once_are_what_each_would_be_alone() -> None:
    margins, rng = np.asarray([0.0, 0.02, -0.1]), np.random.default_rng(1)
    together, alone = start(margins, True), [start(margin, True) for margin in margins]
    for _ in range(5):
        sums = rng.integers(0, 20), 20, rng.integers(0, 50), 50
        together = update(together, block(*sums))
        alone = [update(one, block(*sums)) for one in alone]
    assert together.log() == pytest.approx([float(one.log()) for one in alone])


@pytest.mark.parametrize("wrong", [(-1, 5, 0, 5), (6, 5, 0, 5), (0, 5, math.nan, 5), (0, math.inf, 0, 5)])
def test_what_cannot_be_counted_is_refused(wrong: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="expected sums between 0 and their counts"):
        block(*wrong)


@pytest.mark.parametrize("margin", [1, -1, 3, math.nan])
def test_a_margin_that_no_difference_can_have_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="expected margins between -1 and 1"):
        start(margin, True)


@pytest.mark.parametrize(("above", "means"), [(True, (0.03, 0.02)), (False, (0.03, 0.02))])
def test_it_is_wrong_as_seldom_as_it_says_however_often_one_looks(above: bool, means: tuple[float, float]) -> None:
    """At the margin itself, 150 looks each: the share of rollouts in which 1/0.1 is ever reached is at most 0.1."""
    rng, many = np.random.default_rng(5), 400
    wealth, ever = start(0.01, above, (many,)), np.zeros(many, bool)
    for look in range(150):
        share = (0.05, 0.25, 0.5)[look // 50]
        candidate = rng.binomial(100, share, many)
        sums = rng.binomial(candidate, means[0]), candidate, rng.binomial(100 - candidate, means[1]), 100 - candidate
        wealth = update(wealth, block(*sums))
        ever |= wealth.log() >= math.log(10)
    assert ever.mean() <= 0.1


def test_the_first_block_only_teaches_however_large() -> None:
    assert float(wealth_after(0.05, False, (1600, 10_000, 16_000, 90_000)).log()) == 0.0
    assert float(wealth_after(0.05, False, (1600, 10_000, 16_000, 90_000), (160, 1000, 160, 1000)).log()) > 3
