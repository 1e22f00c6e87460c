"""Fairness agrees with fairlearn's own, and says why where it cannot be measured."""

from __future__ import annotations

import fairlearn.metrics as fl
import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.metrics import FAIRNESS
from headrace.components.evaluate.fairness import fairness
from headrace.components.evaluate.scores import Scores


def make(group, truth, score) -> tuple[Scores, pa.Table]:
    score = np.asarray(score, float)
    outputs = np.column_stack([1 - score, score])
    return Scores("classification", np.asarray(truth), outputs, ("0", "1"), 1), pa.table({"g": group})


def test_agrees_with_fairlearn():
    rng = np.random.default_rng(0)
    group, score = rng.choice(["a", "b", "c"], 600), rng.random(600)
    score = np.where(group == "c", score * 0.7, score)
    truth = (rng.random(600) < score).astype(int)
    scores, table = make(group, truth, score)
    (found,) = fairness(scores, table, ["g"])
    predicted = (score >= 0.5).astype(int)
    assert found.undefined == {} and set(found.metrics) == set(FAIRNESS)
    for name in FAIRNESS:
        expected = getattr(fl, name)(truth, predicted, sensitive_features=group)
        assert found.metrics[name] == pytest.approx(expected, abs=1e-12), name
    frame = fl.MetricFrame(
        metrics={
            "selection_rate": fl.selection_rate,
            "tpr": fl.true_positive_rate,
            "fpr": fl.false_positive_rate,
        },
        y_true=truth,
        y_pred=predicted,
        sensitive_features=group,
    )
    for item in found.groups:
        for rate in ("selection_rate", "tpr", "fpr"):
            assert getattr(item, rate) == pytest.approx(frame.by_group[rate][item.value])
        assert item.rows == (group == item.value).sum()


def test_small_groups_are_named_and_not_compared():
    group = ["a"] * 50 + ["b"] * 50 + ["tiny"] * 3
    scores, table = make(group, [0, 1] * 50 + [0, 0, 0], [0.2, 0.8] * 50 + [0.9] * 3)
    (found,) = fairness(scores, table, ["g"])
    assert found.small_groups == ("tiny",)
    assert [item.value for item in found.groups] == ["a", "b"]
    assert found.metrics["demographic_parity_difference"] == 0


def test_one_group_is_no_comparison():
    scores, table = make(["a"] * 50 + ["b"] * 5, [0, 1] * 25 + [0] * 5, [0.5] * 55)
    (found,) = fairness(scores, table, ["g"])
    assert found.metrics == {}
    assert set(found.undefined.values()) == {"fewer than two groups have 20 rows"}


def test_a_rate_that_no_row_of_a_group_can_have_is_undefined():
    scores, table = make(["a"] * 30 + ["b"] * 30, [0, 1] * 15 + [0] * 30, [0.9] * 60)
    (found,) = fairness(scores, table, ["g"])
    assert found.undefined["equal_opportunity_difference"] == "b has no positive row"
    assert found.undefined["equalized_odds_ratio"] == "b has no positive row"
    assert found.metrics["demographic_parity_difference"] == 0
    assert found.groups[1].tpr is None or found.groups[0].tpr is None


def test_a_ratio_of_zeros_is_undefined():
    scores, table = make(["a"] * 30 + ["b"] * 30, [0, 1] * 30, [0.1] * 60)
    (found,) = fairness(scores, table, ["g"])
    assert found.undefined["demographic_parity_ratio"] == "the rate is zero in each group"
    assert found.metrics["demographic_parity_difference"] == 0


def test_several_classes_and_regressions_have_none():
    table = pa.table({"g": ["a", "b"] * 30})
    three = Scores("classification", np.zeros(60, int), np.tile([1.0, 0, 0], (60, 1)), ("a", "b", "c"))
    numbers = Scores("regression", np.zeros(60), np.zeros((60, 1)))
    for scores in (three, numbers):
        (found,) = fairness(scores, table, ["g"])
        assert set(found.undefined.values()) == {"fairness is measured where there are two classes"}
