"""What each threshold would select, and how right it would be: the table by which people choose one."""

from __future__ import annotations

import numpy as np

from headrace.artifacts import report as r
from headrace.artifacts.measured import Threshold
from headrace.components.evaluate.ranking import Levels
from headrace.components.evaluate.scores import Floats

_GRID = np.arange(1, 20) / 20
_SELECTED = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)  # thresholds at which about these shares are selected


def threshold_table(found: Levels, own: float) -> tuple[Threshold, ...]:
    """The model's own threshold, a grid of them, and those which select round shares of the rows; lowest first.

    Of thresholds that select the same rows one is kept: the model's own, or the lowest.

    Args:
        found: the weight of positive and negative rows at each score, R = 1.
        own: the threshold that the model acts at.
    """
    positive, negative = found.positive[0], found.negative[0]
    # At level i and above; at the end, nothing is selected.
    right, wrong = (np.r_[np.cumsum(side[::-1])[::-1], 0.0] for side in (positive, negative))
    total = right[0] + wrong[0]
    share = (right + wrong) / total
    at = np.searchsorted(-share, [-value for value in _SELECTED], side="right") - 1
    wanted = np.unique([*_GRID, *(_short(found.scores, max(int(level), 0)) for level in at), own])
    rows: dict[int, Threshold] = {}
    for threshold in wanted:
        level = int(np.searchsorted(found.scores, threshold, side="left"))
        chosen = bool(threshold == own)
        if level not in rows or chosen:
            rows[level] = _row(float(threshold), chosen, right, wrong, level)
    return tuple(rows[level] for level in sorted(rows))


def shown(threshold: float | None) -> str:
    """A threshold for a page, in as many digits as it has: who acts at fewer selects other rows."""
    text = r.number(threshold)
    return text if threshold is None or float(text) == threshold else str(threshold)


def _short(scores: Floats, level: int) -> float:
    """The shortest number that selects a level and those above it, and no other."""
    below, own = float(scores[level - 1]) if level else 0.0, float(scores[level])
    return next((short for digits in range(1, 18) if below < (short := round(own, digits)) <= own), own)


def _row(threshold: float, chosen: bool, right: Floats, wrong: Floats, level: int) -> Threshold:
    hits, false = float(right[level]), float(wrong[level])
    positives, negatives = float(right[0]), float(wrong[0])
    return Threshold(
        threshold=threshold,
        selected=(hits + false) / (positives + negatives),
        precision=_share(hits, hits + false),
        recall=_share(hits, positives),
        fpr=_share(false, negatives),
        f1=_share(2 * hits, hits + false + positives),
        true_positives=hits,
        false_positives=false,
        true_negatives=negatives - false,
        false_negatives=positives - hits,
        chosen=chosen,
    )


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
