"""The threshold that is best on some rows: as scikit-learn's curves have it, between scores, and what the server sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.threshold import choose


def made(seed: int, count: int, digits: int | None = None):
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 3, count)
    score = score if digits is None else score.round(digits)
    actual = rng.random(count) < score
    actual[:2] = True, False
    return np.asarray(score, np.float32).astype(np.float64), actual, rng


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, 1, 2]))
def test_the_best_by_scikit_learns_own_curves(seed, digits):
    score, actual, _ = made(seed, 200, digits)
    precision, recall, _ = sk.precision_recall_curve(actual, score)
    with np.errstate(invalid="ignore"):
        best_f1 = np.nanmax(2 * precision * recall / (precision + recall))
    fpr, tpr, _ = sk.roc_curve(actual, score, drop_intermediate=False)
    for by, best, measured in (
        ("f1", best_f1, lambda chosen: sk.f1_score(actual, chosen)),
        ("youden", (tpr - fpr).max(), lambda chosen: sk.balanced_accuracy_score(actual, chosen) * 2 - 1),
    ):
        found = choose(by, score, actual)
        assert found.reached == pytest.approx(best)
        assert measured(score >= found.at) == pytest.approx(best)
        assert measured(np.float32(score) >= np.float32(found.at)) == pytest.approx(best)
        assert found.at_half == pytest.approx(measured(score >= 0.5))
        assert found.share == pytest.approx((score >= found.at).mean())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([None, 1]))
def test_no_threshold_is_worth_more(seed, weighted, digits):
    score, actual, rng = made(seed, 60, digits)
    acted, left = rng.normal(size=60), rng.normal(size=60)
    weights = rng.gamma(1, 1, 60) if weighted else np.ones(60)
    found = choose("value", score, actual, weights if weighted else None, (acted, left))

    def worth(threshold):
        return np.where(score >= threshold, acted, left) @ weights / weights.sum()

    every = [worth(cut) for cut in [0.0, *score, np.nextafter(score.max(), 2)]]
    assert found.reached == pytest.approx(max(every)) == worth(found.at)
    assert 0 <= found.at <= 1 and found.at_half == pytest.approx(worth(0.5))


def test_it_lies_between_scores_and_is_short():
    score = np.array([0.11, 0.19, 0.62, 0.9])
    assert choose("f1", score, np.array([False, False, True, True])).at == 0.4
    assert choose("f1", np.array([0.2, 0.3]), np.array([False, True])).at == 0.25
    near = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1), dtype=np.float32)], np.float64)
    at = choose("f1", near, np.array([False, True])).at
    assert near[0] < at <= near[1] and np.float32(at) == np.float32(near[1])


def test_acting_on_all_and_on_none_are_thresholds_too():
    score, actual = np.array([0.2, 0.4, 0.6, 0.8]), np.array([True, False, True, False])
    always = choose("value", score, actual, None, (np.ones(4), np.zeros(4)))
    assert always.at == 0 and always.share == 1 and always.reached == 1
    never = choose("value", score, actual, None, (-np.ones(4), np.zeros(4)))
    assert never.at == 0.9 and never.share == 0 and never.reached == 0


def test_where_a_score_is_1_nothing_is_above_it():
    score, actual = np.array([0.5, 1.0]), np.array([False, True])
    found = choose("value", score, actual, None, (-np.ones(2), np.zeros(2)))
    assert found.at <= 1 and found.share == 0.5 and found.reached == -0.5


def test_of_equally_good_ones_the_nearest_to_a_half():
    score = np.array([0.1, 0.3, 0.7, 0.95])
    acted = np.zeros(4)
    assert choose("value", score, np.array([True, False, True, False]), None, (acted, acted)).at == 0.5


@pytest.mark.parametrize("actual, which", [([True, True], "negative"), ([False, False], "positive")])
def test_rows_of_one_class_choose_nothing(actual, which):
    words = f"none of them {which}; make data.split.eval larger, or give a number"
    with pytest.raises(HeadraceError, match=words):
        choose("f1", np.array([0.1, 0.9]), np.array(actual))


def test_it_is_told_in_words_and_in_the_lineage():
    found = choose("f1", np.array([0.11, 0.19, 0.62, 0.9]), np.array([False, False, True, True]))
    assert found.words == "0.4, best by F1 on 4 rows of the eval split (1; at 0.5: 1)"
    assert found.record == {
        "chosen": "f1",
        "at": 0.4,
        "split": "eval",
        "rows": 4,
        "reached": 1.0,
        "at_half": 1.0,
        "share": 0.5,
    }
