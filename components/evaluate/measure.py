"""The metrics of a set of scores, by scikit-learn. What is not defined is left out, with the reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from headrace.components.evaluate.scores import Array, Floats, Scores

BINS = 10  # of calibration

Measured = tuple[dict[str, float], dict[str, str]]  # values, and reasons of what is undefined


class Undefined(Exception):
    """A metric that these rows do not define. The message says why."""


def measure(scores: Scores) -> Measured:
    """Computes every metric of the task.

    Returns:
        metric -> value, all finite; and metric -> reason for those that these rows do not define.
    """
    table = {"binary": _BINARY, "multiclass": _MULTICLASS, "regression": _REGRESSION}[scores.kind]
    flaw = scores.flaw()
    if flaw:
        return {}, dict.fromkeys(table, flaw)
    values: dict[str, float] = {}
    undefined: dict[str, str] = {}
    for name, function in table.items():
        try:
            with warnings.catch_warnings():
                # What scikit-learn warns of, and then fills with a number of its choice, is undefined here.
                warnings.simplefilter("ignore")
                value = float(function(scores))
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
    return [
        (float(predicted[i] / rows[i]), float(observed[i] / rows[i]), float(rows[i]))
        for i in np.flatnonzero(rows)
    ]


def _ece(scores: Scores) -> float:
    """Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"."""
    return sum(rows * abs(mean - share) for mean, share, rows in calibration(scores)) / len(scores)


def _both(scores: Scores) -> None:
    present = np.unique(scores.truth)
    if len(present) < 2:
        raise Undefined(f"all rows are of class {scores.classes[present[0]]}")


def _auc(scores: Scores) -> float:
    _both(scores)
    return float(sk.roc_auc_score(scores.actual, scores.score))


def _average_precision(scores: Scores) -> float:
    _both(scores)
    return float(sk.average_precision_score(scores.actual, scores.score))


def _auc_of_several(scores: Scores) -> float:
    absent = sorted(set(range(len(scores.classes))) - set(scores.truth.tolist()))
    if absent:
        raise Undefined(f"no row is of class {scores.classes[absent[0]]}")
    each = [
        sk.roc_auc_score(scores.truth == code, scores.outputs[:, code]) for code in range(len(scores.classes))
    ]
    return float(np.mean(each))


def _log_loss(scores: Scores) -> float:
    labels = range(len(scores.classes))
    return float(sk.log_loss(scores.truth, normalized(scores.outputs), labels=labels))


def normalized(outputs: Floats) -> Floats:
    """Probabilities that add up to one in float64; float32 outputs are off by some 1e-7."""
    total = outputs.sum(axis=1, keepdims=True)
    even = np.full_like(outputs, 1 / outputs.shape[1])
    shares: Floats = np.divide(outputs, total, out=even, where=total > 0)
    return shares


def _balanced(scores: Scores) -> float:
    _both(scores)
    return float(sk.balanced_accuracy_score(scores.truth, scores.predicted))


def _precision(scores: Scores) -> float:
    if not (scores.predicted == scores.positive).any():
        raise Undefined("no row is predicted positive")
    return float(sk.precision_score(scores.truth, scores.predicted, pos_label=scores.positive))


def _recall(scores: Scores) -> float:
    if not scores.actual.any():
        raise Undefined("no row is positive")
    return float(sk.recall_score(scores.truth, scores.predicted, pos_label=scores.positive))


def _f1(scores: Scores) -> float:
    if not (scores.actual | (scores.predicted == scores.positive)).any():
        raise Undefined("no row is positive or predicted positive")
    return float(sk.f1_score(scores.truth, scores.predicted, pos_label=scores.positive))


def _mcc(scores: Scores) -> float:
    _both(scores)
    return float(sk.matthews_corrcoef(scores.truth, scores.predicted))


def _r2(scores: Scores) -> float:
    if len(scores) < 2 or np.ptp(scores.truth) == 0:
        raise Undefined("the actual values are all the same")
    return float(sk.r2_score(scores.truth, scores.predicted))


def _mape(scores: Scores) -> float:
    if (scores.truth == 0).any():
        raise Undefined("an actual value is zero")
    return float(sk.mean_absolute_percentage_error(scores.truth, scores.predicted))


def _plain(function: Callable[[Array, Array], float]) -> Callable[[Scores], float]:
    return lambda scores: function(scores.truth, scores.predicted)


_Table = dict[str, Callable[[Scores], float]]

_BINARY: _Table = {
    "auc": _auc,
    "pr_auc": _average_precision,
    "log_loss": _log_loss,
    "brier": lambda s: float(np.mean((s.score - s.actual) ** 2)),
    "ece": _ece,
    "accuracy": _plain(sk.accuracy_score),
    "balanced_accuracy": _balanced,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "mcc": _mcc,
}
_MULTICLASS: _Table = {
    "auc": _auc_of_several,
    "log_loss": _log_loss,
    "accuracy": _plain(sk.accuracy_score),
    "balanced_accuracy": _balanced,
    "macro_f1": lambda s: float(sk.f1_score(s.truth, s.predicted, average="macro")),
    "weighted_f1": lambda s: float(sk.f1_score(s.truth, s.predicted, average="weighted")),
    "mcc": _mcc,
}
_REGRESSION: _Table = {
    "rmse": _plain(sk.root_mean_squared_error),
    "mae": _plain(sk.mean_absolute_error),
    "median_absolute_error": _plain(sk.median_absolute_error),
    "mape": _mape,
    "r2": _r2,
    "bias": lambda s: float(np.mean(s.predicted - s.truth)),
}
