"""What each row contributes to a metric: (N,) influences of mean zero, so that the metric's error is that of a mean."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from headrace.components.evaluate.formulas import value_of
from headrace.components.evaluate.influence import area_influences
from headrace.components.evaluate.scores import Floats, Scores
from headrace.components.evaluate.totals import Totals, centre_of, layout_of, terms

_STRETCH = 1 << 18  # rows whose terms are in memory at a time
_STEP = 1e-5  # by which each sum is varied, relative to the sum of its terms' sizes


class Influence(NamedTuple):
    """The contributions, and how they were found."""

    values: Floats
    method: str


def influence(scores: Scores, metric: str) -> Influence | None:
    """The influence of each row on a metric; None where there is none but by resampling."""
    if metric in ("auc", "gini") and scores.kind == "binary":
        return Influence(_auc(scores) * (2 if metric == "gini" else 1), "DeLong's method")
    if metric.startswith("auc"):
        found = area_influences(scores).get(metric)
        return None if found is None else Influence(found.of_rows * scores.counts() * len(scores), "DeLong's method")
    values = _of_sums(scores, metric)
    return None if values is None else Influence(values, "delta method")


def smoothed(scores: Scores, metric: str) -> tuple[Floats, Floats]:
    """The influences of the rows, and of a few that are made up, on a metric of decisions: (N,) and (C^2,).

    As if there were, of each class and of each prediction, one more row that is right and one that is wrong: Laplace's
    rule, by which a share of 5 of 5 rows is not without error (Agresti and Caffo 2000). To add up as one row together,
    the made-up ones that are wrong count a part each.
    """
    size = len(scores.classes)
    truth, predicted = (codes.ravel() for codes in np.indices((size, size)))
    parts = np.where(truth == predicted, 1.0, 1 / (size - 1))
    counts = scores.counts()
    more = replace(
        scores,
        truth=np.r_[scores.truth, truth],
        outputs=np.concatenate([scores.outputs, np.eye(size)[predicted]]),
        weights=np.r_[counts, parts * counts.mean()],
    )
    values = _of_sums(more, metric)
    if values is None:
        raise ValueError(f"expected a metric of decisions. Received: {metric}")
    return values[: len(scores)], values[len(scores) :] / np.sqrt(parts)


def one_more(scores: Scores, metric: str, value: float) -> Floats:
    """(C,) the influences on an area of one more row of each class that is ranked anywhere, as in Laplace's rule.

    Few rows that all happen to be ranked high have hardly any spread, and the area's error by them alone is too small.
    Of a row of uniform placement the mean squared deviation from the area A is 1/12 + (A - 1/2)^2.
    """
    area = (value + 1) / 2 if metric == "gini" else value
    apart = np.sqrt(1 / 12 + (area - 0.5) ** 2) * (2 if metric == "gini" else 1)
    size = len(scores.classes)
    weights = scores.counts()
    first, second = (np.bincount(scores.truth, weights**power, size) for power in (1, 2))
    averaged = 1 if size == 2 else size
    return np.asarray(apart * len(scores) * second / first**2 / averaged)


def _auc(scores: Scores) -> Floats:
    """Placements as DeLong et al. 1988 have them, by midranks (Sun and Xu 2014); with weights, by weighted ranks."""
    actual, weights = scores.actual, scores.counts()
    order = np.argsort(scores.score, kind="stable")
    value = scores.score[order]
    new = np.r_[True, np.diff(value) != 0]
    starts, run = np.flatnonzero(new), np.cumsum(new) - 1
    positive, negative = weights[order] * actual[order], weights[order] * ~actual[order]
    tied_positive, tied_negative = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    below = np.cumsum(tied_negative) - tied_negative / 2
    above = positive.sum() - np.cumsum(tied_positive) + tied_positive / 2
    placed = np.empty(len(value))
    placed[order] = np.where(actual[order], below[run] / negative.sum(), above[run] / positive.sum())
    area = float(np.average(placed[actual], weights=weights[actual]))
    found = np.empty(len(value))
    for mask in (actual, ~actual):
        count = int(mask.sum())
        unbiased = np.sqrt(count / max(count - 1, 1))  # each class has a mean of its own to estimate
        found[mask] = (placed[mask] - area) * weights[mask] * len(value) / weights[mask].sum() * unbiased
    return found


def _of_sums(scores: Scores, metric: str) -> Floats | None:
    """Of a metric that is a formula of sums: the formula's gradient along each row's terms (the delta method)."""
    layout = layout_of(scores.kind, len(scores.classes))
    centre, weights = centre_of(scores), scores.counts()
    parts = np.array_split(np.arange(len(scores)), -(-len(scores) // _STRETCH))
    width = max(place.stop for place in layout.values())
    sums, sizes = np.zeros(width), np.zeros(width)
    for part in parts:
        made = terms(scores.take(part), centre, layout)
        sums += made.T @ weights[part]
        sizes += abs(made).T @ weights[part]
    gradient = _gradient(scores, metric, sums, sizes)
    if gradient is None:
        return None
    along = [np.asarray(terms(scores.take(part), centre, layout) @ gradient) for part in parts]
    values = np.concatenate(along) * weights * len(scores)
    return np.asarray(values - values.mean())


def _gradient(scores: Scores, metric: str, sums: Floats, sizes: Floats) -> Floats | None:
    """(K,) by how much the metric grows with each sum; None where it is no formula of sums alone."""
    varied = np.flatnonzero(sizes)
    steps = _STEP * sizes[varied]
    moved = np.repeat(sums[None, :], 2 * len(varied), axis=0)
    rows = np.arange(len(varied))
    moved[rows, varied] += steps
    moved[rows + len(varied), varied] -= steps
    layout = layout_of(scores.kind, len(scores.classes))
    try:
        values = value_of(metric, scores.kind, Totals(moved, layout, {}), scores.positive)
    except KeyError:
        return None  # it asks for what takes the rows in order
    gradient = np.zeros(len(sums))
    gradient[varied] = (values[: len(varied)] - values[len(varied) :]) / (2 * steps)
    return gradient if np.isfinite(gradient).all() else None
