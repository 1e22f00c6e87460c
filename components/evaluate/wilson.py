"""Wilson's interval of a share, and which metrics are shares of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from headrace.components.evaluate.scores import Array, Scores
from headrace.components.evaluate.totals import TOPS

Interval = tuple[float, float]


def wilson(hits: float, rows: float, level: float = 0.95) -> Interval:
    """Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(edge, 3) for edge in wilson(20, 20)]
    [0.839, 1.0]
    >>> wilson(0, 0)  # no row tells anything
    (0.0, 1.0)
    """
    if rows <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / rows
    below = 1 + z**2 / rows
    middle = (share + z**2 / (2 * rows)) / below
    half = z / below * math.sqrt(max(share * (1 - share) / rows + z**2 / (4 * rows**2), 0.0))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def effective_rows(scores: Scores, of: Array) -> float:
    """How many rows of equal weight tell as much as these do (Kish 1965); `of` is a mask."""
    if scores.weights is None:
        return float(np.count_nonzero(of))
    weights = scores.weights[of]
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def shares_of_rows(scores: Scores, level: float, given: Mapping[str, Interval]) -> dict[str, Interval]:
    """The intervals of all metrics that are the share of some rows among others.

    Args:
        scores: the rows.
        level: of the intervals.
        given: intervals of weighted rows, found otherwise: they stay where they say anything.
    """
    found = {}
    for name, hit, of in _shares(scores):
        rows = effective_rows(scores, of)
        if not rows or given.get(name, (0.0, 0.0))[0] < given.get(name, (0.0, 0.0))[1]:
            continue
        weights = scores.counts()[of]
        share = float(weights[hit[of]].sum() / weights.sum())
        found[name] = wilson(share * rows, rows, level)
    return found


def _shares(scores: Scores) -> list[tuple[str, Array, Array]]:
    """(metric, the rows that count as hits, the rows they are a share of), as masks."""
    if scores.kind == "regression":
        return []
    right, every = scores.predicted == scores.truth, np.ones(len(scores), bool)
    shares = [("accuracy", right, every)]
    if scores.kind == "binary":
        actual, chosen = scores.actual, scores.predicted == scores.positive
        return [
            *shares,
            ("precision", actual, chosen),
            ("recall", chosen, actual),
            ("specificity", ~chosen, ~actual),
            ("npv", ~actual, ~chosen),
            ("fpr", chosen, ~actual),
            ("fnr", ~chosen, actual),
        ]
    shares += [("micro_f1", right, every), ("weighted_recall", right, every)]
    own = scores.outputs[np.arange(len(scores)), scores.truth]
    later = np.arange(scores.outputs.shape[1]) > scores.truth[:, None]
    rank = ((scores.outputs > own[:, None]) | ((scores.outputs == own[:, None]) & later)).sum(axis=1)
    return [*shares, *((f"top_{k}_accuracy", rank < k, every) for k in TOPS if k < len(scores.classes))]
