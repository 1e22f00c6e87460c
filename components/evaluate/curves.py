"""The curves of an evaluation, thinned to what a chart can show."""

from __future__ import annotations

import numpy as np

from headrace.artifacts.evaluation import Curve
from headrace.components.evaluate.bootstrap import LEVEL, resampling
from headrace.components.evaluate.ranking import Levels, levels
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.totals import BINS, bins, calibrated
from headrace.components.evaluate.wilson import effective_rows, wilson

MOST_POINTS = 200
MOST_CLASSES = 18  # of several classes, the most frequent get a ROC curve
RESIDUAL_BINS = 30
_BAND = np.linspace(0, 1, 51)  # where the intervals of a curve are
_BAND_RESAMPLES = 200
_BAND_ROWS = 10_000


def curves(scores: Scores, seed: int) -> tuple[Curve, ...]:
    """What the rows define of it: ROC, precision-recall, gain, lift and calibration, the first two with the 95 %
    intervals of their points; or predicted against actual, and residuals.
    """
    if scores.flaw():
        return ()
    if scores.task == "regression":
        return scatter(scores, seed), _residuals(scores)
    weights = scores.counts()[None, :]
    if scores.positive is None:
        of = [levels(scores.outputs[:, code], scores.truth == code, weights) for code in _frequent(scores)]
        rocs = [roc(found, scores.classes[code]) for found, code in zip(of, _frequent(scores), strict=True)]
        return *rocs, _calibration(scores, None)
    if not _both_classes(scores):
        return ()
    name = scores.classes[scores.positive]
    found = levels(scores.score, scores.actual, weights)
    return *of_levels(found, name), _calibration(scores, name), *bands(scores, seed)


def of_levels(found: Levels, name: str) -> tuple[Curve, ...]:
    """ROC, precision-recall, gain and lift of the positive class `name`, from the weight at each score, R = 1."""
    return roc(found, name), _pr(found, name), *_gain(found, name)


def _taken(found: Levels) -> tuple[Floats, Floats]:
    """Positive and negative weight at each score and above, the highest score first."""
    return np.cumsum(found.positive[0][::-1]), np.cumsum(found.negative[0][::-1])


def roc(found: Levels, name: str) -> Curve:
    """Thinned at the corners alone: what lies on a straight line between its neighbours says nothing."""
    right, wrong = _taken(found)
    # The first threshold is above all scores: no row is positive.
    above = max(1.0, float(found.scores[-1]))
    tpr, fpr, thresholds = np.r_[0, right / right[-1]], np.r_[0, wrong / wrong[-1]], np.r_[above, found.scores[::-1]]
    return Curve("roc", _thin(fpr, tpr, thresholds, kept=_corners(fpr, tpr)), name)


def _corners(x: Floats, y: Floats) -> Array:
    straight = np.diff(x)[:-1] * np.diff(y)[1:] == np.diff(x)[1:] * np.diff(y)[:-1]
    return np.flatnonzero(np.r_[True, ~straight, True])


def _pr(found: Levels, name: str) -> Curve:
    right, wrong = _taken(found)
    rows = right + wrong
    some = rows > 0
    recall, precision, thresholds = right[some] / right[-1], right[some] / rows[some], found.scores[::-1][some]
    return Curve("pr", _thin(recall[::-1], precision[::-1], thresholds[::-1]), name)


def _gain(found: Levels, name: str) -> tuple[Curve, Curve]:
    right, wrong = _taken(found)
    rows = right + wrong
    some = rows > 0
    share, recall = np.r_[0, rows[some] / rows[-1]], np.r_[0, right[some] / right[-1]]
    lift = recall[1:] / share[1:]
    return Curve("gain", _thin(share, recall), name), Curve("lift", _thin(share[1:], lift), name)


def _calibration(scores: Scores, name: str | None) -> Curve:
    """Of several classes, of the likeliest class of each row."""
    probability, hit = calibrated(scores)
    place, weights = bins(probability), scores.counts()
    points = []
    for one in range(BINS):
        inside = place == one
        rows = float(weights[inside].sum())
        if rows:
            share = float(weights[inside] @ hit[inside]) / rows
            tell = effective_rows(scores, inside)
            mean = float(weights[inside] @ probability[inside]) / rows
            points.append((mean, share, rows, *wilson(share * tell, tell, LEVEL)))
    return Curve("calibration", tuple(points), name)


def _both_classes(scores: Scores) -> bool:
    """Whether there are rows that count of the positive class, and of the other."""
    counts, actual = scores.counts(), scores.actual
    return bool(counts[actual].any() and counts[~actual].any())


def bands(scores: Scores, seed: int) -> tuple[Curve, ...]:
    """95 % intervals of the ROC curve at even false positive rates, and of the precision at even recalls.

    They hold at each point by itself, not for the curve as a whole. There are none where a class is so rare that the
    rows that are resampled have none of it.
    """
    rates: list[Floats] = []
    precisions: list[Floats] = []
    shrink, part = 1.0, scores
    for part, weights in resampling(scores, seed, _BAND_RESAMPLES, _BAND_ROWS):
        shrink = float(np.sqrt(len(part) / len(scores)))
        drawn = levels(part.score, part.actual, weights)
        for positive, negative in zip(drawn.positive, drawn.negative, strict=True):
            if positive.any() and negative.any():
                rate, precision = _at(positive, negative)
                rates.append(rate)
                precisions.append(precision)
    if not rates:
        return ()
    name = scores.classes[scores.positive or 0]
    middle, around = (_at(*_both(rows)) for rows in (scores, part))
    found = []
    for kind, drawn_values, whole, near in zip(
        ("roc_band", "pr_band"), (rates, precisions), middle, around, strict=True
    ):
        low, high = np.quantile(np.array(drawn_values), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        ends = (np.clip(whole + (edge - near) * shrink, 0, 1) for edge in (low, high))
        found.append(Curve(kind, _points(_BAND, *ends), name))
    return tuple(found)


def _both(scores: Scores) -> tuple[Floats, Floats]:
    found = levels(scores.score, scores.actual, scores.counts()[None, :])
    return found.positive[0], found.negative[0]


def _at(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """True positive rate at even false positive rates, and precision at even recalls."""
    right, wrong = np.cumsum(positive[::-1]), np.cumsum(negative[::-1])
    rate = np.interp(_BAND, np.r_[0, wrong / wrong[-1]], np.r_[0, right / right[-1]])
    place = np.minimum(np.searchsorted(right / right[-1], _BAND - 1e-12, side="left"), len(right) - 1)
    precision = np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)
    return rate, precision[place]


def scatter(scores: Scores, seed: int) -> Curve:
    """Predicted against actual, of some rows."""
    count = min(len(scores), MOST_POINTS)
    rows = np.random.default_rng(seed).choice(len(scores), count, replace=False)
    return Curve("scatter", _points(scores.predicted[rows], scores.truth[rows]))


def _residuals(scores: Scores) -> Curve:
    counts, edges = np.histogram(scores.predicted - scores.truth, bins=RESIDUAL_BINS, weights=scores.weights)
    return Curve("residuals", _points(edges[:-1], edges[1:], counts))


def _frequent(scores: Scores) -> list[int]:
    counts = np.bincount(scores.truth, scores.weights, len(scores.classes))
    order = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    return sorted(int(code) for code in order if 0 < counts[code] < counts.sum())


def _thin(*columns: Floats, kept: Array | None = None) -> tuple[tuple[float, ...], ...]:
    chosen = np.arange(len(columns[0])) if kept is None else kept
    length = len(chosen)
    chosen = chosen[np.unique(np.linspace(0, length - 1, min(length, MOST_POINTS)).round().astype(int))]
    return _points(*(column[chosen] for column in columns))


def _points(*columns: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in zip(*columns, strict=True))
