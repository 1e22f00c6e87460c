"""What is measured of a model, and which way is better: gates look it up here and never guess a direction."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"
_CLASSES = (BINARY, MULTICLASS)


def _fit(tasks: tuple[str, ...], task: str) -> bool:
    return task in tasks or (task == "classification" and bool(set(tasks) & set(_CLASSES)))


@dataclass(frozen=True)
class MetricInfo:
    """One metric. `higher_is_better` is None where nearer to zero is: such a metric has no direction."""

    name: str
    title: str
    higher_is_better: bool | None
    tasks: tuple[str, ...]  # of binary, multiclass, regression
    description: str
    group: str = ""  # what it judges, one of `GROUPS`, by which a page orders them
    peer: str = ""  # the function of scikit-learn that gives the same, where there is one

    def fits(self, task: str) -> bool:
        """Whether a task of the spec (`classification`, `regression`) can have it."""
        return _fit(self.tasks, task)


@dataclass(frozen=True)
class FairnessInfo:
    """One fairness metric over the groups of a column: a difference is fair at 0, a ratio at 1."""

    name: str
    title: str
    higher_is_better: bool
    description: str
    tasks: tuple[str, ...] = (BINARY,)

    def fits(self, task: str) -> bool:
        """Whether a task of the spec (`classification`, `regression`) can have it."""
        return _fit(self.tasks, task)


RANKING, PROBABILITIES, DECISIONS, ERRORS, FIT = "ranking", "probabilities", "decisions", "errors", "fit"
GROUPS: Mapping[str, str] = {
    RANKING: "How well rows are ranked, whatever the threshold",
    PROBABILITIES: "How true the probabilities are",
    DECISIONS: "How right the predicted classes are",
    ERRORS: "How far the predicted values are off",
    FIT: "How much of the label is explained",
}

_Row = tuple[str, str, bool | None, tuple[str, ...], str]
_B, _M, _R = (BINARY,), (MULTICLASS,), (REGRESSION,)
_TABLE: Mapping[str, tuple[_Row, ...]] = {
    RANKING: (
        ("auc", "ROC AUC", True, _CLASSES, "area under the ROC curve; several classes: mean of one-vs-rest"),
        ("pr_auc", "PR AUC", True, _B, "average precision of the positive class"),
        ("gini", "Gini", True, _B, "twice the ROC AUC less one: 0 is chance, 1 perfect"),
        ("ks", "KS", True, _B, "Kolmogorov-Smirnov: the largest gap of true and false positive rate"),
        (
            "top_decile_lift",
            "Top decile lift",
            True,
            _B,
            "positive rows in the tenth with the highest scores, as a multiple of chance",
        ),
        (
            "top_decile_recall",
            "Top decile recall",
            True,
            _B,
            "share of the positive rows in the tenth with the highest scores",
        ),
        ("auc_weighted", "ROC AUC, weighted", True, _M, "mean of one-vs-rest, weighted by the classes' rows"),
        ("auc_ovo", "ROC AUC, one-vs-one", True, _M, "mean over all pairs of classes (Hand and Till 2001)"),
        ("top_2_accuracy", "Top 2 accuracy", True, _M, "share of rows whose class is among the two likeliest"),
        ("top_3_accuracy", "Top 3 accuracy", True, _M, "share of rows whose class is among the three likeliest"),
        ("top_5_accuracy", "Top 5 accuracy", True, _M, "share of rows whose class is among the five likeliest"),
    ),
    PROBABILITIES: (
        ("log_loss", "Log loss", False, _CLASSES, "mean negative log-likelihood, in nats"),
        (
            "brier",
            "Brier score",
            False,
            _CLASSES,
            "mean squared error of the positive probability; several classes: summed",
        ),
        (
            "ece",
            "Calibration error",
            False,
            _CLASSES,
            "gap of mean probability and observed share, in ten bins of equal width",
        ),
        ("d2_log_loss", "D² log loss", True, _CLASSES, "share of the log loss of the classes' shares that is spared"),
        ("d2_brier", "D² Brier", True, _CLASSES, "share of the Brier score of the classes' shares that is spared"),
    ),
    DECISIONS: (
        ("accuracy", "Accuracy", True, _CLASSES, "share of rows whose predicted class is right"),
        ("balanced_accuracy", "Balanced accuracy", True, _CLASSES, "mean recall over the classes"),
        ("precision", "Precision", True, _B, "share of true ones among the rows predicted positive"),
        ("recall", "Recall", True, _B, "share of the positive rows that are predicted positive"),
        ("specificity", "Specificity", True, _B, "share of the negative rows that are predicted negative"),
        ("npv", "NPV", True, _B, "share of true ones among the rows predicted negative"),
        ("fpr", "False positive rate", False, _B, "share of the negative rows that are predicted positive"),
        ("fnr", "False negative rate", False, _B, "share of the positive rows that are predicted negative"),
        ("f1", "F1", True, _B, "harmonic mean of precision and recall"),
        ("f2", "F2", True, _B, "F1 where recall counts twice as much as precision"),
        ("f0_5", "F0.5", True, _B, "F1 where precision counts twice as much as recall"),
        ("jaccard", "Jaccard", True, _B, "rows rightly predicted positive, of those positive or predicted so"),
        ("youden", "Youden's J", True, _B, "recall plus specificity less one"),
        ("mcc", "MCC", True, _CLASSES, "Matthews correlation coefficient, from -1 to 1"),
        ("kappa", "Cohen's kappa", True, _CLASSES, "agreement beyond chance, from -1 to 1"),
        ("macro_precision", "Macro precision", True, _M, "mean precision over the classes"),
        ("macro_recall", "Macro recall", True, _M, "mean recall over the classes in truth or predictions"),
        ("macro_f1", "Macro F1", True, _M, "mean F1 over the classes"),
        ("micro_f1", "Micro F1", True, _M, "F1 of all classes' counts together, which is the accuracy"),
        ("weighted_precision", "Weighted precision", True, _M, "mean precision over the classes, weighted by rows"),
        ("weighted_recall", "Weighted recall", True, _M, "mean recall, weighted by rows, which is the accuracy"),
        ("weighted_f1", "Weighted F1", True, _M, "mean F1 over the classes, weighted by rows"),
        ("macro_jaccard", "Macro Jaccard", True, _M, "mean Jaccard index over the classes"),
    ),
    ERRORS: (
        ("rmse", "RMSE", False, _R, "root of the mean squared error, in the label's unit"),
        ("mse", "MSE", False, _R, "mean squared error"),
        ("mae", "MAE", False, _R, "mean absolute error, in the label's unit"),
        ("median_absolute_error", "Median error", False, _R, "median of the absolute errors"),
        ("max_error", "Largest error", False, _R, "the largest absolute error of all rows"),
        ("mape", "MAPE", False, _R, "mean absolute error relative to the actual value"),
        ("smape", "sMAPE", False, _R, "mean absolute error relative to the mean size of actual and predicted"),
        ("wape", "WAPE", False, _R, "sum of absolute errors relative to the sum of actual sizes"),
        ("rmsle", "RMSLE", False, _R, "root of the mean squared error of log(1 + value)"),
        ("pinball_10", "Pinball loss, 10 %", False, _R, "loss of the prediction as the 10 % quantile"),
        ("pinball_90", "Pinball loss, 90 %", False, _R, "loss of the prediction as the 90 % quantile"),
        ("poisson_deviance", "Poisson deviance", False, _R, "mean deviance of counts from the predicted rates"),
        ("gamma_deviance", "Gamma deviance", False, _R, "mean deviance of positive values, by relative error"),
        ("bias", "Bias", None, _R, "mean of predicted minus actual; nearer to zero is better"),
    ),
    FIT: (
        ("r2", "R²", True, _R, "share of the variance that is explained; at most 1"),
        ("explained_variance", "Explained variance", True, _R, "R² as if the bias were taken off"),
        ("d2_absolute_error", "D² absolute error", True, _R, "share of the median's absolute error that is spared"),
        ("correlation", "Correlation", True, _R, "Pearson's, of predicted and actual values"),
    ),
}
_PEERS = {  # the functions of scikit-learn that give the same
    "auc": "roc_auc_score",
    "pr_auc": "average_precision_score",
    "auc_weighted": "roc_auc_score",
    "auc_ovo": "roc_auc_score",
    "top_2_accuracy": "top_k_accuracy_score",
    "top_3_accuracy": "top_k_accuracy_score",
    "top_5_accuracy": "top_k_accuracy_score",
    "log_loss": "log_loss",
    "brier": "brier_score_loss",
    "d2_log_loss": "d2_log_loss_score",
    "d2_brier": "d2_brier_score",
    "accuracy": "accuracy_score",
    "balanced_accuracy": "balanced_accuracy_score",
    "precision": "precision_score",
    "recall": "recall_score",
    "specificity": "recall_score",
    "npv": "precision_score",
    "f1": "f1_score",
    "f2": "fbeta_score",
    "f0_5": "fbeta_score",
    "jaccard": "jaccard_score",
    "mcc": "matthews_corrcoef",
    "kappa": "cohen_kappa_score",
    "macro_precision": "precision_score",
    "macro_recall": "recall_score",
    "macro_f1": "f1_score",
    "micro_f1": "f1_score",
    "weighted_precision": "precision_score",
    "weighted_recall": "recall_score",
    "weighted_f1": "f1_score",
    "macro_jaccard": "jaccard_score",
    "rmse": "root_mean_squared_error",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "median_absolute_error": "median_absolute_error",
    "max_error": "max_error",
    "mape": "mean_absolute_percentage_error",
    "rmsle": "root_mean_squared_log_error",
    "pinball_10": "mean_pinball_loss",
    "pinball_90": "mean_pinball_loss",
    "poisson_deviance": "mean_poisson_deviance",
    "gamma_deviance": "mean_gamma_deviance",
    "r2": "r2_score",
    "explained_variance": "explained_variance_score",
    "d2_absolute_error": "d2_absolute_error_score",
}
METRICS: Mapping[str, MetricInfo] = {
    row[0]: MetricInfo(*row, group, _PEERS.get(row[0], "")) for group, rows in _TABLE.items() for row in rows
}

_FIRST: Mapping[str, tuple[str, ...]] = {
    BINARY: ("auc", "pr_auc", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1", "mcc"),
    MULTICLASS: ("auc", "log_loss", "ece", "accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc"),
    REGRESSION: ("rmse", "mae", "median_absolute_error", "mape", "r2", "bias"),
}


def title_of(name: str) -> str:
    """A metric's name for people; one that is not known, such as a user's own, as it is."""
    return METRICS[name].title if name in METRICS else name


def most_read(task: str) -> tuple[str, ...]:
    """The metrics of a task of the spec that are asked for most."""
    kinds = (REGRESSION,) if task == REGRESSION else _CLASSES
    return tuple(dict.fromkeys(name for kind in kinds for name in _FIRST[kind]))


def first_metrics(kind: str, measured: Iterable[str]) -> list[str]:
    """Of what was measured, what is read first; a table behind it has all.

    >>> first_metrics("regression", ["mse", "rmse", "r2"])
    ['rmse', 'r2']
    """
    known = list(measured)
    return [name for name in _FIRST[kind] if name in known] or known[:8]


_BOTH = ("difference", "ratio")
_PARITIES: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("demographic_parity", "Demographic parity", "the shares predicted positive", (BINARY,), _BOTH),
    ("equal_opportunity", "Equal opportunity", "the true positive rates", (BINARY,), _BOTH),
    (
        "equalized_odds",
        "Equalized odds",
        "the true or false positive rates, whichever are less equal",
        (BINARY,),
        _BOTH,
    ),
    ("false_positive_rate", "False positive rate", "the false positive rates", (BINARY,), _BOTH),
    ("false_negative_rate", "False negative rate", "the false negative rates", (BINARY,), _BOTH),
    ("predictive_parity", "Predictive parity", "the precisions", (BINARY,), _BOTH),
    (
        "calibration",
        "Calibration",
        "what mean probability exceeds the observed share by",
        (BINARY,),
        ("difference",),
    ),
    ("accuracy", "Accuracy", "the accuracies", _CLASSES, _BOTH),
    ("mae", "MAE", "the mean absolute errors", (REGRESSION,), _BOTH),
    ("bias", "Bias", "the mean errors, predicted minus actual", (REGRESSION,), ("difference",)),
    ("mean_prediction", "Mean prediction", "the mean predictions", (REGRESSION,), ("difference",)),
)
_SPREADS = {"difference": "largest difference", "ratio": "smallest ratio"}
FAIRNESS: Mapping[str, FairnessInfo] = {
    f"{stem}_{spread}": FairnessInfo(
        f"{stem}_{spread}", f"{title} {spread}", spread == "ratio", f"{_SPREADS[spread]} of {what}", tasks
    )
    for stem, title, what, tasks, spreads in _PARITIES
    for spread in spreads
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
