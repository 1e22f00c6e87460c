"""The intervals: reproducible, like the ordinary bootstrap's, and of the stated coverage."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.components.evaluate.bootstrap import intervals
from headrace.components.evaluate.measure import measure
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
        found = intervals(draw(1000 + seed, 500), seed, resamples=150)
        for name, value in truth.items():
            hits[name] += found[name][0] <= value <= found[name][1]
    for name, count in hits.items():
        assert 0.89 <= count / 150 <= 0.99, (name, count / 150)


def test_none_where_a_resample_may_not_define_it():
    scores = draw(5, 300)
    rare = Scores("classification", np.r_[1, np.zeros(299, int)], scores.outputs, ("0", "1"), 1)
    found = intervals(rare, seed=0)
    assert "auc" not in found and "recall" not in found
    assert "accuracy" in found


def test_none_for_outputs_that_are_no_numbers():
    scores = draw(6, 50)
    scores.outputs[0] = np.nan
    assert intervals(scores, seed=0) == {}
