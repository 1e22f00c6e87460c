"""The intervals: reproducible, like the ordinary bootstrap's, and of the stated coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from headrace.components.evaluate.bootstrap import class_intervals, draws, intervals
from headrace.components.evaluate.influence import area_influences
from headrace.components.evaluate.measure import measure, of_classes
from headrace.components.evaluate.scores import Scores


def draw(seed: int, count: int = 1500, kind: str = "binary") -> Scores:
    rng = np.random.default_rng(seed)
    if kind == "regression":
        truth = rng.normal(size=count)
        return Scores("regression", truth, (truth + rng.normal(size=count)).reshape(-1, 1))
    if kind == "multiclass":
        outputs = rng.dirichlet([1, 1, 1], count)
        return Scores("classification", np.array([rng.choice(3, p=p) for p in outputs]), outputs, ("a", "b", "c"))
    score = np.round(rng.random(count), 2)  # with ties
    truth = (rng.random(count) < score).astype(int)
    return Scores("classification", truth, np.column_stack([1 - score, score]), ("0", "1"), 1)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_around_the_value_and_reproducible(kind):
    scores = draw(1, kind=kind)
    found, (values, _) = intervals(scores, seed=3), measure(scores)
    assert found == intervals(scores, seed=3)
    assert found != intervals(scores, seed=4)
    assert len(found) >= 4
    for name, (low, high) in found.items():
        assert low < values[name] < high, name


def test_the_same_as_the_ordinary_bootstraps():
    scores = draw(2, 800)
    rng = np.random.default_rng(0)
    drawn = [measure(scores.take(rng.integers(0, len(scores), len(scores))))[0] for _ in range(150)]
    found = intervals(scores, seed=0, resamples=1000)
    for name in ("auc", "pr_auc", "log_loss", "brier", "accuracy", "f1", "balanced_accuracy"):
        low, high = np.quantile([values[name] for values in drawn], [0.025, 0.975])
        width = high - low
        assert found[name] == pytest.approx((low, high), abs=0.3 * width), name


def test_coverage():
    """About 95 % of the intervals hold the truth: accuracy 0.75 and AUC 5/6, by construction."""
    hits = {"accuracy": 0, "auc": 0}
    truth = {"accuracy": 0.75, "auc": 5 / 6}
    for seed in range(150):
        found = intervals(draw(1000 + seed, 500), 10**7 + seed, resamples=150)
        for name, value in truth.items():
            hits[name] += found[name][0] <= value <= found[name][1]
    for name, count in hits.items():
        assert 0.89 <= count / 150 <= 0.99, (name, count / 150)


def test_none_where_a_resample_may_not_define_it():
    scores = draw(5, 300)
    rare = Scores("classification", np.r_[1, np.zeros(299, int)], scores.outputs, ("0", "1"), 1)
    found = intervals(rare, seed=0)
    assert "auc" not in found and "pr_auc" not in found
    assert found["recall"][1] - found["recall"][0] > 0.7  # of a single row


def test_shares_of_rows_have_wilsons_interval():
    scores = draw(7, 400)
    hits = int((scores.predicted == scores.truth).sum())
    found = binomtest(hits, 400).proportion_ci(0.95, "wilson")
    low, high = found.low, found.high
    assert intervals(scores, seed=0)["accuracy"] == pytest.approx((low, high))


def test_a_perfect_model_on_few_rows_is_not_certain():
    truth = np.r_[np.zeros(20, int), np.ones(20, int)]
    found = intervals(Scores("classification", truth, np.eye(2)[truth], ("0", "1"), 1), seed=0)
    for name in ("auc", "pr_auc", "f1", "recall", "accuracy", "mcc", "balanced_accuracy"):
        low, high = found[name]
        assert low < 0.95 and high >= 1 - 1e-12, name
    assert found["fpr"][0] == 0 and found["fpr"][1] > 0.05


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_of_many_rows_a_part_is_resampled_and_gives_about_the_same(kind):
    scores = draw(8, 6000, kind)
    values, _ = measure(scores)
    whole, part = intervals(scores, seed=1), intervals(scores, seed=1, most_rows=1500)
    assert set(whole) == set(part)
    for name, (low, high) in whole.items():
        if name in ("ece", "median_absolute_error", "mape", "smape"):
            continue  # of these a part says less: they hang on few rows, or are not centred
        width, other = high - low, part[name][1] - part[name][0]
        assert 0.7 < other / width < 1.4, name
        assert abs(sum(part[name]) / 2 - sum(whole[name]) / 2) < 0.4 * width, name
        assert part[name][0] < values[name] < part[name][1], name


def test_two_models_are_resampled_alike():
    """What is paired varies less: the same rows count as often for both."""
    first, other = draw(9, 1000), draw(9, 1000)
    other.outputs[:, 1] = np.clip(other.outputs[:, 1] + np.random.default_rng(0).normal(0, 0.02, 1000), 0, 1)
    other.outputs[:, 0] = 1 - other.outputs[:, 1]
    alike = draws(first, 4)["auc"] - draws(other, 4)["auc"]
    apart = draws(first, 4)["auc"] - draws(other, 5)["auc"]
    assert np.std(alike) < 0.5 * np.std(apart)
    assert (draws(first, 4)["auc"] == draws(draw(9, 1000), 4)["auc"]).all()


def test_weights_that_repeat_rows_widen_the_interval():
    """Three quarters of the weight on a quarter of the rows tell less than equal weights do."""
    scores = draw(10, 2000)
    weights = np.where(np.arange(2000) % 4 == 0, 9.0, 1.0)
    for name in ("auc", "accuracy", "log_loss"):
        low, high = intervals(replace(scores, weights=weights), seed=0)[name]
        plain_low, plain_high = intervals(scores, seed=0)[name]
        assert 1.2 < (high - low) / (plain_high - plain_low) < 1.8, name


def test_influences_are_what_a_little_more_weight_changes():
    scores = draw(11, 60, "multiclass")
    found = area_influences(scores)
    values, _ = measure(scores)
    for name, influence in found.items():
        assert influence.value == pytest.approx(values[name])
        assert influence.of_rows.sum() == pytest.approx(0, abs=1e-9)
        for row in (0, 17, 42):
            weights = np.ones(60)
            weights[row] += 1e-5
            moved = measure(replace(scores, weights=weights))[0][name]
            assert (moved - values[name]) / 1e-5 == pytest.approx(influence.of_rows[row], abs=1e-6)


def test_each_class_has_intervals():
    scores = draw(12, 500, "multiclass")
    for code, (found, around) in enumerate(zip(of_classes(scores), class_intervals(scores, 0), strict=True)):
        assert set(around) == {"precision", "recall", "f1"}
        for name, (low, high) in around.items():
            assert low < found.metrics[name] < high, (code, name)


def test_none_for_outputs_that_are_no_numbers():
    scores = draw(6, 50)
    scores.outputs[0] = np.nan
    assert intervals(scores, seed=0) == {}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_interval_has_about_its_coverage(kind):
    """Of 200 samples of 1,000 rows: about 95 % hold the truth, give or take what chance does to so few."""
    true, hits = measure(draw(10**6, 400_000, kind))[0], {}
    for seed in range(200):
        for name, (low, high) in intervals(draw(seed, 1000, kind), 10**7 + seed, resamples=200).items():
            hits.setdefault(name, []).append(low <= true[name] <= high)
    # The truth of the absolute calibration error is zero here: an edge, of which no interval speaks well. Errors
    # relative to values about zero have no finite mean.
    shares = {name: np.mean(found) for name, found in hits.items() if name not in ("ece", "mape")}
    assert 0.92 <= np.mean(list(shares.values())) <= 0.975, shares
    assert min(shares.values()) >= 0.87, shares


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_class_whose_rows_all_weigh_nothing_is_no_smallest_one(kind):
    scores = draw(1, 300, kind)
    scores = replace(scores, weights=np.where(scores.truth == 1, 0.0, 1.0))
    found, (values, _) = intervals(scores, seed=3), measure(scores)
    low, high = found["accuracy"]
    assert low < values["accuracy"] < high
    assert "auc" not in found
