"""What metrics are made of: weighted sums over rows, for many sets of weights at once.

A metric is a formula of such sums (see formulas.py), so that its value, its bootstrapped interval and its value over
batches of more rows than fit in memory are computed alike: with the rows' own weights, with weights that are drawn,
and with sums that are added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from headrace.components.evaluate import ranking
from headrace.components.evaluate.scores import Array, Floats, Scores

BINS = 10  # of calibration
TOPS = (2, 3, 5)  # k of the top-k accuracies
_STRETCH = 1 << 16  # rows whose terms are in memory at a time
_EPSILON = float(np.finfo(np.float64).eps)  # log loss: no probability is taken as less, as in scikit-learn


@dataclass(frozen=True)
class Totals:
    """Sums over the rows for R sets of weights.

    Attributes:
        sums: (R, K) of the columns that `layout` names.
        layout: name -> its columns in `sums`.
        ranked: what takes the rows in order, such as the area under a curve: name -> (R,).
    """

    sums: Floats
    layout: Mapping[str, slice]
    ranked: Mapping[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        """(R, k) the sums of one name."""
        return self.sums[:, self.layout[name]]

    def one(self, name: str) -> Floats:
        """(R,) the sum of a name with one column."""
        return self.sums[:, self.layout[name].start]


def totals(scores: Scores, weights: Floats, ordered: bool = True) -> Totals:
    """The totals of rows for each of R sets of weights, (R, N), N > 0; `ordered` False leaves out `ranked`."""
    layout = layout_of(scores.kind, len(scores.classes))
    centre = centre_of(scores)
    sums = np.zeros((len(weights), _width(layout)))
    for start in range(0, len(scores), _STRETCH):
        stop = min(start + _STRETCH, len(scores))
        part = scores if stop - start == len(scores) else scores.take(np.arange(start, stop))
        sums += np.asarray((terms(part, centre, layout).T @ weights[:, start:stop].T).T)
    return Totals(sums, layout, ranking.ranked(scores, weights) if ordered else {})


def layout_of(kind: str, classes: int) -> Mapping[str, slice]:
    """Which columns the sums have."""
    if kind == "regression":
        return _laid_out(dict.fromkeys(_VALUE_TERMS, 1))
    per_class = {"actual": classes, "predicted": classes, "right": classes}
    binned = {"bin_rows": BINS, "bin_probability": BINS, "bin_right": BINS}
    return _laid_out({**per_class, **binned, "log": 1, "squared": 1, "top": len(TOPS)})


def centre_of(scores: Scores) -> tuple[float, float]:
    """(mean actual value, mean error): sums of squares are taken about them, so that no digits are lost."""
    if scores.kind != "regression":
        return 0.0, 0.0
    weights = scores.weights
    error = scores.predicted - scores.truth
    return float(np.average(scores.truth, weights=weights)), float(np.average(error, weights=weights))


def terms(scores: Scores, centre: tuple[float, float], layout: Mapping[str, slice]) -> Any:
    """(N, K) what each row adds to the sums of weight 1, as a sparse matrix."""
    if scores.kind == "regression":
        return sparse.csr_matrix(np.column_stack(list(_value_terms(scores, centre).values())))
    rows, predicted = np.arange(len(scores)), scores.predicted
    shares = normalized(scores.outputs)
    own = np.clip(shares[rows, scores.truth], _EPSILON, 1)
    right = (predicted == scores.truth).astype(np.float64)
    binned, hit = calibrated(scores, shares)
    place = bins(binned)
    entries = [
        (layout["actual"].start + scores.truth, np.ones(len(rows))),
        (layout["predicted"].start + predicted, np.ones(len(rows))),
        (layout["right"].start + predicted, right),
        (layout["bin_rows"].start + place, np.ones(len(rows))),
        (layout["bin_probability"].start + place, binned),
        (layout["bin_right"].start + place, hit),
        (np.full(len(rows), layout["log"].start), -np.log(own)),
        (np.full(len(rows), layout["squared"].start), _squared(scores, shares)),
        *_tops(scores, layout),
    ]
    columns = np.column_stack([column for column, _ in entries])
    values = np.column_stack([value for _, value in entries])
    starts = np.arange(0, columns.size + 1, columns.shape[1])
    return sparse.csr_matrix((values.ravel(), columns.ravel(), starts), shape=(len(rows), _width(layout)))


def normalized(outputs: Floats) -> Floats:
    """Probabilities that add up to one in float64; float32 outputs are off by some 1e-7."""
    total = outputs.sum(axis=1, keepdims=True)
    even = np.full_like(outputs, 1 / outputs.shape[1])
    shares: Floats = np.divide(outputs, total, out=even, where=total > 0)
    return shares


def calibrated(scores: Scores, shares: Floats | None = None) -> tuple[Floats, Floats]:
    """What is compared in calibration: (probability, whether it came true) of each row.

    Of two classes it is the positive one's; of several, that of the class which is likeliest (Guo et al. 2017).
    """
    if scores.kind == "binary":
        return scores.score, scores.actual.astype(np.float64)
    shares = normalized(scores.outputs) if shares is None else shares
    return shares.max(axis=1), (scores.predicted == scores.truth).astype(np.float64)


def bins(probability: Floats) -> Array:
    """The bin of each probability, of equal width."""
    return np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)


def _squared(scores: Scores, shares: Floats) -> Floats:
    if scores.kind == "binary":
        return np.asarray((scores.score - scores.actual) ** 2)
    own = shares[np.arange(len(scores)), scores.truth]
    return np.asarray((shares**2).sum(axis=1) - own**2 + (1 - own) ** 2)


def _tops(scores: Scores, layout: Mapping[str, slice]) -> list[tuple[Array, Floats]]:
    """Of equal probabilities the class that comes later ranks higher, as in scikit-learn."""
    if scores.kind == "binary":
        return []
    rows = np.arange(len(scores))
    own = scores.outputs[rows, scores.truth]
    later = np.arange(scores.outputs.shape[1]) > scores.truth[:, None]
    above = (scores.outputs > own[:, None]) | ((scores.outputs == own[:, None]) & later)
    rank = above.sum(axis=1)
    first = layout["top"].start
    return [(np.full(len(rows), first + place), (rank < k).astype(np.float64)) for place, k in enumerate(TOPS)]


_VALUE_TERMS = (
    "rows",
    "absolute",
    "squared",
    "raw_error",
    "error",  # about its mean
    "actual",  # about its mean
    "error_error",
    "actual_actual",
    "actual_error",
    "relative",
    "symmetric",
    "size",
    "log",
    "pinball_10",
    "pinball_90",
    "poisson",
    "gamma",
    "zeros",  # rows whose actual value is zero
    "no_log",  # rows that have no log(1 + value)
    "no_count",  # rows that no Poisson deviance is defined for
    "no_gamma",
)


def _value_terms(scores: Scores, centre: tuple[float, float]) -> dict[str, Floats]:
    actual, predicted = scores.truth, scores.predicted
    error = predicted - actual
    off, away = error - centre[1], actual - centre[0]
    sizes = np.abs(actual) + np.abs(predicted)
    no_log, no_count = (actual <= -1) | (predicted <= -1), (actual < 0) | (predicted <= 0)
    no_gamma = (actual <= 0) | (predicted <= 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Twice y log(y / p) - y + p, and twice log(p / y) + y / p - 1 (McCullagh and Nelder 1989).
        poisson = 2 * (np.where(actual > 0, actual * np.log(actual / predicted), 0.0) + error)
        gamma = 2 * (np.log(predicted / actual) + actual / predicted - 1)
        made = {
            "rows": np.ones(len(scores)),
            "absolute": np.abs(error),
            "squared": error**2,
            "raw_error": error,
            "error": off,
            "actual": away,
            "error_error": off**2,
            "actual_actual": away**2,
            "actual_error": away * off,
            "relative": np.where(actual == 0, 0.0, np.abs(error / actual)),
            "symmetric": np.where(sizes == 0, 0.0, 2 * np.abs(error) / sizes),
            "size": np.abs(actual),
            "log": np.where(no_log, 0.0, (np.log1p(predicted) - np.log1p(actual)) ** 2),
            "pinball_10": np.where(error < 0, -0.1 * error, 0.9 * error),
            "pinball_90": np.where(error < 0, -0.9 * error, 0.1 * error),
            "poisson": np.where(no_count, 0.0, poisson),
            "gamma": np.where(no_gamma, 0.0, gamma),
            "zeros": actual == 0,
            "no_log": no_log,
            "no_count": no_count,
            "no_gamma": no_gamma,
        }
    return {name: np.asarray(made[name], np.float64) for name in _VALUE_TERMS}


def _laid_out(widths: Mapping[str, int]) -> dict[str, slice]:
    ends = np.cumsum([0, *widths.values()])
    return {name: slice(int(low), int(high)) for name, low, high in zip(widths, ends, ends[1:], strict=False)}


def _width(layout: Mapping[str, slice]) -> int:
    return int(max(part.stop for part in layout.values()))
