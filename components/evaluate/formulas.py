"""Every metric as a formula of totals, named and defined as scikit-learn does where it has the metric.

Each takes totals for R sets of weights and gives (R,) values, NaN where those weights do not define it. Why a metric is
not defined is told by `reason`, from the totals of the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from headrace.components.evaluate.scores import Floats
from headrace.components.evaluate.totals import TOPS, Totals

Formula = Callable[[Totals, int], Floats]  # of the totals and the positive class, to (R,)


def value_of(name: str, kind: str, totals: Totals, positive: int | None) -> Floats:
    """(R,) the metric's values, NaN where it is undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(FORMULAS[kind][name](totals, -1 if positive is None else positive), np.float64)


def of_each_class(totals: Totals) -> dict[str, Floats]:
    """(R, C) precision, recall and F1 of each class on its own; NaN where undefined."""
    right, actual, predicted = totals["right"], totals["actual"], totals["predicted"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"precision": right / predicted, "recall": right / actual, "f1": 2 * right / (actual + predicted)}


def reason(name: str, kind: str, totals: Totals, classes: Sequence[str], positive: int | None) -> str:
    """Why a metric is undefined, in the words of a report; empty where it should be defined."""
    if kind == "regression":
        return _reason_of_value(name, totals)
    rows, predicted = totals["actual"][0], totals["predicted"][0]
    absent = [classes[int(code)] for code in np.flatnonzero(rows == 0)]
    present = [classes[int(code)] for code in np.flatnonzero(rows)]
    top = {f"top_{k}_accuracy": k for k in TOPS}.get(name)
    if top is not None and top >= len(classes):
        return f"there are only {len(classes)} classes"
    if name in _NEED_ALL_CLASSES and kind == "multiclass" and absent:
        return f"no row is of class {absent[0]}"
    if name in _NEED_SEVERAL_CLASSES and len(present) < 2:
        return f"all rows are of class {present[0]}"
    if positive is None:
        return ""
    return _reason_of_two(name, float(rows[positive]), float(rows.sum() - rows[positive]), predicted, positive)


def _reason_of_two(name: str, positives: float, negatives: float, predicted: Floats, positive: int) -> str:
    chosen, rest = float(predicted[positive]), float(predicted.sum() - predicted[positive])
    if name in ("recall", "fnr", "top_decile_lift", "top_decile_recall") and not positives:
        return "no row is positive"
    if name in ("specificity", "fpr") and not negatives:
        return "no row is negative"
    if name == "precision" and not chosen:
        return "no row is predicted positive"
    if name == "npv" and not rest:
        return "no row is predicted negative"
    if name in ("f1", "f2", "f0_5", "jaccard") and not positives + chosen:
        return "no row is positive or predicted positive"
    return ""


def _reason_of_value(name: str, totals: Totals) -> str:
    flags = {
        "mape": ("zeros", "an actual value is zero"),
        "rmsle": ("no_log", "an actual or predicted value is -1 or less"),
        "poisson_deviance": ("no_count", "an actual value is below zero, or a predicted one not above it"),
        "gamma_deviance": ("no_gamma", "an actual or predicted value is not above zero"),
    }
    if name in flags and totals.one(flags[name][0])[0] > 0:
        return flags[name][1]
    same = not totals.one("actual_actual")[0] > 0
    if name in ("r2", "explained_variance", "d2_absolute_error", "correlation") and same:
        return "the actual values are all the same"
    if name == "wape" and not totals.one("size")[0]:
        return "all actual values are zero"
    flat = name == "correlation" and np.isnan(value_of(name, "regression", totals, None)[0])
    return "the predicted values are all the same" if flat else ""


_NEED_ALL_CLASSES = {"auc", "auc_weighted", "auc_ovo"}
_NEED_SEVERAL_CLASSES = {
    *("auc", "pr_auc", "gini", "ks", "auc_weighted", "auc_ovo", "balanced_accuracy", "mcc", "kappa", "youden"),
    *("d2_log_loss", "d2_brier"),
}


def _rows(totals: Totals) -> Floats:
    return np.asarray(totals["actual"].sum(axis=1))


def _cells(totals: Totals, positive: int) -> tuple[Floats, Floats, Floats, Floats]:
    """(rightly positive, wrongly positive, wrongly negative, rightly negative), (R,) each."""
    right = totals["right"][:, positive]
    wrong, missed = totals["predicted"][:, positive] - right, totals["actual"][:, positive] - right
    return right, wrong, missed, totals["right"].sum(axis=1) - right


def _precision(totals: Totals, positive: int) -> Floats:
    right, wrong, _, _ = _cells(totals, positive)
    return right / (right + wrong)


def _recall(totals: Totals, positive: int) -> Floats:
    right, _, missed, _ = _cells(totals, positive)
    return right / (right + missed)


def _specificity(totals: Totals, positive: int) -> Floats:
    _, wrong, _, rest = _cells(totals, positive)
    return rest / (rest + wrong)


def _npv(totals: Totals, positive: int) -> Floats:
    _, _, missed, rest = _cells(totals, positive)
    return rest / (rest + missed)


def _jaccard(totals: Totals, positive: int) -> Floats:
    right, wrong, missed, _ = _cells(totals, positive)
    return right / (right + wrong + missed)


def _fbeta(beta: float) -> Formula:
    def formula(totals: Totals, positive: int) -> Floats:
        right, wrong, missed, _ = _cells(totals, positive)
        return (1 + beta**2) * right / ((1 + beta**2) * right + wrong + beta**2 * missed)

    return formula


def _accuracy(totals: Totals, positive: int) -> Floats:
    return np.asarray(totals["right"].sum(axis=1)) / _rows(totals)


def _balanced(totals: Totals, positive: int) -> Floats:
    """Mean over the classes that have rows; undefined with fewer than two."""
    actual = totals["actual"]
    present = actual > 0
    recall = np.where(present, totals["right"] / actual, 0.0)
    return np.asarray(np.where(present.sum(axis=1) > 1, recall.sum(axis=1) / present.sum(axis=1), np.nan))


def _mcc(totals: Totals, positive: int) -> Floats:
    """Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient"."""
    actual, predicted, rows = totals["actual"], totals["predicted"], _rows(totals)
    covariance = totals["right"].sum(axis=1) * rows - (actual * predicted).sum(axis=1)
    of_truth = rows**2 - (actual**2).sum(axis=1)
    spread = (rows**2 - (predicted**2).sum(axis=1)) * of_truth
    found = np.where(spread > 0, covariance / np.sqrt(spread), 0.0)
    return np.asarray(np.where((actual > 0).sum(axis=1) > 1, found, np.nan))


def _kappa(totals: Totals, positive: int) -> Floats:
    """Cohen 1960, "A coefficient of agreement for nominal scales"."""
    rows = _rows(totals)
    chance = (totals["actual"] * totals["predicted"]).sum(axis=1) / rows**2
    several = (totals["actual"] > 0).sum(axis=1) > 1
    return np.asarray(np.where(several, (_accuracy(totals, 0) - chance) / (1 - chance), np.nan))


def _averaged(name: str, by_rows: bool) -> Formula:
    """The mean of one metric over the classes in truth or predictions; a class without any counts as 0."""

    def formula(totals: Totals, positive: int) -> Floats:
        right, actual, predicted = totals["right"], totals["actual"], totals["predicted"]
        below = {
            "precision": predicted,
            "recall": actual,
            "f1": (actual + predicted) / 2,
            "jaccard": actual + predicted - right,
        }[name]
        each = np.divide(right, below, out=np.zeros_like(right), where=below > 0)
        weights = actual if by_rows else (actual + predicted > 0).astype(np.float64)
        return np.asarray((each * weights).sum(axis=1) / weights.sum(axis=1))

    return formula


def _log_loss(totals: Totals, positive: int) -> Floats:
    return totals.one("log") / _rows(totals)


def _brier(totals: Totals, positive: int) -> Floats:
    return totals.one("squared") / _rows(totals)


def _d2_log_loss(totals: Totals, positive: int) -> Floats:
    shares = totals["actual"] / _rows(totals)[:, None]
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    return np.asarray(np.where(entropy > 0, 1 - _log_loss(totals, positive) / entropy, np.nan))


def _d2_brier(totals: Totals, positive: int) -> Floats:
    shares = totals["actual"] / _rows(totals)[:, None]
    impurity = 1 - (shares**2).sum(axis=1)
    if positive >= 0:
        impurity = impurity / 2  # of two classes, the error of one of them counts
    several = (totals["actual"] > 0).sum(axis=1) > 1
    return np.asarray(np.where(several, 1 - _brier(totals, positive) / impurity, np.nan))


def _ece(totals: Totals, positive: int) -> Floats:
    """Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"."""
    return np.asarray(np.abs(totals["bin_probability"] - totals["bin_right"]).sum(axis=1) / _rows(totals))


def _lift(totals: Totals, positive: int) -> Floats:
    return totals.ranked["top_decile_recall"] / 0.1


def _ranked(name: str) -> Formula:
    return lambda totals, positive: totals.ranked[name]


def _top(place: int) -> Formula:
    def formula(totals: Totals, positive: int) -> Floats:
        found = totals["top"][:, place] / _rows(totals)
        return found if totals["actual"].shape[1] > TOPS[place] else np.full_like(found, np.nan)

    return formula


def _mean(name: str, unless: str | None = None) -> Formula:
    def formula(totals: Totals, positive: int) -> Floats:
        found = totals.one(name) / totals.one("rows")
        return found if unless is None else np.where(totals.one(unless) > 0, np.nan, found)

    return formula


def _rooted(formula: Formula) -> Formula:
    return lambda totals, positive: np.sqrt(formula(totals, positive))


def _spread(totals: Totals, one: str, other: str) -> Floats:
    """Sum of products about the means."""
    sums = totals.one(f"{one}_{other}")
    return sums - totals.one(one) * totals.one(other) / totals.one("rows")


def _of_variance(lost: Callable[[Totals], Floats]) -> Formula:
    def formula(totals: Totals, positive: int) -> Floats:
        spread = _spread(totals, "actual", "actual")
        return np.where(spread > 0, 1 - lost(totals) / spread, np.nan)

    return formula


def _correlation(totals: Totals, positive: int) -> Floats:
    actual, error = _spread(totals, "actual", "actual"), _spread(totals, "error", "error")
    both = _spread(totals, "actual", "error")
    predicted = actual + 2 * both + error  # predicted is actual plus error
    flat = (actual <= 0) | (predicted <= 1e-14 * (actual + error))
    return np.asarray(np.where(flat, np.nan, (actual + both) / np.sqrt(actual * predicted)))


def _d2_absolute(totals: Totals, positive: int) -> Floats:
    around = totals.ranked["around_median"]
    return np.where(around > 0, 1 - totals.one("absolute") / around, np.nan)


_OF_CLASSES: dict[str, Formula] = {
    "log_loss": _log_loss,
    "brier": _brier,
    "ece": _ece,
    "d2_log_loss": _d2_log_loss,
    "d2_brier": _d2_brier,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced,
    "mcc": _mcc,
    "kappa": _kappa,
}
FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "binary": {
        **{name: _ranked(name) for name in ("auc", "pr_auc", "ks", "top_decile_recall")},
        "gini": lambda totals, positive: 2 * totals.ranked["auc"] - 1,
        "top_decile_lift": _lift,
        **_OF_CLASSES,
        "precision": _precision,
        "recall": _recall,
        "specificity": _specificity,
        "npv": _npv,
        "fpr": lambda totals, positive: 1 - _specificity(totals, positive),
        "fnr": lambda totals, positive: 1 - _recall(totals, positive),
        "f1": _fbeta(1),
        "f2": _fbeta(2),
        "f0_5": _fbeta(0.5),
        "jaccard": _jaccard,
        "youden": lambda totals, positive: _recall(totals, positive) + _specificity(totals, positive) - 1,
    },
    "multiclass": {
        **{name: _ranked(name) for name in ("auc", "auc_weighted", "auc_ovo")},
        **{f"top_{k}_accuracy": _top(place) for place, k in enumerate(TOPS)},
        **_OF_CLASSES,
        "macro_precision": _averaged("precision", False),
        "macro_recall": _averaged("recall", False),
        "macro_f1": _averaged("f1", False),
        "micro_f1": _accuracy,
        "weighted_precision": _averaged("precision", True),
        "weighted_recall": _averaged("recall", True),
        "weighted_f1": _averaged("f1", True),
        "macro_jaccard": _averaged("jaccard", False),
    },
    "regression": {
        "rmse": _rooted(_mean("squared")),
        "mse": _mean("squared"),
        "mae": _mean("absolute"),
        "median_absolute_error": _ranked("median_absolute_error"),
        "max_error": _ranked("max_error"),
        "mape": _mean("relative", unless="zeros"),
        "smape": _mean("symmetric"),
        "wape": lambda totals, positive: totals.one("absolute") / totals.one("size"),
        "rmsle": _rooted(_mean("log", unless="no_log")),
        "pinball_10": _mean("pinball_10"),
        "pinball_90": _mean("pinball_90"),
        "poisson_deviance": _mean("poisson", unless="no_count"),
        "gamma_deviance": _mean("gamma", unless="no_gamma"),
        "bias": _mean("raw_error"),
        "r2": _of_variance(lambda totals: totals.one("squared")),
        "explained_variance": _of_variance(lambda totals: _spread(totals, "error", "error")),
        "d2_absolute_error": _d2_absolute,
        "correlation": _correlation,
    },
}
