"""How sure a figure is, of one model or of two on the same rows: what it would be on other rows of the same kind.

A metric of N rows is, but for what vanishes with N, the mean of one number per row, its influence function (Hampel
1974): the area under the ROC curve gives DeLong's placements, a share or a mean loss the row's own deviation. So the
standard error of a metric, or of the *difference* of two models' on the same rows, is that of a mean. Nothing is drawn
at random, and five million rows take seconds. Metrics that have no such function here, as they follow the order of rows
(average precision, quantiles), are resampled: both models on the same drawn rows.

Few rows may carry all of a difference: where two models differ in the decision on three rows of ten thousand, a normal
bound is far too sure. Bounds are therefore Student's, with as many degrees of freedom as rows carry the difference:
(sum d^2)^2 / sum d^4 of the influences d, less one (after Satterthwaite 1946), and at most those of the smallest kind
of rows that the metric rests on (the rows of a class, or those that are predicted positive). Where these are fewer than
five, only exact bounds of a share are given, and else none.
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
from headrace.components.gate.influence import influence, one_more, smoothed
from headrace.components.gate.shares import AREAS, DECIDED, SAME_ROWS, counted, ends, enough, hits

RESAMPLES, LEAST_RESAMPLES = 1000, 200
GROUPS = 100  # random groups, where resampling would take too long
MANY_ROWS = 100_000
_BUDGET = 20_000_000  # rows times resamples
_CELLS = 4_000_000  # weights that are held at once
_NOTHING = 1e-7  # of a metric's scale: less is rounding
_EXACT, _ALIKE = "exact binomial bound", "no row tells them apart"


def estimate(scores: Scores, metric: str, seed: int = 0) -> Estimate:
    """A metric of one model, with its error.

    Raises:
        Unsure: the rows do not define it, or not how sure it is.
    """
    value = _value(scores, metric)
    share = counted(scores, metric)
    if share is not None:
        right, of = share
        return Estimate(value, math.sqrt(max(value * (1 - value), 0) / of), of - 1, of, _EXACT, right)
    least = enough(scores, metric)
    if metric in DECIDED:
        if _at_an_end(scores, metric, value):
            return _flawless(scores, metric, value, least)
        along, made = smoothed(scores, metric)
        return _least_free(_from_influence(along, value, "delta method", made, least), least - 1)
    own = influence(scores, metric)
    if own is None:
        found = _redrawn([scores], metric, value, seed)
    else:
        found = _from_influence(_told(scores, own.values, value, least), value, own.method)
    if found.error <= _NOTHING * (_scale(scores, value) or 1):
        return _flawless(scores, metric, value, least)
    if own is not None and metric in AREAS:
        found = _from_influence(own.values, value, own.method, one_more(scores, metric, value))
    return _least_free(found, least - 1)


def paired(ours: Scores, theirs: Scores, metric: str, seed: int = 0) -> Estimate:
    """By how much a metric of `ours` is above that of `theirs`, on the same rows, with its error.

    Where not one row tells the two apart, the difference is zero, and sure.

    Raises:
        Unsure: the rows do not define it for both, or too few tell how sure it is.
        ValueError: the rows are not the same.
    """
    if len(ours) != len(theirs) or not np.array_equal(ours.truth, theirs.truth):
        raise ValueError("expected scores of the same rows. Received: other ones")
    value = _value(ours, metric) - _value(theirs, metric)
    same_shape = ours.outputs.shape == theirs.outputs.shape and ours.threshold == theirs.threshold
    apart = int((ours.outputs != theirs.outputs).any(axis=1).sum()) if same_shape else len(ours)
    if not apart:
        return Estimate(0.0, 0.0, 1, len(ours), _ALIKE)
    least = min(enough(ours, metric), enough(theirs, metric))
    if metric in DECIDED:
        return _least_free(_decided(ours, theirs, metric, value, least), least - 1)
    own, other = influence(ours, metric), influence(theirs, metric)
    if own is not None and other is not None:
        method = "DeLong's paired test" if own.method.startswith("DeLong") else f"paired, {own.method}"
        differ = _told(ours, own.values - other.values, _value(ours, metric), least)
        found = _from_influence(differ, value, method)
    else:
        found = _least_free(_redrawn([ours, theirs], metric, value, seed), apart - 1)
    size = _scale(ours, max(abs(_value(ours, metric)), abs(_value(theirs, metric)))) or 1
    if found.error <= _NOTHING * size and abs(value) > _NOTHING * size:
        raise Unsure(f"{metric} differs by {value:.6g}, but no row deviates from that: its error is not known")
    return _least_free(found, least - 1)


def _decided(ours: Scores, theirs: Scores, metric: str, value: float, least: float) -> Estimate:
    """Of a metric of decisions.

    A share of the same rows has as error that of a difference of zero, as in McNemar's test: rows that all speak for
    one model do deviate. Where each model has rows of its own, as precision has, or where there are several shares,
    neither is without error for being right on all of few rows (`smoothed`).
    """
    if np.array_equal(ours.predicted, theirs.predicted):
        return Estimate(0.0, 0.0, 1, len(ours), _ALIKE)
    method = "paired, delta method"
    if metric in SAME_ROWS:
        of, own = hits(ours, metric)
        weights = ours.counts() * of
        apart = own.astype(np.float64) - hits(theirs, metric)[1]
        return _from_influence(apart * weights * len(ours) / weights.sum(), value, method)
    own_rows, own_made = smoothed(ours, metric)
    rows, made = smoothed(theirs, metric)
    return _from_influence(own_rows - rows, value, method, np.r_[own_made, made], least)


def paired_mean(ours: Floats, theirs: Floats, weights: Floats | None = None) -> Estimate:
    """By how much the mean of one value per row is above that of another on the same rows: Student's paired test."""
    apart = ours - theirs
    value = float(np.average(apart, weights=weights))
    scale = 1.0 if weights is None else weights / weights.mean()
    return _from_influence((apart - value) * scale, value, "paired t-test")


def _from_influence(
    values: Floats, value: float, method: str, made: Floats | None = None, least: float = math.inf
) -> Estimate:
    """From the rows' influences, and those of rows that are made up.

    These, two in each of the kinds that the metric rests on, add to the error, but carry nothing: neither do they make
    the smallest kind, of `least` rows, larger.
    """
    rows = len(values)
    squares = values**2
    total = float(squares.sum())
    more = 0.0 if made is None else float((made**2).sum())
    if not total + more:
        return Estimate(value, 0.0, 1, rows, _ALIKE)
    carriers = total**2 / float((squares**2).sum()) if total else 1.0
    error = math.sqrt((total + more) * (1 + 2 / least) / rows / max(rows - 1, 1))
    return Estimate(value, error, max(carriers - 1, 1.0), rows, method)


def _told(scores: Scores, values: Floats, value: float, least: float) -> Floats:
    """The influences without what is only the rounding of a numerical gradient."""
    size = (_scale(scores, value) or float(np.abs(values).max())) * len(scores) / least
    return np.where(np.abs(values) < _NOTHING * size, 0.0, values)


def _scale(scores: Scores, value: float) -> float:
    """How large a metric's influences are, to order of magnitude: of regression in the metric's own unit."""
    return abs(value) if scores.task == "regression" else max(1.0, abs(value))


def _least_free(found: Estimate, freedom: float) -> Estimate:
    return Estimate(found.value, found.error, max(min(found.freedom, freedom), 1), found.rows, found.method)


def _value(scores: Scores, metric: str) -> float:
    value = measure_one(scores, metric)
    if value is None:
        raise Unsure(f"{metric} is not defined on {len(scores):,} rows")
    return value


def _at_an_end(scores: Scores, metric: str, value: float) -> bool:
    found = ends(scores, metric)
    return found is not None and min(abs(value - end) for end in found) < 1e-9


def _flawless(scores: Scores, metric: str, value: float, least: float) -> Estimate:
    """Where no row deviates: nothing wrong in n rows bounds what is wrong (Hanley and Lippman-Hand 1983).

    n is the rows of the smallest kind that the metric rests on, by weight.

    Raises:
        Unsure: the metric says how far rows are off, which those that are not off do not tell; or it is at no end.
    """
    found = ends(scores, metric)
    if found is None or not _at_an_end(scores, metric, value):
        raise Unsure(f"{metric} is {value:.6g} and no row deviates from that: its error is not known")
    rows = int(least + 1e-6)
    low, high = found
    return Estimate(value, 0.0, 1, rows, _EXACT, rows if abs(value - high) < abs(value - low) else 0, low)


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
