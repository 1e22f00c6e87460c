"""Which rows a metric rests on, and metrics that are a share of some rows: their bounds are exact, however few."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headrace.components.evaluate.scores import Floats, Scores
from headrace.components.gate.estimates import Unsure

LEAST = 5  # rows of each kind that a metric rests on: with fewer no bound that is not exact can be trusted

Mask = npt.NDArray[np.bool_]

_OF_RIGHT = {"recall": True, "fnr": True, "specificity": False, "fpr": False}  # whether of the positive rows
_BINARY = ("precision", "npv", *_OF_RIGHT)
_ANY = ("accuracy", "micro_f1", "weighted_recall")
_F = ("f1", "f2", "f0_5", "jaccard")
AREAS = ("auc", "gini", "auc_weighted", "auc_ovo")
_RANKED = (*AREAS, "pr_auc", "ks", "top_decile_lift", "top_decile_recall")
_AVERAGED = ("balanced_accuracy", "youden", "macro_recall", "macro_precision", "macro_f1", "macro_jaccard")
_EACH_CLASS = (*_RANKED, *_AVERAGED)
_EACH_PREDICTED = ("macro_precision", "weighted_precision")
_LEAST_COMMON = ("mcc", "kappa", "d2_log_loss", "d2_brier")
_SIGNED = ("gini", "mcc", "kappa", "youden")  # from -1 to 1
_LEVELS = ("log_loss", "brier", "ece", "d2_log_loss", "d2_brier", "top_decile_lift")  # how far off, not how often

SAME_ROWS = (*_ANY, *_OF_RIGHT)
DECIDED = (*_BINARY, *_ANY, *_F, *_AVERAGED, "mcc", "kappa", "weighted_precision", "weighted_f1")


class Share(NamedTuple):
    """k of n rows, both by weight where rows are weighted: then no whole numbers."""

    right: float
    rows: int


def kish(weights: Floats) -> float:
    """How many rows of equal weight tell as much (Kish 1965): (sum w)^2 / sum w^2."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def counted(scores: Scores, metric: str) -> Share | None:
    """How many count, of how many rows; None where the metric is no share.

    With weights it is of as many rows of equal weight as have the same error, at most those by Kish (Korn and
    Graubard 1998).
    """
    if (
        scores.task == "regression"
        or metric not in (*_ANY, *_BINARY)
        or (metric in _BINARY and scores.positive is None)
    ):
        return None
    of, hit = _rows(scores, metric)
    if scores.weights is None:
        return Share(int((of & hit).sum()), int(of.sum()))
    weights, hits = scores.weights[of], hit[of]
    share = float(np.average(hits, weights=weights))
    rows = kish(weights)
    apart = float((weights**2 * (hits - share) ** 2).sum()) / float(weights.sum()) ** 2
    if apart > 0:
        rows = min(rows, share * (1 - share) / apart)
    whole = max(int(rows + 1e-9), 1)
    return Share(share * whole, whole)


def hits(scores: Scores, metric: str) -> tuple[Mask, Mask]:
    """(rows that the metric of `SAME_ROWS` is a share of, whether each counts): the first by the truth alone."""
    return _rows(scores, metric)


def _rows(scores: Scores, metric: str) -> tuple[Mask, Mask]:
    if metric in _ANY:
        return np.ones(len(scores), bool), np.asarray(scores.predicted == scores.truth)
    actual, said = scores.actual, np.asarray(scores.predicted == scores.positive)
    return {
        "precision": (said, actual),
        "recall": (actual, said),
        "specificity": (~actual, ~said),
        "npv": (~said, ~actual),
        "fpr": (~actual, said),
        "fnr": (actual, ~said),
    }[metric]


def enough(scores: Scores, metric: str) -> float:
    """The effective rows of the smallest kind that a metric rests on, at least `LEAST`.

    Raises:
        Unsure: there are fewer.
    """
    least = np.inf
    for what, mask in _groups(scores, metric):
        rows = kish(scores.counts()[mask])
        if 0 < rows < LEAST - 1e-6:
            shown, weighed = f"{rows:.3g}", " by weight" if scores.weights is not None else ""
            noun = "row" if shown == "1" else "rows"
            raise Unsure(f"{what} has {shown} {noun}{weighed}, expected at least {LEAST} for {metric}")
        least = min(least, rows) if rows else least
    return float(least)


def _groups(scores: Scores, metric: str) -> list[tuple[str, Mask]]:
    """The rows that a metric divides by, or ranks against others: (what they are, which)."""
    everything = [("the sample", np.ones(len(scores), bool))]
    if scores.task == "regression":
        return everything
    truth, predicted, names = scores.truth, scores.predicted, scores.classes
    if metric in ("precision", "npv") and scores.positive is not None:
        code = scores.positive if metric == "precision" else 1 - scores.positive
        return [_predicted(names, code, predicted)]
    if metric in (*_OF_RIGHT, *_F) and scores.positive is not None:
        code = scores.positive if _OF_RIGHT.get(metric, True) else 1 - scores.positive
        return [_class(names, code, truth)]
    if metric in _LEAST_COMMON:
        commonest = int(np.bincount(truth, scores.counts(), len(names)).argmax())
        if len(names) == 2:
            return [_class(names, 1 - commonest, truth)]
        return [(f"all but class {names[commonest]}", np.asarray(truth != commonest))]
    found = [_class(names, code, truth) for code in range(len(names))] if metric in _EACH_CLASS else []
    if metric in _EACH_PREDICTED:
        found += [_predicted(names, code, predicted) for code in range(len(names))]
    return found or everything


def _class(names: tuple[str, ...], code: int, truth: npt.NDArray[Any]) -> tuple[str, Mask]:
    return f"class {names[code]}", np.asarray(truth == code)


def _predicted(names: tuple[str, ...], code: int, predicted: npt.NDArray[Any]) -> tuple[str, Mask]:
    return f"what is predicted {names[code]}", np.asarray(predicted == code)


def ends(scores: Scores, metric: str) -> tuple[float, float] | None:
    """(the metric where every row is wrong, where every one is right); None where it says how far rows are off."""
    if scores.task == "regression" or metric in _LEVELS:
        return None
    return (-1.0 if metric in _SIGNED else 0.0), 1.0
