"""The curves of an evaluation, thinned to what a chart can show."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from headrace.artifacts.evaluation import Curve
from headrace.components.evaluate.measure import calibration
from headrace.components.evaluate.scores import Array, Floats, Scores

MOST_POINTS = 200
MOST_CLASSES = 10  # of several classes, the most frequent get a ROC curve
RESIDUAL_BINS = 30


def curves(scores: Scores, seed: int) -> tuple[Curve, ...]:
    """ROC, precision-recall, calibration; or predicted against actual, residuals. What the rows define."""
    if scores.flaw():
        return ()
    if scores.task == "regression":
        return _scatter(scores, seed), _residuals(scores)
    if scores.positive is None:
        return tuple(_roc(scores, code) for code in _frequent(scores))
    if scores.actual.all() or not scores.actual.any():
        return ()
    positive = scores.classes[scores.positive]
    points = tuple(calibration(scores))
    return _roc(scores, scores.positive), _pr(scores), Curve("calibration", points, positive)


def _roc(scores: Scores, code: int) -> Curve:
    fpr, tpr, thresholds = roc_curve(scores.truth == code, scores.outputs[:, code])
    # The first threshold is infinite, "no row is positive"; any above all scores means the same.
    thresholds[0] = max(1.0, thresholds[1]) if len(thresholds) > 1 else 1.0
    return Curve("roc", _thin(fpr, tpr, thresholds), scores.classes[code])


def _pr(scores: Scores) -> Curve:
    precision, recall, thresholds = precision_recall_curve(scores.actual, scores.score)
    # The last point, (0, 1), has no threshold: it only closes the curve.
    return Curve("pr", _thin(recall[:-1], precision[:-1], thresholds), scores.classes[scores.positive or 0])


def _scatter(scores: Scores, seed: int) -> Curve:
    count = min(len(scores), MOST_POINTS)
    rows = np.random.default_rng(seed).choice(len(scores), count, replace=False)
    return Curve("scatter", _points(scores.predicted[rows], scores.truth[rows]))


def _residuals(scores: Scores) -> Curve:
    counts, edges = np.histogram(scores.predicted - scores.truth, bins=RESIDUAL_BINS)
    return Curve("residuals", _points(edges[:-1], edges[1:], counts))


def _frequent(scores: Scores) -> list[int]:
    counts = np.bincount(scores.truth, minlength=len(scores.classes))
    order = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    return sorted(int(code) for code in order if 0 < counts[code] < len(scores))


def _thin(*columns: Floats) -> tuple[tuple[float, ...], ...]:
    length = len(columns[0])
    kept = np.unique(np.linspace(0, length - 1, min(length, MOST_POINTS)).round().astype(int))
    return _points(*(column[kept] for column in columns))


def _points(*columns: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in zip(*columns, strict=True))
