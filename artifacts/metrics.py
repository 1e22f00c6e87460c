"""What is measured of a model, and which way is better: gates look it up here and never guess a direction."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"
_CLASSES = (BINARY, MULTICLASS)


@dataclass(frozen=True)
class MetricInfo:
    """One metric. `higher_is_better` is None where nearer to zero is: such a metric has no direction."""

    name: str
    title: str
    higher_is_better: bool | None
    tasks: tuple[str, ...]  # of binary, multiclass, regression
    description: str

    def fits(self, task: str) -> bool:
        """Whether a task of the spec (`classification`, `regression`) can have it."""
        return task in self.tasks or (task == "classification" and bool(set(self.tasks) & set(_CLASSES)))


@dataclass(frozen=True)
class FairnessInfo:
    """One fairness metric over the groups of a column: a difference is fair at 0, a ratio at 1."""

    name: str
    title: str
    higher_is_better: bool
    description: str


_TABLE: tuple[tuple[str, str, bool | None, tuple[str, ...], str], ...] = (
    ("auc", "ROC AUC", True, _CLASSES, "area under the ROC curve; several classes: mean of one-vs-rest"),
    ("pr_auc", "PR AUC", True, (BINARY,), "average precision of the positive class"),
    ("log_loss", "Log loss", False, _CLASSES, "mean negative log-likelihood, in nats"),
    ("brier", "Brier score", False, (BINARY,), "mean squared error of the positive probability"),
    ("ece", "Calibration error", False, (BINARY,), "expected calibration error, ten bins of equal width"),
    ("accuracy", "Accuracy", True, _CLASSES, "share of rows whose predicted class is right"),
    ("balanced_accuracy", "Balanced accuracy", True, _CLASSES, "mean recall over the classes"),
    ("precision", "Precision", True, (BINARY,), "share of true ones among the rows predicted positive"),
    ("recall", "Recall", True, (BINARY,), "share of the positive rows that are predicted positive"),
    ("f1", "F1", True, (BINARY,), "harmonic mean of precision and recall"),
    ("mcc", "MCC", True, _CLASSES, "Matthews correlation coefficient, from -1 to 1"),
    ("macro_f1", "Macro F1", True, (MULTICLASS,), "mean F1 over the classes"),
    ("weighted_f1", "Weighted F1", True, (MULTICLASS,), "mean F1 over the classes, weighted by rows"),
    ("rmse", "RMSE", False, (REGRESSION,), "root of the mean squared error, in the label's unit"),
    ("mae", "MAE", False, (REGRESSION,), "mean absolute error, in the label's unit"),
    ("median_absolute_error", "Median error", False, (REGRESSION,), "median of the absolute errors"),
    ("mape", "MAPE", False, (REGRESSION,), "mean absolute error relative to the actual value"),
    ("r2", "R²", True, (REGRESSION,), "share of the variance that is explained; at most 1"),
    ("bias", "Bias", None, (REGRESSION,), "mean of predicted minus actual; nearer to zero is better"),
)
METRICS: Mapping[str, MetricInfo] = {row[0]: MetricInfo(*row) for row in _TABLE}

_PARITIES = (
    ("demographic_parity", "Demographic parity", "the shares predicted positive"),
    ("equal_opportunity", "Equal opportunity", "the true positive rates"),
    ("equalized_odds", "Equalized odds", "the true or false positive rates, whichever are less equal"),
)
FAIRNESS: Mapping[str, FairnessInfo] = {
    f"{stem}_{kind}": FairnessInfo(f"{stem}_{kind}", f"{title} {kind}", kind == "ratio", f"{how} of {what}")
    for stem, title, what in _PARITIES
    for kind, how in (("difference", "largest difference"), ("ratio", "smallest ratio"))
}


def kind_of(task: str, classes: int) -> str:
    """`binary`, `multiclass` or `regression`."""
    if task == REGRESSION:
        return REGRESSION
    return BINARY if classes == 2 else MULTICLASS


def unknown(name: str, known: Mapping[str, object], what: str) -> str:
    """The message for a name that is not known, with the nearest that is.

    >>> unknown("acuracy", METRICS, "metric")
    'expected a known metric. Received: acuracy; did you mean `accuracy`?'
    """
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
    return f"expected a known {what}. Received: {name}; {hint}"
