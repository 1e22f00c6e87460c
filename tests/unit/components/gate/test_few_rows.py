"""Bounds on few rows: one row that is right by chance makes nobody sure, whatever the metric and however it is found."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from headrace.components.evaluate.scores import Scores
from headrace.components.gate.estimates import Unsure
from headrace.components.gate.inference import estimate, paired
from headrace.components.gate.spec import Gate


def binary(actual, probability, weights=None) -> Scores:
    outputs = np.column_stack([1 - probability, probability])
    return Scores("classification", np.asarray(actual, int), outputs, ("no", "yes"), 1, 0.5, weights)


def perfect(rows: int, positives: int, weights=None) -> Scores:
    actual = np.arange(rows) < positives
    return binary(actual, np.where(actual, 0.9, 0.1), weights)


@pytest.mark.parametrize("metric", ["f1", "balanced_accuracy", "mcc", "auc", "pr_auc", "macro"])
def test_one_positive_row_tells_nothing(metric):
    scores, name, what = perfect(300, 1), metric, "class yes"
    if metric == "macro":
        truth = np.r_[np.zeros(60, int), np.ones(60, int), 2]
        scores, name = Scores("classification", truth, np.eye(3)[truth], ("a", "b", "c")), "macro_recall"
        what = "class c"
    with pytest.raises(Unsure, match=f"{what} has 1 row, expected at least 5 for {name}"):
        estimate(scores, name)


@pytest.mark.parametrize("metric", ["f1", "jaccard", "balanced_accuracy", "auc", "pr_auc", "ks"])
def test_twelve_positive_rows_bound_a_flawless_metric(metric):
    found = estimate(perfect(40, 12), metric)
    assert found.value == pytest.approx(1) and found.rows == 12
    assert found.bound(0.95, upper=False) == pytest.approx(0.05 ** (1 / 12))
    assert found.bound(0.95, upper=True) == 1


@pytest.mark.parametrize("metric", ["mcc", "kappa", "gini", "youden"])
def test_a_flawless_metric_from_minus_one_to_one(metric):
    found = estimate(perfect(40, 12), metric)
    assert found.bound(0.95, upper=False) == pytest.approx(2 * 0.05 ** (1 / 12) - 1)


def test_the_rows_that_are_counted_are_those_of_the_denominator():
    """One row of 300 is predicted positive, rightly; with weights that are all alike, and with one that is nearly all."""
    actual = np.arange(300) < 60
    scores = binary(actual, np.where(np.arange(300) < 1, 0.9, 0.1), np.full(300, 2.0))
    assert estimate(scores, "precision").bound(0.95, upper=False) == pytest.approx(0.05)
    weights = np.where(np.arange(300) < 49, 1e-9, 1.0)
    heavy = perfect(300, 50, weights)
    assert estimate(heavy, "recall").bound(0.95, upper=False) == pytest.approx(0.05)
    with pytest.raises(Unsure, match="class yes has 1 row by weight, expected at least 5 for auc"):
        estimate(heavy, "auc")


def test_a_weighted_share_has_the_bound_of_as_many_rows_of_equal_weight():
    actual = np.arange(200) < 100
    said = np.where(np.arange(200) < 90, 0.9, 0.1)
    plain = estimate(binary(actual, said), "recall").bound(0.95, upper=False)
    assert estimate(binary(actual, said, np.full(200, 3.0)), "recall").bound(0.95, upper=False) == pytest.approx(plain)
    uneven = np.where(np.arange(200) % 2 == 0, 1.0, 9.0)
    assert estimate(binary(actual, said, uneven), "recall").bound(0.95, upper=False) < plain - 0.01


def selects(right: int, wrong: int, rows: int = 400) -> Scores:
    """Half of the rows are positive; so many of each are predicted positive."""
    actual = np.arange(rows) < rows // 2
    said = np.zeros(rows)
    said[:right] = said[rows // 2 : rows // 2 + wrong] = 1
    return binary(actual, np.where(said == 1, 0.9, 0.1))


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_precision_on_few_rows_is_not_better(rows):
    with pytest.raises(Unsure, match=f"what is predicted yes has {rows} row"):
        paired(selects(rows, 0), selects(60, 40), "precision")
    with pytest.raises(Unsure, match=f"what is predicted yes has {rows} row"):
        paired(selects(60, 40), selects(rows, 0), "precision")


def test_being_right_on_all_of_few_rows_is_not_without_error():
    five, many = (paired(selects(rows, 0), selects(60, 40), "precision") for rows in (5, 100))
    assert five.value == many.value == pytest.approx(0.4)
    assert five.freedom <= 4 and five.error > 0.1
    assert not five.bound(0.95, upper=False) > 0.1
    assert many.bound(0.95, upper=False) > 0.25


@pytest.mark.parametrize(("positives", "sure"), [(1, None), (3, None), (4, None), (5, True), (9, True)])
def test_recall_wants_five_rows(positives, sure):
    """All found against none: McNemar's exact test has p = 2^-k."""
    ours = perfect(300, positives)
    theirs = binary(ours.actual, np.full(300, 0.1))
    if sure is None:
        with pytest.raises(Unsure, match=f"class yes has {positives} row"):
            paired(ours, theirs, "recall")
    else:
        found = paired(ours, theirs, "recall")
        assert found.bound(0.95, upper=False) > 0
        assert (found.bound(0.99, upper=False) > 0) is (0.5**positives < 0.01)


def test_a_difference_that_no_row_deviates_from_is_not_sure():
    ours = perfect(300, 60)
    theirs = binary(ours.actual, np.full(300, 0.4))
    with pytest.raises(Unsure, match="auc differs by 0.5, but no row deviates from that"):
        paired(ours, theirs, "auc")


def test_freedom_is_at_most_that_of_the_rarest_class():
    rng = np.random.default_rng(4)
    actual = np.arange(300) < 8
    pair = [binary(actual, 1 / (1 + np.exp(-1.0 * actual - rng.normal(size=300)))) for _ in range(2)]
    for metric in ("auc", "pr_auc", "balanced_accuracy", "f1"):
        assert paired(*pair, metric).freedom <= 7, metric
        assert estimate(pair[0], metric).freedom <= 7, metric


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "median_absolute_error"])
def test_a_regression_without_an_error_is_not_sure(metric):
    truth = np.linspace(1, 9, 50)
    with pytest.raises(Unsure, match=f"{metric} is [01] and no row deviates"):
        estimate(Scores("regression", truth, truth[:, None]), metric)


@pytest.mark.parametrize(("metric", "bound"), [("ks", {"at_least": 0.1}), ("max_error", {"at_most": 3})])
def test_no_confidence_in_the_most_extreme_row(metric, bound):
    assert Gate(metric=metric, **bound).confidence is None
    for given in (bound, {"versus": "champion", "better_by": 0}, {"slice": "region", **bound}):
        with pytest.raises(ValidationError, match=f"expected no `confidence` of {metric}"):
            Gate(metric=metric, confidence=0.95, **given)
