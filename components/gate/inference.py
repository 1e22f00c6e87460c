"""How sure a figure is, of one model or of two on the same rows: what it would be on other rows of the same kind.

A metric of N rows is, but for what vanishes with N, the mean of one number per row, its influence function (Hampel
1974): the area under the ROC curve gives DeLong's placements, a share or a mean loss the row's own deviation. So the
standard error of a metric, or of the *difference* of two models' on the same rows, is that of a mean. Nothing is drawn
at random, and five million rows take seconds. Metrics that have no such function here, as they follow the order of rows
(average precision, quantiles), are resampled: both models on the same drawn rows.

Few rows may carry all of a difference: where two models differ in the decision on three rows of ten thousand, a normal
bound is far too sure. Bounds are therefore Student's, with as many degrees of freedom as rows carry the difference:
(sum d^2)^2 / sum d^4 of the influences d, less one (after Satterthwaite 1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headrace.components.evaluate.formulas import value_of
from headrace.components.evaluate.measure import measure_one
from headrace.components.evaluate.scores import Floats, Scores
from headrace.components.evaluate.totals import totals
from headrace.components.gate.estimates import Estimate, Unsure
from headrace.components.gate.influence import influence
from headrace.components.gate.shares import counted

RESAMPLES, LEAST_RESAMPLES = 1000, 200
GROUPS = 100  # random groups, where resampling would take too long
MANY_ROWS = 100_000
_BUDGET = 20_000_000  # rows times resamples
_CELLS = 4_000_000  # weights that are held at once


def estimate(scores: Scores, metric: str, seed: int = 0) -> Estimate:
    """A metric of one model, with its error.

    Raises:
        Unsure: the rows do not define it, or not how sure it is.
    """
    value = _value(scores, metric)
    share = counted(scores, metric)
    if share is not None:
        count, rows = share
        return Estimate(value, math.sqrt(value * (1 - value) / rows), rows - 1, rows, "exact binomial bound", count)
    own = influence(scores, metric)
    if own is None:
        return _redrawn([scores], metric, value, seed)
    if not np.any(own.values):
        return _flawless(scores, value)
    return _from_influence(own.values, value, own.method)


def paired(ours: Scores, theirs: Scores, metric: str, seed: int = 0) -> Estimate:
    """By how much a metric of `ours` is above that of `theirs`, on the same rows, with its error.

    Where not one row tells the two apart, the difference is zero, and sure.

    Raises:
        Unsure: the rows do not define it for both.
        ValueError: the rows are not the same.
    """
    if len(ours) != len(theirs) or not np.array_equal(ours.truth, theirs.truth):
        raise ValueError("expected scores of the same rows. Received: other ones")
    value = _value(ours, metric) - _value(theirs, metric)
    own, other = influence(ours, metric), influence(theirs, metric)
    if own is not None and other is not None:
        method = "DeLong's paired test" if own.method.startswith("DeLong") else f"paired, {own.method}"
        return _from_influence(own.values - other.values, value, method)
    same_shape = ours.outputs.shape == theirs.outputs.shape
    apart = int((ours.outputs != theirs.outputs).any(axis=1).sum()) if same_shape else len(ours)
    if not apart:
        return Estimate(0.0, 0.0, 1, len(ours), "no row tells them apart")
    return _least_free(_redrawn([ours, theirs], metric, value, seed), apart - 1)


def paired_mean(ours: Floats, theirs: Floats, weights: Floats | None = None) -> Estimate:
    """By how much the mean of one value per row is above that of another on the same rows: Student's paired test."""
    apart = ours - theirs
    value = float(np.average(apart, weights=weights))
    scale = 1.0 if weights is None else weights / weights.mean()
    return _from_influence((apart - value) * scale, value, "paired t-test")


def _from_influence(values: Floats, value: float, method: str) -> Estimate:
    rows = len(values)
    squares = values**2
    total = float(squares.sum())
    if not total:
        return Estimate(value, 0.0, 1, rows, "no row tells them apart")
    carriers = total**2 / float((squares**2).sum())
    error = math.sqrt(total / rows / max(rows - 1, 1))
    return Estimate(value, error, max(carriers - 1, 1.0), rows, method)


def _least_free(found: Estimate, freedom: float) -> Estimate:
    return Estimate(found.value, found.error, max(min(found.freedom, freedom), 1), found.rows, found.method)


def _value(scores: Scores, metric: str) -> float:
    value = measure_one(scores, metric)
    if value is None:
        raise Unsure(f"{metric} is not defined on {len(scores):,} rows")
    return value


def _flawless(scores: Scores, value: float) -> Estimate:
    """Where no row deviates: nothing wrong in n rows bounds what is wrong (Hanley and Lippman-Hand 1983).

    n is the rows of the rarest class, all that a ranking or a rate may rest on.
    """
    if value not in (0, 1):
        return Estimate(value, 0.0, 1, len(scores), "no row deviates")
    present = np.bincount(scores.truth, minlength=len(scores.classes))
    rows = int(present[present > 0].min())
    return Estimate(value, 0.0, 1, rows, "exact binomial bound", rows if value > 0.5 else 0)


def _redrawn(models: Sequence[Scores], metric: str, value: float, seed: int) -> Estimate:
    """The error of a metric, or of the first model's less the second's, on rows that are drawn for both alike.

    By the Poisson bootstrap (Hanley and MacGibbon 2006); of very many rows by random groups (Wolter 2007), in one pass.
    """
    rows, how = len(models[0]), "paired " if len(models) > 1 else ""
    rng = np.random.default_rng(seed)
    if rows > MANY_ROWS:
        parts = np.array_split(rng.permutation(rows), GROUPS)
        of_each = [np.array([_value(scores.take(part), metric) for part in parts]) for scores in models]
        draws = _less(of_each) / math.sqrt(GROUPS)
        return Estimate(value, _spread(draws), GROUPS - 1, rows, f"{how}in {GROUPS} random groups")
    resamples = max(LEAST_RESAMPLES, min(RESAMPLES, _BUDGET // max(rows, 1)))
    step = max(1, _CELLS // max(rows, 1))
    found = []
    for start in range(0, resamples, step):
        counts = rng.poisson(1.0, (min(step, resamples - start), rows)).astype(np.float64)
        drawn = [_drawn(scores, metric, counts) for scores in models]
        found.append(_less(drawn))
    draws = np.concatenate(found)
    if not np.isfinite(draws).all():
        raise Unsure(f"{metric} is not defined on some resamples of {rows:,} rows: too few tell")
    return Estimate(value, _spread(draws), resamples - 1, rows, f"{how}bootstrap of {resamples:,} resamples")


def _drawn(scores: Scores, metric: str, counts: Floats) -> Floats:
    return value_of(metric, scores.kind, totals(scores, counts * scores.counts()), scores.positive)


def _less(values: Sequence[Floats]) -> Floats:
    return values[0] if len(values) == 1 else np.asarray(values[0] - values[1])


def _spread(draws: Floats) -> float:
    return float(draws.std(ddof=1))
