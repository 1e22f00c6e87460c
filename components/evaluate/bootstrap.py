"""Intervals for the main metrics by the Poisson bootstrap: each row counts Poisson(1) times in each resample.

Poisson counts are cheap to draw, and give the ordinary bootstrap's intervals for all but tiny samples (Hanley
and MacGibbon 2006; Chamandy et al. 2012). Everything is a weighted sum, so one resample costs one pass over
the rows, which are sorted by their score once.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from headrace.components.evaluate.measure import normalized
from headrace.components.evaluate.scores import Array, Floats, Scores

RESAMPLES = 400
LEAST_RESAMPLES = 100
_BUDGET = 20_000_000  # rows times resamples; above, there are fewer resamples
_LEVEL = 0.95
_MOST_CLASSES = 20  # beyond, the table of all pairs of classes is too wide to resample

_Draws = dict[str, Floats]


def intervals(scores: Scores, seed: int, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """95 % intervals, metric -> (low, high), between percentiles of the resampled values.

    A metric that some resample does not define has none.
    """
    if scores.flaw() or len(scores.classes) > _MOST_CLASSES:
        return {}
    resamples = max(LEAST_RESAMPLES, min(resamples, _BUDGET // len(scores)))
    order = np.argsort(scores.score, kind="stable") if scores.kind == "binary" else np.arange(len(scores))
    scores = scores.take(order)
    terms = _terms(scores)
    ranking = _Ranking(scores) if scores.kind == "binary" else None
    rng = np.random.default_rng(seed)
    sums, ranked = np.empty((resamples, terms.shape[1])), np.empty((resamples, 2))
    for index in range(resamples):
        weights = _COUNTS[rng.integers(0, 1 << 16, len(scores), dtype=np.uint16)]
        sums[index] = weights @ terms
        if ranking:
            ranked[index] = ranking.areas(weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = _regression(sums) if scores.kind == "regression" else _classification(sums, scores)
    if ranking:
        draws |= {"auc": ranked[:, 0], "pr_auc": ranked[:, 1]}
    edges = [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
    return {
        name: (float(low), float(high))
        for name, values in draws.items()
        if np.isfinite(values).all()
        for low, high in [np.quantile(values, edges)]
    }


def _poisson_counts() -> npt.NDArray[np.float64]:
    """A table from 16 random bits to a Poisson(1) count."""
    share = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(10)])
    return np.searchsorted(share, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)


_COUNTS = _poisson_counts()


def _terms(scores: Scores) -> Floats:
    """(N, K) what is summed over the rows."""
    if scores.task == "regression":
        error = scores.predicted - scores.truth
        centred = scores.truth - scores.truth.mean()
        columns = [np.ones(len(scores)), error**2, np.abs(error), error, centred, centred**2]
        return np.column_stack(columns)
    size = len(scores.classes)
    cells = np.zeros((len(scores), size * size + 2))
    rows = np.arange(len(scores))
    cells[rows, scores.truth * size + scores.predicted] = 1
    own = np.clip(normalized(scores.outputs)[rows, scores.truth], np.finfo(np.float64).eps, 1)
    cells[:, -2] = -np.log(own)
    cells[:, -1] = (scores.score - scores.actual) ** 2 if scores.kind == "binary" else 0
    return cells


def _regression(sums: Floats) -> _Draws:
    rows, squared, absolute, error, centred, spread = sums.T
    return {
        "rmse": np.sqrt(squared / rows),
        "mae": absolute / rows,
        "bias": error / rows,
        "r2": 1 - squared / (spread - centred**2 / rows),
    }


def _classification(sums: Floats, scores: Scores) -> _Draws:
    size = len(scores.classes)
    table = sums[:, : size * size].reshape(-1, size, size)
    rows = table.sum(axis=(1, 2))
    right, actual, predicted = table.diagonal(axis1=1, axis2=2), table.sum(axis=2), table.sum(axis=1)
    recall, f1 = right / actual, 2 * right / (actual + predicted)
    draws = {"accuracy": right.sum(axis=1) / rows, "log_loss": sums[:, -2] / rows}
    draws["balanced_accuracy"] = recall.mean(axis=1)
    if scores.positive is None:
        return {**draws, "macro_f1": f1.mean(axis=1)}
    place = scores.positive
    draws |= {"precision": right[:, place] / predicted[:, place], "recall": recall[:, place]}
    return {**draws, "f1": f1[:, place], "brier": sums[:, -1] / rows}


class _Ranking:
    """Areas under the ROC and the precision-recall curve of weighted rows that are sorted by score."""

    def __init__(self, scores: Scores) -> None:
        self.actual = scores.actual
        self.starts: Array = np.flatnonzero(np.r_[True, np.diff(scores.score) != 0])  # of rows of equal score

    def areas(self, weights: Floats) -> tuple[float, float]:
        """(ROC AUC, average precision); NaN where the weights leave one class only."""
        positive = np.add.reduceat(weights * self.actual, self.starts)
        negative = np.add.reduceat(weights * ~self.actual, self.starts)
        positives, negatives = positive.sum(), negative.sum()
        if not positives or not negatives:
            return math.nan, math.nan
        below = np.cumsum(negative) - negative
        auc = (positive * (below + negative / 2)).sum() / (positives * negatives)
        found = np.cumsum(positive[::-1])
        taken = found + np.cumsum(negative[::-1])
        precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
        return float(auc), float((precision * positive[::-1]).sum() / positives)
