"""The metrics of scores, as scikit-learn defines them. What is undefined is left out, with the reason.

Those that only count rows are computed from one table of counts: for the many small slices of an evaluation,
scikit-learn's checks of its arguments would take nearly all of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from sklearn import metrics as sk

from headrace.components.evaluate.scores import Array, Floats, Scores

BINS = 10  # of calibration

Measured = tuple[dict[str, float], dict[str, str]]  # values, and reasons of what is undefined
_Metric = Callable[[Scores, Floats], float]  # of the scores and their table of counts [actual][predicted]
_Table = Mapping[str, _Metric]


class Undefined(Exception):
    """A metric that these rows do not define. The message says why."""


def measure(scores: Scores) -> Measured:
    """Computes every metric of the task.

    Returns:
        metric -> value, all finite; and metric -> reason for those that these rows do not define.
    """
    return _measure(scores, _TABLES[scores.kind])


def measure_one(scores: Scores, name: str) -> float | None:
    """Computes one metric of the task; None where these rows do not define it."""
    return _measure(scores, {name: _TABLES[scores.kind][name]})[0].get(name)


def _measure(scores: Scores, table: _Table) -> Measured:
    flaw = scores.flaw()
    if flaw:
        return {}, dict.fromkeys(table, flaw)
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    counts = np.asarray(confusion(scores), dtype=np.float64)
    for name, function in table.items():
        try:
            value = float(function(scores, counts))
        except Undefined as reason:
            undefined[name] = str(reason)
            continue
        if np.isfinite(value):
            values[name] = value
        else:
            undefined[name] = f"it comes out as {value}"
    return values, undefined


def confusion(scores: Scores) -> tuple[tuple[int, ...], ...]:
    """Counts [actual][predicted], in the order of the classes; nothing for a regression."""
    if scores.task == "regression" or scores.flaw():
        return ()
    size = len(scores.classes)
    counts = np.bincount(scores.truth * size + scores.predicted, minlength=size * size)
    return tuple(tuple(int(count) for count in row) for row in counts.reshape(size, size))


def calibration(scores: Scores) -> list[tuple[float, float, float]]:
    """Per bin of equal width that has rows: (mean predicted, observed share, rows). Two classes only."""
    bins = np.minimum((scores.score * BINS).astype(int), BINS - 1)
    rows = np.bincount(bins, minlength=BINS)
    predicted = np.bincount(bins, scores.score, BINS)
    observed = np.bincount(bins, scores.actual, BINS)
    return [(float(predicted[i] / rows[i]), float(observed[i] / rows[i]), float(rows[i])) for i in np.flatnonzero(rows)]


def _ece(scores: Scores, counts: Floats) -> float:
    """Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"."""
    return sum(rows * abs(mean - share) for mean, share, rows in calibration(scores)) / len(scores)


def _auc(scores: Scores, counts: Floats) -> float:
    _several_classes(scores, counts)
    return float(sk.roc_auc_score(scores.actual, scores.score))


def _average_precision(scores: Scores, counts: Floats) -> float:
    _several_classes(scores, counts)
    return float(sk.average_precision_score(scores.actual, scores.score))


def _auc_of_several(scores: Scores, counts: Floats) -> float:
    absent = np.flatnonzero(counts.sum(axis=1) == 0)
    if len(absent):
        raise Undefined(f"no row is of class {scores.classes[absent[0]]}")
    each = [sk.roc_auc_score(scores.truth == code, scores.outputs[:, code]) for code in range(len(scores.classes))]
    return float(np.mean(each))


def _log_loss(scores: Scores, counts: Floats) -> float:
    labels = range(len(scores.classes))
    return float(sk.log_loss(scores.truth, normalized(scores.outputs), labels=labels))


def normalized(outputs: Floats) -> Floats:
    """Probabilities that add up to one in float64; float32 outputs are off by some 1e-7."""
    total = outputs.sum(axis=1, keepdims=True)
    even = np.full_like(outputs, 1 / outputs.shape[1])
    shares: Floats = np.divide(outputs, total, out=even, where=total > 0)
    return shares


def _several_classes(scores: Scores, counts: Floats) -> None:
    present = np.flatnonzero(counts.sum(axis=1))
    if len(present) < 2:
        raise Undefined(f"all rows are of class {scores.classes[present[0]]}")


def _accuracy(scores: Scores, counts: Floats) -> float:
    return float(np.trace(counts) / counts.sum())


def _balanced(scores: Scores, counts: Floats) -> float:
    _several_classes(scores, counts)
    actual = counts.sum(axis=1)
    return float((np.diag(counts)[actual > 0] / actual[actual > 0]).mean())


def _precision(scores: Scores, counts: Floats) -> float:
    right, _, predicted = _positive(scores, counts)
    if not predicted:
        raise Undefined("no row is predicted positive")
    return right / predicted


def _recall(scores: Scores, counts: Floats) -> float:
    right, actual, _ = _positive(scores, counts)
    if not actual:
        raise Undefined("no row is positive")
    return right / actual


def _f1(scores: Scores, counts: Floats) -> float:
    right, actual, predicted = _positive(scores, counts)
    if not actual + predicted:
        raise Undefined("no row is positive or predicted positive")
    return 2 * right / (actual + predicted)


def _positive(scores: Scores, counts: Floats) -> tuple[float, float, float]:
    """(rows rightly predicted positive, rows that are positive, rows predicted positive)."""
    code = scores.positive
    return float(counts[code, code]), float(counts[code].sum()), float(counts[:, code].sum())


def _macro_f1(scores: Scores, counts: Floats) -> float:
    return float(_f1_of_each(counts)[0].mean())


def _weighted_f1(scores: Scores, counts: Floats) -> float:
    f1, actual = _f1_of_each(counts)
    return float(np.average(f1, weights=actual))


def _f1_of_each(counts: Floats) -> tuple[Floats, Floats]:
    """(F1, rows) of each class that is in the truth or among the predictions."""
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    found = actual + predicted > 0
    return 2 * np.diag(counts)[found] / (actual + predicted)[found], actual[found]


def _mcc(scores: Scores, counts: Floats) -> float:
    """Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient"."""
    _several_classes(scores, counts)
    actual, predicted, rows = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    covariance = np.trace(counts) * rows - actual @ predicted
    spread = (rows**2 - predicted @ predicted) * (rows**2 - actual @ actual)
    return float(covariance / np.sqrt(spread)) if spread else 0.0


def _r2(scores: Scores, counts: Floats) -> float:
    if np.ptp(scores.truth) == 0:
        raise Undefined("the actual values are all the same")
    return float(sk.r2_score(scores.truth, scores.predicted))


def _mape(scores: Scores, counts: Floats) -> float:
    if (scores.truth == 0).any():
        raise Undefined("an actual value is zero")
    return float(sk.mean_absolute_percentage_error(scores.truth, scores.predicted))


def _plain(function: Callable[[Array, Array], float]) -> _Metric:
    return lambda scores, counts: function(scores.truth, scores.predicted)


_TABLES: dict[str, _Table] = {
    "binary": {
        "auc": _auc,
        "pr_auc": _average_precision,
        "log_loss": _log_loss,
        "brier": lambda scores, counts: float(np.mean((scores.score - scores.actual) ** 2)),
        "ece": _ece,
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced,
        "precision": _precision,
        "recall": _recall,
        "f1": _f1,
        "mcc": _mcc,
    },
    "multiclass": {
        "auc": _auc_of_several,
        "log_loss": _log_loss,
        "accuracy": _accuracy,
        "balanced_accuracy": _balanced,
        "macro_f1": _macro_f1,
        "weighted_f1": _weighted_f1,
        "mcc": _mcc,
    },
    "regression": {
        "rmse": _plain(sk.root_mean_squared_error),
        "mae": _plain(sk.mean_absolute_error),
        "median_absolute_error": _plain(sk.median_absolute_error),
        "mape": _mape,
        "r2": _r2,
        "bias": lambda scores, counts: float(np.mean(scores.predicted - scores.truth)),
    },
}
