"""Curves and the threshold table, beside scikit-learn's on the same rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from headrace.artifacts.evaluation import read_evaluation
from headrace.artifacts.report.charts import MOST_LINES
from headrace.components.evaluate.curves import MOST_CLASSES, curves
from headrace.components.evaluate.evaluate import evaluate
from headrace.components.evaluate.ranking import levels
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.thresholds import shown, threshold_table

from .test_evaluate import logistic_bundle


@pytest.fixture(params=[False, True], ids=["equal", "weighted"])
def scores(request) -> Scores:
    rng = np.random.default_rng(5)
    score = np.round(rng.random(3000), 3)
    truth = (rng.random(3000) < score).astype(int)
    weights = rng.integers(1, 5, 3000).astype(float) if request.param else None
    return Scores("classification", truth, np.column_stack([1 - score, score]), ("0", "1"), 1, 0.4, weights)


def by_kind(scores: Scores):
    return {curve.kind: np.array(curve.points) for curve in curves(scores, 0)}


def test_roc_and_precision_recall_lie_on_scikit_learns(scores):
    drawn = by_kind(scores)
    fpr, tpr, thresholds = sk.roc_curve(
        scores.actual, scores.score, drop_intermediate=False, sample_weight=scores.weights
    )
    place = {threshold: index for index, threshold in enumerate(thresholds)}
    assert len(drawn["roc"]) == 200
    for x, y, threshold in drawn["roc"][1:]:
        assert (x, y) == pytest.approx((fpr[place[threshold]], tpr[place[threshold]]))
    assert tuple(drawn["roc"][0]) == (0, 0, 1) and tuple(drawn["roc"][-1][:2]) == (1, 1)
    precision, recall, thresholds = sk.precision_recall_curve(scores.actual, scores.score, sample_weight=scores.weights)
    place = {threshold: index for index, threshold in enumerate(thresholds)}
    for x, y, threshold in drawn["pr"]:
        assert (x, y) == pytest.approx((recall[place[threshold]], precision[place[threshold]]))


def test_gain_and_lift(scores):
    drawn = by_kind(scores)
    weights, by_hand = scores.counts(), gain_by_hand(scores)
    for share, gain in drawn["gain"][1:-1:20]:
        cut = np.sort(scores.score)[::-1][np.searchsorted(np.cumsum(weights[np.argsort(-scores.score)]), share)]
        assert gain == pytest.approx(np.interp(share, *by_hand)), cut
    for share, lift in drawn["lift"]:
        assert lift == pytest.approx(np.interp(share, *by_hand) / share)
    assert tuple(drawn["gain"][-1]) == (1, 1) and tuple(drawn["lift"][-1]) == (1, 1)


def gain_by_hand(scores: Scores):
    weights, cuts = scores.counts(), np.unique(scores.score)[::-1]
    share = [weights[scores.score >= cut].sum() / weights.sum() for cut in cuts]
    gain = [weights[(scores.score >= cut) & scores.actual].sum() / weights[scores.actual].sum() for cut in cuts]
    return share, gain


def test_the_intervals_of_curves_and_of_calibration_are_around_them(scores):
    drawn = by_kind(scores)
    for mean, share, rows, low, high in drawn["calibration"]:
        inside = np.minimum((scores.score * 10).astype(int), 9) == int(mean * 10)
        assert rows == pytest.approx(scores.counts()[inside].sum())
        assert low < share < high
    roc, band = drawn["roc"], drawn["roc_band"]
    middle = np.interp(band[:, 0], roc[:, 0], roc[:, 1])
    within = (band[:, 1] <= middle + 0.02) & (band[:, 2] >= middle - 0.02)
    assert within[1:].all()  # at 0 the curve is a vertical line
    assert 0.005 < (band[:, 2] - band[:, 1])[5:40].mean() < 0.15


def test_each_threshold_is_as_scikit_learn_counts(scores):
    weights = scores.counts()
    table = threshold_table(levels(scores.score, scores.actual, weights[None, :]), scores.threshold)
    assert [row.threshold for row in table] == sorted(row.threshold for row in table)
    assert [row.threshold for row in table if row.chosen] == [0.4]
    assert len(table) > 19
    for row in table:
        said = scores.score >= row.threshold
        matrix = sk.confusion_matrix(scores.actual, said, labels=[False, True], sample_weight=weights)
        counts = [[row.true_negatives, row.false_positives], [row.false_negatives, row.true_positives]]
        assert counts == pytest.approx(matrix)
        assert row.selected == pytest.approx(weights[said].sum() / weights.sum())
        assert row.recall == pytest.approx(sk.recall_score(scores.actual, said, sample_weight=weights))
        assert row.f1 == pytest.approx(sk.f1_score(scores.actual, said, sample_weight=weights))
        assert row.precision == pytest.approx(sk.precision_score(scores.actual, said, sample_weight=weights))


def test_round_shares_are_selected_however_low_the_scores(scores):
    low = replace(scores, outputs=np.column_stack([1 - scores.score / 100, scores.score / 100]))
    table = threshold_table(levels(low.score, low.actual, low.counts()[None, :]), 0.5)
    selected = [row.selected for row in table]
    for share in (0.02, 0.1, 0.5):
        assert min(abs(one - share) for one in selected) < 0.01
    above = [row for row in table if row.threshold > 0.01]
    assert len(above) == 1 and above[0].chosen and above[0].precision is None and above[0].recall == 0


def test_thresholds_are_shown_with_digits_enough_to_select_the_same_rows():
    score = np.random.default_rng(0).beta(0.3, 6, 3000).astype(np.float32).astype(np.float64)
    weight = np.ones((1, 3000))
    table = threshold_table(levels(score, score > 0.1, weight), 0.0123456789)
    for row in table:
        assert (score >= float(shown(row.threshold))).mean() == pytest.approx(row.selected, abs=1e-12), row.threshold
    assert [shown(row.threshold) for row in table if row.chosen] == ["0.0123456789"]
    assert max(len(shown(row.threshold)) for row in table if not row.chosen) < 12  # no more than that takes
    assert [shown(one) for one in (0.5, 0.05, 0.0, 1.0, None)] == ["0.5000", "0.0500", "0", "1", "–"]


def test_what_tfma_reads_is_a_part_of_the_evaluation(binary, subjects, tmp_path):
    logistic_bundle(tmp_path / "model", subjects["binary"].signature)
    out = tmp_path / "e", tmp_path / "e.html"
    found = evaluate(tmp_path / "model", binary.path, EvaluateSpec(tfma=True, slices=["plan"]), *out)
    assert read_evaluation(tmp_path / "e") == found
    assert sorted(file.name for file in (tmp_path / "e" / "tfma").iterdir()) == [
        "attributions-00000-of-00001.tfrecord",
        "eval_config.json",
        "metrics-00000-of-00001.tfrecord",
        "plots-00000-of-00001.tfrecord",
    ]


@pytest.mark.parametrize("seed", range(4))
def test_a_class_too_rare_for_the_rows_that_are_resampled_has_no_bands(seed):
    """Of 60,000 rows 10,000 are resampled, which often have none of two."""
    rng = np.random.default_rng(seed)
    score, truth = rng.random(60_000), np.zeros(60_000, int)
    truth[rng.choice(60_000, 2, replace=False)] = 1
    drawn = by_kind(Scores("classification", truth, np.column_stack([1 - score, score]), ("0", "1"), 1, 0.4))
    assert {"roc", "pr", "gain", "lift", "calibration"} <= set(drawn)
    assert all(np.isfinite(points).all() for points in drawn.values())


@pytest.mark.parametrize("nothing", [0, 1])
def test_a_class_whose_rows_all_weigh_nothing_has_no_curves(scores, nothing):
    weights = np.where(scores.truth == nothing, 0.0, scores.counts())
    assert curves(replace(scores, weights=weights), 0) == ()


def of_classes(counts: list[int], weights: dict[int, float] | None = None) -> Scores:
    rng = np.random.default_rng(3)
    truth = np.repeat(np.arange(len(counts)), counts)
    outputs = rng.dirichlet(np.ones(len(counts)), len(truth))
    weighted = None if weights is None else np.array([weights.get(int(code), 1.0) for code in truth])
    names = tuple(f"class {code}" for code in range(len(counts)))
    return Scores("classification", truth, outputs, names, None, None, weighted)


def test_each_of_eighteen_classes_has_a_curve_and_no_more_than_can_be_told_apart():
    assert MOST_CLASSES <= MOST_LINES
    drawn = [curve.of for curve in curves(of_classes([20] * 18), 0) if curve.kind == "roc"]
    assert drawn == [f"class {code}" for code in range(18)]


def test_of_more_classes_the_most_frequent_have_one():
    drawn = [curve.of for curve in curves(of_classes([5, 0, *[20] * 18, 7]), 0) if curve.kind == "roc"]
    assert drawn == [f"class {code}" for code in range(2, 20)]
    heavy = of_classes([5, *[20] * 18], {0: 100.0})
    assert "class 0" in [curve.of for curve in curves(heavy, 0) if curve.kind == "roc"]
