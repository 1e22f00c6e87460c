"""Metrics of the order of rows: areas under curves, medians. For R sets of weights at once.

Rows of the same score are one level: what is known of a model's ranking is the weight of each class at each level.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headrace.components.evaluate.scores import Array, Floats, Scores

TOP = 0.1  # of the rows: the top decile
_CELLS = 4_000_000  # levels times classes that are held at once


class Levels(NamedTuple):
    """Weight per distinct score, lowest first.

    Attributes:
        scores: (D,) the scores.
        positive: (R, D) weight of the rows that are of the class.
        negative: (R, D) weight of the others.
    """

    scores: Floats
    positive: Floats
    negative: Floats


def ranked(scores: Scores, weights: Floats) -> dict[str, Floats]:
    """Everything of a task that needs an order of its rows: name -> (R,). NaN where weights leave it undefined."""
    if scores.kind == "binary":
        return binary_ranked(levels(scores.score, scores.actual, weights))
    if scores.kind == "multiclass":
        # Drawn weights would need an order for each class: bootstrap.py takes influences instead.
        return several_ranked(scores, weights) if len(weights) == 1 else {}
    return quantiles(scores, weights)


def levels(score: Floats, actual: Array, weights: Floats) -> Levels:
    """Gathers rows (N,) with R sets of weights (R, N) by their score."""
    order = np.argsort(score, kind="stable")
    ordered, truth = score[order], actual[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sorted_weights = weights[:, order]
    positive = np.add.reduceat(sorted_weights * truth, starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~truth, starts, axis=1)
    return Levels(ordered[starts], positive, negative)


def binary_ranked(found: Levels) -> dict[str, Floats]:
    """ROC AUC, average precision, KS and what the top decile holds."""
    positive, negative = found.positive, found.negative
    positives, negatives = positive.sum(axis=1), negative.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        taken = np.cumsum(positive[:, ::-1], axis=1)
        wrong = np.cumsum(negative[:, ::-1], axis=1)
        share = np.divide(taken, taken + wrong, out=np.zeros_like(taken), where=taken + wrong > 0)
        precision = (share * positive[:, ::-1]).sum(axis=1) / positives
        gap = (taken / positives[:, None] - wrong / negatives[:, None]).max(axis=1)
        recall = _recall_of_top(taken, wrong) / positives
    both = (positives > 0) & (negatives > 0)
    return {
        "auc": area(positive, negative),
        "pr_auc": np.where(both, precision, np.nan),
        "ks": np.where(both, np.maximum(gap, 0.0), np.nan),
        "top_decile_recall": np.where(positives > 0, recall, np.nan),
    }


def area(positive: Floats, negative: Floats) -> Floats:
    """(R,) the share of pairs, a positive and a negative row each, that are ranked rightly; ties count half."""
    below = np.cumsum(negative, axis=1) - negative
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray((positive * (below + negative / 2)).sum(axis=1) / pairs)


def _recall_of_top(taken: Floats, wrong: Floats) -> Floats:
    """Positive weight among the tenth of all weight with the highest scores; of a tie, its share."""
    rows = taken + wrong
    cut = TOP * rows[:, -1]
    place = np.minimum((rows < cut[:, None]).sum(axis=1), rows.shape[1] - 1)
    index = np.arange(len(rows))
    before_rows = np.where(place > 0, rows[index, place - 1], 0.0)
    before = np.where(place > 0, taken[index, place - 1], 0.0)
    width = rows[index, place] - before_rows
    part = np.divide(cut - before_rows, width, out=np.zeros_like(cut), where=width > 0)
    return np.asarray(before + part * (taken[index, place] - before))


def several_ranked(scores: Scores, weights: Floats) -> dict[str, Floats]:
    """ROC AUC of several classes for one set of weights: one against the rest, and one against one."""
    pairs = pair_areas(scores, weights[0])
    rows = np.bincount(scores.truth, weights[0], len(scores.classes))
    return areas_of_pairs(pairs, rows)


def areas_of_pairs(pairs: Floats, rows: Array) -> dict[str, Floats]:
    """The means over classes from `pair_areas` and the weight of each class."""
    each = against_rest(pairs, rows)
    two = (pairs + pairs.T) / 2
    upper = np.triu_indices(len(rows), 1)
    with np.errstate(invalid="ignore"):
        weighted = (each * rows).sum() / rows.sum()
    return {
        "auc": np.array([each.mean()]),
        "auc_weighted": np.array([weighted]),
        "auc_ovo": np.array([two[upper].mean()]),
    }


def against_rest(pairs: Floats, rows: Array) -> Floats:
    """(C,) area of each class against all others: of the pairs' areas, the mean by the others' weights."""
    others = np.tile(rows, (len(rows), 1))
    np.fill_diagonal(others, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.where(others > 0, pairs * others, 0.0).sum(axis=1) / others.sum(axis=1)
    return np.where(rows > 0, inside, np.nan)


def pair_areas(scores: Scores, weights: Floats) -> Floats:
    """(C, C): how well the probability of class i ranks rows of class i above rows of class j; NaN if none is."""
    size = len(scores.classes)
    found = np.full((size, size), np.nan)
    rows = np.bincount(scores.truth, weights, size)
    for code in range(size):
        order = np.argsort(scores.outputs[:, code], kind="stable")
        ordered, truth, own = scores.outputs[order, code], scores.truth[order], weights[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        level = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(ordered)]))
        mine = np.bincount(level, own * (truth == code), len(starts))
        step = max(1, _CELLS // len(starts))
        for first in range(0, size, step):
            last = min(first + step, size)
            inside = (truth >= first) & (truth < last)
            cells = level[inside] * (last - first) + truth[inside] - first
            held = np.bincount(cells, own[inside], len(starts) * (last - first)).reshape(len(starts), -1)
            with np.errstate(divide="ignore", invalid="ignore"):
                found[code, first:last] = area_above(mine, held) / (rows[code] * rows[first:last])
    np.fill_diagonal(found, 0.5)
    return found


def area_above(mine: Array, others: Array) -> Floats:
    """(K,) weight of the pairs in which a row of (D,) is at a higher level than one of (D, K); ties count half."""
    return np.asarray(mine @ (np.cumsum(others, axis=0) - others / 2))


def quantiles(scores: Scores, weights: Floats) -> dict[str, Floats]:
    """Of a regression: the median and the largest absolute error, and the error of the median as a constant."""
    error = np.abs(scores.predicted - scores.truth)
    order, truth = np.argsort(error, kind="stable"), np.argsort(scores.truth, kind="stable")
    return _quantiles(error[order], weights[:, order], scores.truth[truth], weights[:, truth])


def quantiles_of_levels(errors: Floats, at_error: Floats, values: Floats, at_value: Floats) -> dict[str, Floats]:
    """The same from the weight (D, 1) at each error and at each actual value."""
    order = np.argsort(np.abs(errors), kind="stable")
    return _quantiles(np.abs(errors)[order], at_error[order].T, values, at_value.T)


def _quantiles(errors: Floats, at_error: Floats, values: Floats, at_value: Floats) -> dict[str, Floats]:
    present = at_error > 0
    last = at_error.shape[1] - 1 - present[:, ::-1].argmax(axis=1)
    return {
        "median_absolute_error": medians(errors, at_error),
        "max_error": np.where(present.any(axis=1), errors[last], np.nan),
        "around_median": around_medians(values, at_value),
    }


def medians(ordered: Floats, weights: Floats) -> Floats:
    """(R,) weighted medians of values that are in order; the mean of two where the weight's half is between them."""
    total = np.cumsum(weights, axis=1)
    half = total[:, -1:] / 2
    slack = 4 * np.finfo(np.float64).eps * total[:, -1:]  # a sum of weights is only that exact
    low = np.minimum((total < half - slack).sum(axis=1), len(ordered) - 1)
    high = np.minimum((total <= half + slack).sum(axis=1), len(ordered) - 1)
    return np.asarray((ordered[low] + ordered[high]) / 2)


def around_medians(ordered: Floats, weights: Floats) -> Floats:
    """(R,) weighted sums of the distances to the weighted median, of values that are in order."""
    middle = medians(ordered, weights)
    centred = ordered - np.median(ordered)  # so that no digits are lost
    middle = middle - np.median(ordered)
    total, sums = np.cumsum(weights, axis=1), np.cumsum(weights * centred, axis=1)
    index = np.searchsorted(centred, middle, side="right") - 1
    row = np.arange(len(weights))
    upto, below = total[row, index], sums[row, index]
    return np.asarray(middle * (2 * upto - total[:, -1]) + sums[:, -1] - 2 * below)
