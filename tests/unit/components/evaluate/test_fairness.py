"""Fairness agrees with fairlearn's own, and says why where it cannot be measured."""

from __future__ import annotations

import fairlearn.metrics as fl
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.fairness_found import fairness_from
from headrace.artifacts.metrics import FAIRNESS
from headrace.components.evaluate import fairness as module
from headrace.components.evaluate.fairness import fairness
from headrace.components.evaluate.scores import Scores

BINARY = [name for name, info in FAIRNESS.items() if "binary" in info.tasks]
OF_CLASSES = [name for name, info in FAIRNESS.items() if info.fits("classification")]
THEIRS = {  # ours -> the function of scikit-learn or fairlearn whose spread fairlearn takes
    "demographic_parity": fl.selection_rate,
    "equal_opportunity": fl.true_positive_rate,
    "false_positive_rate": fl.false_positive_rate,
    "false_negative_rate": fl.false_negative_rate,
    "predictive_parity": sk.precision_score,
    "accuracy": sk.accuracy_score,
}


def make(group, truth, score, weights=None, threshold=0.5) -> tuple[Scores, pa.Table]:
    score = np.asarray(score, float)
    outputs = np.column_stack([1 - score, score])
    scores = Scores("classification", np.asarray(truth), outputs, ("0", "1"), 1, threshold, weights)
    return scores, pa.table({"g": group})


def drawn(rng, count, weighted=False):
    group, score = rng.choice(["a", "b", "c"], count), rng.random(count)
    score = np.where(group == "c", score * 0.7, score)
    truth = (rng.random(count) < score).astype(int)
    return group, truth, score, (rng.gamma(2, 0.5, count) if weighted else None)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.3, 0.5, 0.6]))
def test_agrees_with_fairlearn(seed, weighted, threshold):
    group, truth, score, weights = drawn(np.random.default_rng(seed), 400, weighted)
    (found,) = fairness(*make(group, truth, score, weights, threshold), ["g"])
    predicted = (score >= threshold).astype(int)
    assert found.undefined == {} and set(found.metrics) == set(BINARY)
    for name in ("demographic_parity", "equal_opportunity", "equalized_odds"):
        for spread in ("difference", "ratio"):
            theirs = getattr(fl, f"{name}_{spread}")
            expected = theirs(truth, predicted, sensitive_features=group, sample_weight=weights)
            assert found.metrics[f"{name}_{spread}"] == pytest.approx(expected, abs=1e-12), name
    for name, function in THEIRS.items():
        for spread in ("difference", "ratio"):
            theirs = fl.make_derived_metric(metric=function, transform=spread, sample_param_names=["sample_weight"])
            expected = theirs(truth, predicted, sensitive_features=group, sample_weight=weights)
            assert found.metrics[f"{name}_{spread}"] == pytest.approx(expected, abs=1e-12), name
    counts = np.ones(len(truth)) if weights is None else weights
    gaps = [np.average((score - truth)[group == g], weights=counts[group == g]) for g in "abc"]
    assert found.metrics["calibration_difference"] == pytest.approx(max(gaps) - min(gaps))
    for item in found.groups:
        own = group == item.value
        assert item.rows == own.sum() and item.positives == truth[own].sum()
        arguments = truth[own], predicted[own]
        of = {"sample_weight": None if weights is None else weights[own]}
        assert item.selection_rate == pytest.approx(fl.selection_rate(*arguments, **of))
        assert item.tpr == pytest.approx(fl.true_positive_rate(*arguments, **of))
        assert item.fpr == pytest.approx(fl.false_positive_rate(*arguments, **of))
        assert item.metrics["precision"] == pytest.approx(sk.precision_score(*arguments, **of))
        assert item.metrics["auc"] == pytest.approx(sk.roc_auc_score(truth[own], score[own], **of))
        assert item.metrics["observed"] == pytest.approx(np.average(truth[own], weights=of["sample_weight"]))
        assert item.metrics["predicted"] == pytest.approx(np.average(score[own], weights=of["sample_weight"]))
        assert item.intervals["selection_rate"][0] <= item.selection_rate <= item.intervals["selection_rate"][1]


def test_intervals_and_limits_are_around_the_value_and_in_order():
    rng = np.random.default_rng(1)
    group, truth, score, _ = drawn(rng, 2000)
    (found,) = fairness(*make(group, truth, score), ["g"], seed=3)
    assert set(found.intervals) == set(found.metrics) == set(found.limits)
    for name, value in found.metrics.items():
        low, high = found.intervals[name]
        assert low <= value <= high and low >= 0, name
        assert name.endswith("difference") or high <= 1
        assert found.limit(name, 0.975, upper=True) == high and found.limit(name, 0.975, upper=False) == low
        uppers = [found.limit(name, confidence, upper=True) for confidence in (0.8, 0.9, 0.95, 0.975, 0.99, 0.995)]
        assert uppers == sorted(uppers) and found.limit(name, 0.9999, upper=True) is None
    assert fairness(*make(group, truth, score), ["g"], seed=3)[0] == found
    assert fairness(*make(group, truth, score), ["g"], seed=4)[0].metrics == found.metrics


def test_a_model_that_is_fair_to_each_column_alone_is_caught_where_they_meet():
    """Each gender and each region is selected alike; of the four where they meet, two are never."""
    rng = np.random.default_rng(0)
    gender, region = rng.choice(["f", "m"], 4000), rng.choice(["north", "south"], 4000)
    score = np.where((gender == "f") == (region == "north"), 0.9, 0.1)
    outputs = np.column_stack([1 - score, score])
    scores = Scores("classification", (rng.random(4000) < 0.5).astype(int), outputs, ("0", "1"), 1)
    table = pa.table({"gender": gender, "region": region})
    alone, other, both = fairness(scores, table, ["gender", "region", ("gender", "region")], seed=1)
    assert both.by == "gender × region" and {g.value for g in both.groups} >= {"f × north", "m × south"}
    name = "demographic_parity_difference"
    assert alone.metrics[name] < 0.05 and other.metrics[name] < 0.05 and both.metrics[name] == 1
    assert both.intervals[name] == (1, 1) and alone.intervals[name][0] == 0


def test_small_groups_are_named_and_not_compared():
    group = ["a"] * 50 + ["b"] * 50 + ["tiny"] * 3
    made = make(group, [0, 1] * 50 + [0, 0, 0], [0.2, 0.8] * 50 + [0.9] * 3)
    (found,) = fairness(*made, ["g"])
    assert found.small_groups == ("tiny",) and found.small_rows == 3 and found.least_rows == 20
    assert [item.value for item in found.groups] == ["a", "b"]
    assert found.metrics["demographic_parity_difference"] == 0
    (strict,) = fairness(*made, ["g"], least_rows=51)
    assert set(strict.undefined.values()) == {"fewer than two groups have 51 rows"}
    (loose,) = fairness(*made, ["g"], least_rows=3)
    assert [item.value for item in loose.groups] == ["a", "b", "tiny"]


def test_one_group_is_no_comparison():
    made = make(["a"] * 50 + ["b"] * 5, [0, 1] * 25 + [0] * 5, [0.5] * 55)
    (found,) = fairness(*made, ["g"])
    assert found.metrics == {}
    assert set(found.undefined) == set(OF_CLASSES)
    assert set(found.undefined.values()) == {"fewer than two groups have 20 rows"}


def test_too_many_groups_are_no_comparison(monkeypatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 2)
    (found,) = fairness(*make(["a", "b", "c"] * 30, [0, 1] * 45, [0.5] * 90), ["g"])
    assert found.metrics == {} and set(found.undefined.values()) == {"there are 3 groups: expected at most 2"}


def test_a_rate_that_no_row_of_a_group_can_have_is_undefined():
    (found,) = fairness(*make(["a"] * 30 + ["b"] * 30, [0, 1] * 15 + [0] * 30, [0.9] * 60), ["g"])
    assert found.undefined["equal_opportunity_difference"] == "b has no positive row"
    assert found.undefined["equalized_odds_ratio"] == "b has no positive row"
    assert found.metrics["demographic_parity_difference"] == 0
    assert found.groups[1].tpr is None and found.groups[1].undefined["tpr"] == "it has no positive row"
    (nobody,) = fairness(*make(["a"] * 30 + ["b"] * 30, [0, 1] * 30, [0.9] * 30 + [0.1] * 30), ["g"])
    assert nobody.undefined["predictive_parity_difference"] == "b has no row predicted positive"


def test_a_rate_that_hangs_on_three_rows_has_no_interval():
    truth = [1] * 2 + [0] * 58 + [0, 1] * 30
    (found,) = fairness(*make(["a"] * 60 + ["b"] * 60, truth, [0.2, 0.8] * 60), ["g"])
    assert "equal_opportunity_difference" in found.metrics
    assert "equal_opportunity_difference" not in found.intervals
    assert found.limit("equal_opportunity_difference", 0.9, upper=True) is None


def test_a_ratio_of_zeros_is_undefined():
    (found,) = fairness(*make(["a"] * 30 + ["b"] * 30, [0, 1] * 30, [0.1] * 60), ["g"])
    assert found.undefined["demographic_parity_ratio"] == "the rate is zero in each group"
    assert found.metrics["demographic_parity_difference"] == 0


def test_several_classes_are_compared_by_what_they_have():
    rng = np.random.default_rng(0)
    outputs = rng.dirichlet([1, 1, 1], 300)
    truth = rng.integers(0, 3, 300)
    group = rng.choice(["a", "b"], 300)
    scores = Scores("classification", truth, outputs, ("x", "y", "z"))
    (found,) = fairness(scores, pa.table({"g": group}), ["g"])
    right = truth == outputs.argmax(1)
    expected = abs(right[group == "a"].mean() - right[group == "b"].mean())
    assert found.metrics["accuracy_difference"] == pytest.approx(expected)
    assert found.undefined["demographic_parity_difference"] == "it is measured where there are two classes"
    assert found.groups[0].selection_rate is None and "accuracy" in found.groups[0].metrics


def test_regressions_are_compared_by_their_errors():
    rng = np.random.default_rng(0)
    truth, group = rng.normal(size=400), rng.choice(["a", "b"], 400)
    predicted = truth + rng.normal(size=400) * np.where(group == "a", 1, 2) + (group == "b")
    scores = Scores("regression", truth, predicted[:, None])
    (found,) = fairness(scores, pa.table({"g": group}), ["g"])
    errors = {g: (predicted - truth)[group == g] for g in "ab"}
    mae = {g: abs(values).mean() for g, values in errors.items()}
    assert found.metrics["mae_difference"] == pytest.approx(mae["b"] - mae["a"])
    assert found.metrics["mae_ratio"] == pytest.approx(mae["a"] / mae["b"])
    assert found.metrics["bias_difference"] == pytest.approx(errors["b"].mean() - errors["a"].mean())
    assert found.undefined == {} and found.intervals["mae_difference"][0] > 0


def test_a_model_that_answers_nan_is_not_compared():
    (found,) = fairness(*make(["a", "b"] * 30, [0, 1] * 30, [float("nan")] * 60), ["g"])
    assert found.metrics == {} and "not a finite number in 60 rows" in found.undefined["equalized_odds_ratio"]


def test_a_column_that_is_not_there():
    with pytest.raises(HeadraceError, match="no such column"):
        fairness(*make(["a", "b"] * 30, [0, 1] * 30, [0.5] * 60), [("g", "region")])


def test_what_is_found_reads_back_as_it_was_written():
    from dataclasses import asdict

    group, truth, score, _ = drawn(np.random.default_rng(2), 300)
    (found,) = fairness(*make(group, truth, score), ["g"])
    assert fairness_from(asdict(found)) == found
    old = {"by": "g", "groups": [{"value": "a", "rows": 50, "selection_rate": 0.4, "tpr": None, "fpr": 0.1}]}
    read = fairness_from({**old, "metrics": {}, "undefined": {}, "small_groups": ["x"]})
    assert read.intervals == {} and read.least_rows == 20 and read.groups[0].metrics == {}
