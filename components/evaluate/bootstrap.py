"""Intervals for every metric, by the Poisson bootstrap: each row counts Poisson(1) times in each resample.

Poisson counts are cheap to draw, and give the ordinary bootstrap's intervals for all but tiny samples (Hanley
and MacGibbon 2006; Chamandy et al. 2012). Draws are in the order of the rows: with the same seed, two models on
the same rows are resampled alike, so that the difference of their draws is a paired bootstrap.

- Of many rows a random part is resampled, and what comes out is drawn together by the root of its share (Bickel,
  Götze and van Zwet 1997, "Resampling fewer than n observations"): the cost does not grow with the rows.
- Shares of rows, such as precision, have Wilson's interval (1927) instead where all rows count the same: it holds
  for few rows and at 0 and 1, where every resample says the same. For the same reason no other metric's interval is
  narrower, at its best value, than that of a share of the rows of its smallest class.
- The calibration error and KS are too high on average in any sample, and more so in a resample: they are shifted by
  what the resampling itself adds.
- ROC AUC of several classes is resampled by each row's influence on it (DeLong et al. 1988), to first order.
- The largest error has none: no resample is above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.formulas import FORMULAS, of_each_class, value_of
from headrace.components.evaluate.influence import area_influences
from headrace.components.evaluate.resample import POISSON
from headrace.components.evaluate.scores import Floats, Scores
from headrace.components.evaluate.totals import Totals, totals
from headrace.components.evaluate.wilson import effective_rows, shares_of_rows, wilson

RESAMPLES = 400
MOST_ROWS = 50_000  # that are resampled
OF_SLICES = {"resamples": 200, "most_rows": 5_000}  # for the many small parts of an evaluation
LEVEL = 0.95
_CELLS = 2_000_000  # weights in memory at a time
_BIASED = ("ece", "ks")  # too high in every sample
_NONE = ("max_error",)
_MOST_CLASSES = 200  # beyond, resampling by class takes too long

Draws = dict[str, Floats]
Interval = tuple[float, float]


def intervals(
    scores: Scores, seed: int, resamples: int = RESAMPLES, *, most_rows: int = MOST_ROWS, level: float = LEVEL
) -> dict[str, Interval]:
    """Intervals of every metric: metric -> (low, high). A metric that some resample does not define has none.

    Args:
        scores: the rows.
        seed: of the draws.
        resamples: how many.
        most_rows: of more rows, so many are resampled.
        level: how often the interval shall hold the true value; 0.95 leaves 2.5 % on either side.
    """
    if scores.flaw() or len(scores.classes) > _MOST_CLASSES:
        return {}
    drawn = draws(scores, seed, resamples, most_rows=most_rows)
    edges = [(1 - level) / 2, (1 + level) / 2]
    found = {
        name: (float(low), float(high))
        for name, values in drawn.items()
        if np.isfinite(values).all()
        for low, high in [np.quantile(values, edges)]
    }
    found |= shares_of_rows(scores, level, found if scores.weights is not None else {})
    return {name: bounds for name, bounds in _no_narrower(found, scores, level).items() if bounds[0] < bounds[1]}


def draws(scores: Scores, seed: int, resamples: int = RESAMPLES, *, most_rows: int = MOST_ROWS) -> Draws:
    """Values of every metric in each resample, (R,), spread as samples of all the rows would be.

    With the same seed and the same rows, two models are resampled alike. A value is NaN where a resample does not
    define the metric.
    """
    part = _part(scores, seed, most_rows)
    if part is scores:
        return _resampled(scores, seed, resamples)
    shrink, found = math.sqrt(len(part) / len(scores)), _resampled(part, seed, resamples)
    whole, around = _values(scores), _values(part)
    return {name: whole[name] + (values - around[name]) * shrink for name, values in found.items()}


def class_intervals(
    scores: Scores, seed: int, resamples: int = 200, *, most_rows: int = 20_000
) -> list[dict[str, Interval]]:
    """95 % intervals of precision, recall and F1 of each class: Wilson's for shares of equal rows."""
    if scores.kind == "regression" or scores.flaw() or len(scores.classes) > _MOST_CLASSES:
        return [{} for _ in scores.classes]
    part = _part(scores, seed, most_rows)
    shrink = math.sqrt(len(part) / len(scores))
    counts = scores.counts()[None, :]
    whole, around = (of_each_class(totals(rows, rows.counts()[None, :])) for rows in (scores, part))
    drawn: dict[str, list[Floats]] = {name: [] for name in whole}
    for weights in _weights(part, seed, resamples):
        for name, values in of_each_class(totals(part, weights)).items():
            drawn[name].append(values)
    found = totals(scores, counts)
    result = []
    for code in range(len(scores.classes)):
        bounds: dict[str, Interval] = {}
        for name, parts in drawn.items():
            values = whole[name][0, code] + (np.concatenate(parts)[:, code] - around[name][0, code]) * shrink
            if np.isfinite(values).all() and np.ptp(values) > 0:
                low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
                bounds[name] = (float(low), float(high))
        if scores.weights is None:
            right = float(found["right"][0, code])
            for name, rows in (("precision", "predicted"), ("recall", "actual")):
                if found[rows][0, code]:
                    bounds[name] = wilson(right, float(found[rows][0, code]), LEVEL)
        result.append(bounds)
    return result


def resampling(scores: Scores, seed: int, resamples: int, most_rows: int) -> Iterator[tuple[Scores, Floats]]:
    """The rows that are resampled, and (R, N) weights of them, some resamples at a time."""
    part = _part(scores, seed, most_rows)
    for weights in _weights(part, seed, resamples):
        yield part, weights


def _part(scores: Scores, seed: int, most_rows: int) -> Scores:
    if len(scores) <= most_rows:
        return scores
    rng = np.random.default_rng([seed, len(scores)])
    return scores.take(np.sort(rng.choice(len(scores), most_rows, replace=False)))


def _values(scores: Scores) -> dict[str, float]:
    found = totals(scores, scores.counts()[None, :])
    return {name: float(value_of(name, scores.kind, found, scores.positive)[0]) for name in FORMULAS[scores.kind]}


def _resampled(scores: Scores, seed: int, resamples: int) -> Draws:
    kind = scores.kind
    names = [name for name in METRICS if name in FORMULAS[kind] and name not in _NONE]
    linear = area_influences(scores) if kind == "multiclass" else {}
    drawn: dict[str, list[Floats]] = {name: [] for name in names}
    for weights in _weights(scores, seed, resamples):
        found = totals(scores, weights)
        ranked: Mapping[str, Floats] = found.ranked
        if linear:
            ranked = {name: area.value + weights @ area.of_rows for name, area in linear.items()}
        found = Totals(found.sums, found.layout, ranked)
        for name in names:
            if name in linear or kind != "multiclass" or not name.startswith("auc"):
                drawn[name].append(value_of(name, kind, found, scores.positive))
    made = {name: np.concatenate(parts) for name, parts in drawn.items() if parts}
    values = _values(scores)
    for name in _BIASED:
        if name in made:
            bias = made[name].mean() - values[name]
            made[name] = np.maximum(made[name] - 2 * bias, 0.0) if np.isfinite(bias) else made[name]
    return made


def _weights(scores: Scores, seed: int, resamples: int) -> Iterator[Floats]:
    """(R, N) weights, some resamples at a time."""
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // max(len(scores), 1))
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), len(scores))
        drawn = POISSON[rng.integers(0, 1 << 16, size, dtype=np.uint16)]
        yield drawn if scores.weights is None else drawn * scores.weights


def _no_narrower(found: dict[str, Interval], scores: Scores, level: float) -> dict[str, Interval]:
    """At the best value a metric can have every resample says the same: not more than as many equal rows tell."""
    rows = _smallest(scores)
    if rows is None:
        return found
    low, _ = wilson(rows, rows, level)
    lost = 1 - low
    widest = dict(found)
    for name, (least, most) in found.items():
        scale = _SCALE.get(name)
        if scale is None:
            continue
        if METRICS[name].higher_is_better and least >= 1 - 1e-12:
            widest[name] = (1 - scale * lost, most)
        if METRICS[name].higher_is_better is False and most <= 1e-12:
            widest[name] = (least, scale * lost)
    return widest


# What losing a share of the rows costs a metric whose best value is 1 (or 0) at most, about.
_SCALE = {
    **dict.fromkeys(("auc", "auc_weighted", "auc_ovo", "pr_auc", "ks", "f1", "f2", "f0_5", "jaccard"), 1.0),
    **dict.fromkeys(("balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_jaccard"), 1.0),
    **dict.fromkeys(("weighted_precision", "weighted_f1", "top_decile_recall"), 1.0),
    **dict.fromkeys(("gini", "mcc", "kappa", "youden"), 2.0),
}


def _smallest(scores: Scores) -> float | None:
    """The number of rows of the smallest class that has any; by weight, as many equal rows as tell as much."""
    if scores.kind == "regression":
        return None
    each = [effective_rows(scores, scores.truth == code) for code in np.unique(scores.truth)]
    return min((rows for rows in each if rows > 0), default=None)
