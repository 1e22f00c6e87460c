"""Errors and bounds beside those that are known: DeLong's, exact binomial ones, and the bootstrap's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.measure import measure, measure_one
from headrace.components.evaluate.scores import Scores
from headrace.components.gate.estimates import Unsure
from headrace.components.gate.inference import estimate, paired, paired_mean
from headrace.components.gate.influence import influence
from tests.unit.components.gate.models import several, two, values

KINDS = {"binary": two, "multiclass": several, "regression": values}
_ORDERED = {"pr_auc", "ks", "top_decile_lift", "top_decile_recall", "median_absolute_error", "max_error"}
_ORDERED |= {"d2_absolute_error"}


def delong(ours: Scores, theirs: Scores) -> tuple[float, float, float]:
    """(difference, its error, error of ours) by the definition of DeLong et al. 1988, all pairs spelt out."""
    actual = ours.actual
    placed = []
    for scores in (ours, theirs):
        positive, negative = scores.score[actual][:, None], scores.score[~actual][None, :]
        wins = (positive > negative) + 0.5 * (positive == negative)
        placed.append((wins.mean(axis=1), wins.mean(axis=0)))
    areas = [up.mean() for up, _ in placed]
    of_positives = np.cov([placed[0][0], placed[1][0]]) / actual.sum()
    of_negatives = np.cov([placed[0][1], placed[1][1]]) / (~actual).sum()
    cov = of_positives + of_negatives
    spread = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
    return areas[0] - areas[1], float(np.sqrt(spread)), float(np.sqrt(cov[0, 0]))


@pytest.mark.parametrize("digits", [None, 1])  # with ties
def test_the_area_under_the_curve_is_delongs(digits):
    ours, theirs = two(np.random.default_rng(0), 400, 1.5, 1.2)
    if digits is not None:
        ours, theirs = (
            Scores(s.task, s.truth, np.round(s.outputs, digits), s.classes, s.positive) for s in (ours, theirs)
        )
    difference, error, own = delong(ours, theirs)
    found = paired(ours, theirs, "auc")
    assert found.method == "DeLong's paired test"
    assert found.value == pytest.approx(difference, abs=1e-12)
    assert found.error == pytest.approx(error, rel=2e-3)  # n / (n - 1) of all rows
    alone = influence(ours, "auc").values
    assert np.sqrt((alone**2).sum()) / len(alone) == pytest.approx(own, rel=2e-3)
    assert own < estimate(ours, "auc").error < 1.03 * own  # and one more row of each class, ranked anywhere
    assert paired(ours, theirs, "gini").error == pytest.approx(2 * error, rel=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_influences_add_up_to_the_metric(kind):
    """A row's influence is what the metric gains where the row counts a little more: for each metric, row by row."""
    rng = np.random.default_rng(3)
    ours, _ = KINDS[kind](rng, 120, 1.0, 1.0)
    base = np.ones(len(ours))
    with_weights = Scores(
        ours.task, ours.truth, ours.outputs, ours.classes, ours.positive, ours.threshold, weights=base
    )
    checked = 0
    for name in measure(ours)[0]:
        found = influence(with_weights, name)
        if found is None:
            assert name in _ORDERED, name
            continue
        assert abs(found.values.mean()) < 1e-7 * max(1, np.abs(found.values).max())
        for row in range(0, len(ours), 12):
            ends = []
            for step in (1e-4, -1e-4):
                moved = base.copy()
                moved[row] += step
                changed = Scores(
                    ours.task, ours.truth, ours.outputs, ours.classes, ours.positive, ours.threshold, moved
                )
                ends.append(measure_one(changed, name))
            slope = (ends[0] - ends[1]) / 2e-4 * len(ours)
            scale = max(np.abs(found.values).max(), 1e-9)
            assert found.values[row] == pytest.approx(slope, abs=0.03 * scale), (name, row)
        checked += 1
    assert checked > 8


@pytest.mark.parametrize("kind", KINDS)
def test_errors_are_the_bootstraps(kind):
    """Of every metric, paired: the error by influences beside that of whole samples drawn again."""
    rng = np.random.default_rng(5)
    ours, theirs = KINDS[kind](rng, 600, 1.5, 1.2)
    draws = {name: [] for name in measure(ours)[0]}
    for _ in range(300):
        rows = rng.integers(0, len(ours), len(ours))
        one, other = measure(ours.take(rows))[0], measure(theirs.take(rows))[0]
        for name, found in draws.items():
            if name in one and name in other:
                found.append(one[name] - other[name])
    for name, found in draws.items():
        if name in ("max_error", "ece"):  # their bootstrap is biased: the one extreme row, and absolute gaps
            continue
        result = paired(ours, theirs, name)
        assert result.value == pytest.approx(measure_one(ours, name) - measure_one(theirs, name), abs=1e-12)
        assert result.error == pytest.approx(np.std(found), rel=0.25), name


def test_weights_count_rows_as_often():
    rng = np.random.default_rng(6)
    ours, theirs = two(rng, 300, 1.5, 1.2)
    times = rng.integers(1, 4, 300)
    again = np.repeat(np.arange(300), times)
    for name in ("auc", "f1", "log_loss", "recall"):
        weighted = [
            Scores(s.task, s.truth, s.outputs, s.classes, s.positive, s.threshold, times.astype(float))
            for s in (ours, theirs)
        ]
        result = paired(*weighted, name)
        assert result.value == pytest.approx(paired(ours.take(again), theirs.take(again), name).value, abs=1e-9)
        # Rows that count twice are no two rows: the error is larger than that of the rows written out.
        assert result.error > paired(ours.take(again), theirs.take(again), name).error


def test_shares_have_exact_bounds():
    truth = np.array([1] * 20 + [0] * 30)
    outputs = np.zeros((50, 2))
    outputs[np.arange(50), truth] = 1.0
    outputs[0] = [1.0, 0.0]  # one of twenty is missed
    scores = Scores("classification", truth, outputs, ("no", "yes"), 1)
    found = estimate(scores, "recall")
    assert (found.value, found.rows, found.count) == (0.95, 20, 19)
    exact = stats.binomtest(19, 20, alternative="greater").proportion_ci(0.95).low
    assert found.bound(0.95, upper=False) == pytest.approx(exact)
    upper = stats.binomtest(19, 20, alternative="less").proportion_ci(0.95).high
    assert found.bound(0.95, upper=True) == pytest.approx(upper)
    perfect = estimate(scores.take(np.arange(1, 50)), "recall")
    assert perfect.value == 1 and perfect.bound(0.95, upper=False) == pytest.approx(0.05 ** (1 / 19))
    assert perfect.bound(0.95, upper=True) == 1.0


def test_a_flawless_ranking_is_not_sure_beyond_its_rows():
    truth = np.array([1] * 10 + [0] * 90)
    outputs = np.column_stack([1 - truth, truth]) * 0.8 + 0.1
    found = estimate(Scores("classification", truth, outputs, ("no", "yes"), 1), "auc")
    assert found.value == 1 and found.bound(0.95, upper=False) == pytest.approx(0.05 ** (1 / 10))


def test_models_that_no_row_tells_apart_are_surely_equal():
    rng = np.random.default_rng(8)
    ours, _ = two(rng, 200, 1.0, 1.0)
    for name in ("auc", "accuracy", "pr_auc", "log_loss"):
        found = paired(ours, ours, name)
        assert (found.value, found.error, found.bound(0.95, False)) == (0, 0, 0)


@pytest.mark.parametrize(("better", "sure"), [(1, False), (3, False), (4, False), (5, True), (12, True)])
def test_a_few_rows_do_not_make_sure(better, sure):
    """McNemar's exact test has p = 2^-k where all k rows that differ speak for one model: 5 rows are needed at 0.95."""
    truth = np.arange(10_000) % 2
    wrong = np.eye(2)[1 - truth]
    right = np.eye(2)[truth]
    theirs, ours = right.copy(), right.copy()
    theirs[:better] = wrong[:better]
    pair = [Scores("classification", truth, outputs, ("no", "yes"), 1) for outputs in (ours, theirs)]
    found = paired(*pair, "accuracy")
    assert (found.bound(0.95, upper=False) > 0) is sure
    assert (0.5**better < 0.05) is sure


def test_a_mean_is_students_paired_test():
    rng = np.random.default_rng(9)
    ours, theirs = rng.normal(0.2, 1, 500), rng.normal(0, 1, 500)
    found = paired_mean(ours, theirs)
    reference = stats.ttest_rel(ours, theirs)
    assert found.value / found.error == pytest.approx(reference.statistic)


def test_very_many_rows_take_one_pass(monkeypatch):
    monkeypatch.setattr("headrace.components.gate.inference.MANY_ROWS", 5_000)
    ours, theirs = two(np.random.default_rng(10), 20_000, 1.5, 1.4)
    found = paired(ours, theirs, "pr_auc")
    assert found.method == "paired in 100 random groups"
    monkeypatch.setattr("headrace.components.gate.inference.MANY_ROWS", 50_000)
    assert found.error == pytest.approx(paired(ours, theirs, "pr_auc").error, rel=0.25)


def test_what_is_undefined_is_not_sure():
    ours, theirs = two(np.random.default_rng(1), 50, 1, 1)
    negative = np.flatnonzero(~ours.actual)
    with pytest.raises(Unsure, match="recall is not defined on"):
        paired(ours.take(negative), theirs.take(negative), "recall")
    with pytest.raises(Unsure):
        estimate(ours.take(negative), "auc")
    with pytest.raises(ValueError, match="expected scores of the same rows"):
        paired(ours, theirs.take(negative), "auc")


def test_every_metric_can_be_tested():
    rng = np.random.default_rng(2)
    for kind, make in KINDS.items():
        ours, theirs = make(rng, 200, 1.4, 1.3)
        for name in measure(ours)[0]:
            assert kind in METRICS[name].tasks
            assert np.isfinite(paired(ours, theirs, name).bound(0.95, False)), name
            assert np.isfinite(estimate(ours, name).bound(0.95, True)), name
