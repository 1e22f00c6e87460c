"""How much each row bears on the ROC AUC of several classes, to first order.

An area is a mean over pairs of rows, a U-statistic: its value with other weights is, up to terms of second order,
its value plus the weighted sum of the rows' influences (Hoeffding 1948; DeLong, DeLong and Clarke-Pearson 1988).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headrace.components.evaluate.scores import Array, Floats, Scores


class Influence(NamedTuple):
    """A metric's value, and what one more of each row would add to it; (N,), with a weighted sum of zero."""

    value: float
    of_rows: Floats


def area_influences(scores: Scores) -> dict[str, Influence]:
    """Of `auc`, `auc_weighted` and `auc_ovo`; nothing where a class has no rows."""
    weights = scores.counts()
    size = len(scores.classes)
    rows = np.bincount(scores.truth, weights, size)
    if (rows == 0).any():
        return {}
    share, total = rows / rows.sum(), rows.sum()
    found = {name: np.zeros(len(scores)) for name in ("auc", "auc_weighted", "auc_ovo")}
    value = dict.fromkeys(found, 0.0)
    for code in range(size):
        own = scores.truth == code
        order = np.argsort(scores.outputs[:, code], kind="stable")
        rest, of_rest = _area(scores, code, order, ~own, weights)
        value["auc"] += rest / size
        value["auc_weighted"] += share[code] * rest
        found["auc"] += of_rest / size
        found["auc_weighted"] += share[code] * of_rest + (own - share[code]) * rest / total
        for other in range(size):
            if other != code:
                area, of_pair = _area(scores, code, order, scores.truth == other, weights)
                value["auc_ovo"] += area / (size * (size - 1))
                found["auc_ovo"] += of_pair / (size * (size - 1))
    return {name: Influence(value[name], found[name]) for name in found}


def _area(scores: Scores, code: int, order: Array, against: Array, weights: Floats) -> tuple[float, Floats]:
    """The area of a class against the rows of a mask by its probability, and each row's influence on it."""
    kept = order[(scores.truth[order] == code) | against[order]]
    score, positive, own = scores.outputs[kept, code], scores.truth[kept] == code, weights[kept]
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
    level = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(score)]))
    above = np.bincount(level, own * positive, len(starts))
    below = np.bincount(level, own * ~positive, len(starts))
    positives, negatives = above.sum(), below.sum()
    beats = (np.cumsum(below) - below / 2) / negatives  # of a positive row: the share of negatives that it beats
    beaten = 1 - (np.cumsum(above) - above / 2) / positives
    area = float((above * beats).sum() / positives)
    influence = np.zeros(len(scores))
    influence[kept] = np.where(positive, (beats[level] - area) / positives, (beaten[level] - area) / negatives)
    return area, influence
