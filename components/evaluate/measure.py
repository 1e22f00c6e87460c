"""The metrics of scores, as scikit-learn defines them. What is undefined is left out, with the reason."""

from __future__ import annotations

import numpy as np

from headrace.artifacts.measured import ClassMetrics
from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate import ranking
from headrace.components.evaluate.formulas import FORMULAS, of_each_class, reason, value_of
from headrace.components.evaluate.ranking import against_rest, pair_areas
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.totals import BINS, Totals, bins, calibrated, normalized, totals

__all__ = ["calibration", "confusion", "measure", "measure_one", "normalized", "of_classes", "of_totals"]

Measured = tuple[dict[str, float], dict[str, str]]  # values, and reasons of what is undefined


def measure(scores: Scores) -> Measured:
    """Computes every metric of the task, with the rows' weights where they have some.

    Returns:
        metric -> value, all finite; and metric -> reason for those that these rows do not define.
    """
    flaw = scores.flaw()
    if flaw:
        return {}, dict.fromkeys(_names(scores.kind), flaw)
    return of_totals(totals(scores, scores.counts()[None, :]), scores.kind, scores.classes, scores.positive)


def of_totals(found: Totals, kind: str, classes: tuple[str, ...] = (), positive: int | None = None) -> Measured:
    """The same from the totals of rows, which may have been added up over batches."""
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    for name in _names(kind):
        why = reason(name, kind, found, classes, positive)
        value = np.nan if why else float(value_of(name, kind, found, positive)[0])
        if np.isfinite(value):
            values[name] = value
        else:
            undefined[name] = why or f"it comes out as {value}"
    return values, undefined


def measure_one(scores: Scores, name: str) -> float | None:
    """Computes one metric of the task; None where these rows do not define it."""
    if scores.flaw():
        return None
    if name == "auc" and scores.kind == "binary":  # which importance asks for again and again
        found = ranking.levels(scores.score, scores.actual, scores.counts()[None, :])
        value = float(ranking.area(found.positive, found.negative)[0])
        return value if np.isfinite(value) else None
    return measure(scores)[0].get(name)


def _names(kind: str) -> list[str]:
    return [name for name in METRICS if name in FORMULAS[kind]]


def of_classes(scores: Scores) -> tuple[ClassMetrics, ...]:
    """Each class against all others; nothing for a regression, and nothing where nothing can be measured."""
    if scores.kind == "regression" or scores.flaw():
        return ()
    weights = scores.counts()
    found = totals(scores, weights[None, :])
    each = {name: values[0] for name, values in of_each_class(found).items()}
    each["auc"] = against_rest(pair_areas(scores, weights), found["actual"][0])
    counted = np.bincount(scores.truth, minlength=len(scores.classes))
    chosen = np.bincount(scores.predicted, minlength=len(scores.classes))
    return tuple(
        ClassMetrics(
            name,
            int(counted[code]),
            int(chosen[code]),
            {metric: float(values[code]) for metric, values in each.items() if np.isfinite(values[code])},
        )
        for code, name in enumerate(scores.classes)
    )


def confusion(scores: Scores) -> tuple[tuple[int, ...], ...]:
    """Rows [actual][predicted], in the order of the classes, unweighted; nothing for a regression."""
    if scores.task == "regression" or scores.flaw():
        return ()
    size = len(scores.classes)
    counts = np.bincount(scores.truth * size + scores.predicted, minlength=size * size)
    return tuple(tuple(int(count) for count in row) for row in counts.reshape(size, size))


def calibration(scores: Scores) -> list[tuple[float, float, float]]:
    """Per bin of equal width that has rows: (mean predicted, observed share, weight of the rows)."""
    probability, hit = calibrated(scores)
    place: Array = bins(probability)
    weights: Floats = scores.counts()
    rows = np.bincount(place, weights, BINS)
    predicted = np.bincount(place, weights * probability, BINS)
    observed = np.bincount(place, weights * hit, BINS)
    return [(float(predicted[i] / rows[i]), float(observed[i] / rows[i]), float(rows[i])) for i in np.flatnonzero(rows)]
