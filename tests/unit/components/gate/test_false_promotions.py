"""Of many pairs of models that are equally good, few are promoted; of pairs of which one is better, most are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.scores import Scores
from headrace.components.gate.estimates import Unsure
from headrace.components.gate.inference import estimate, paired, paired_mean
from tests.unit.components.gate.models import several, sigmoid, two, values

PAIRS = 400
MOST = 0.05 + 3 * math.sqrt(0.05 * 0.95 / PAIRS)  # three standard errors above what is stated
CASES = [
    (two, "auc", 1.5, 1.8),
    (two, "log_loss", 1.5, 2.2),
    (two, "recall", 1.5, 1.8),
    (two, "f1", 1.5, 1.8),
    (several, "macro_f1", 1.0, 1.3),
    (values, "rmse", 1.0, 0.9),
    (values, "mae", 1.0, 0.9),
]


def promoted(make, metric: str, own: float, other: float, rows: int) -> float:
    """The share of pairs in which the first is surely better."""
    rng = np.random.default_rng(7)
    higher = METRICS[metric].higher_is_better
    count = 0
    for _ in range(PAIRS):
        ours, theirs = make(rng, rows, own, other)
        found = paired(ours, theirs, metric)
        count += found.bound(0.95, False) > 0 if higher else found.bound(0.95, True) < 0
    return count / PAIRS


@pytest.mark.slow
@pytest.mark.parametrize(("make", "metric", "base", "better"), CASES, ids=[case[1] for case in CASES])
def test_the_rate_of_false_promotions_is_what_is_stated(make, metric, base, better):
    same = promoted(make, metric, base, base, rows=300)
    assert 0.01 <= same <= MOST  # and no far smaller either: that would cost power
    power = promoted(make, metric, better, base, rows=1500)
    assert power > 0.8


@pytest.mark.slow
def test_pairs_of_values_with_rare_large_amounts():
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(PAIRS):
        amounts = rng.lognormal(2, 1.2, 500)
        ours, theirs = ((rng.random(500) < 0.3) * amounts for _ in range(2))
        found += paired_mean(ours, theirs).bound(0.95, False) > 0
    assert found / PAIRS <= MOST


def ranks(rng, positives: int, signal: float) -> tuple[Scores, Scores]:
    """Two models that are equally good and share no noise, of 300 rows with few positive ones."""
    actual = np.arange(300) < positives
    made = []
    for _ in range(2):
        probability = sigmoid(signal * (actual - 0.5) + rng.normal(size=300))
        made.append(
            Scores("classification", actual * 1, np.column_stack([1 - probability, probability]), ("n", "y"), 1)
        )
    return made[0], made[1]


def selects(rng, selected: int, precision: float) -> tuple[Scores, Scores]:
    """Models that select rows at random: the first few, the second 100 of 400."""
    actual = rng.random(400) < precision
    made = []
    for count in (selected, 100):
        probability = np.full(400, 0.1)
        probability[rng.choice(400, count, replace=False)] = 0.9
        made.append(
            Scores("classification", actual * 1, np.column_stack([1 - probability, probability]), ("n", "y"), 1)
        )
    return made[0], made[1]


FEW = [
    *((ranks, metric, signal) for metric in ("auc", "recall", "f1", "balanced_accuracy") for signal in (1.0, 3.0)),
    *((selects, metric, share) for metric in ("precision", "f1") for share in (0.3, 0.5, 0.8)),
]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 10])
@pytest.mark.parametrize(("make", "metric", "level"), FEW, ids=[f"{make.__name__}-{m}-{x}" for make, m, x in FEW])
def test_few_rows_that_tell_do_not_promote(make, metric, level, rows):
    rng = np.random.default_rng(5)
    count = 0
    for _ in range(PAIRS // 2):
        ours, theirs = make(rng, rows, level)
        try:
            count += paired(ours, theirs, metric).bound(0.95, False) > 0
        except Unsure:
            assert rows < 5
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / (PAIRS // 2))
    assert count / (PAIRS // 2) <= (0 if rows < 5 else most)


@pytest.mark.slow
@pytest.mark.parametrize("positives", [1, 2, 3, 5, 10])
def test_bounds_of_an_area_with_few_positive_rows(positives):
    truth = 0.76025  # of two normal distributions that lie 1 apart
    rng = np.random.default_rng(6)
    above = 0
    for _ in range(PAIRS):
        ours, _ = ranks(rng, positives, 1.0)
        try:
            above += estimate(ours, "auc").bound(0.95, False) > truth
        except Unsure:
            assert positives < 5
    assert above / PAIRS <= (0 if positives < 5 else MOST)


def test_a_first_look():
    """The same on few pairs, in the time that a fast suite has."""
    rng = np.random.default_rng(11)
    same = better = 0
    for _ in range(100):
        ours, theirs = two(rng, 300, 1.5, 1.5)
        same += paired(ours, theirs, "auc").bound(0.95, False) > 0
        ours, theirs = two(rng, 1500, 1.9, 1.5)
        better += paired(ours, theirs, "auc").bound(0.95, False) > 0
    assert same <= 11
    assert better >= 90
