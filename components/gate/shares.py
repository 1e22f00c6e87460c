"""Metrics that are a share of some rows, k of n: their bounds are exact, however few the rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.components.evaluate.scores import Scores

_BINARY = ("precision", "recall", "specificity", "npv", "fpr", "fnr")
_ANY = ("accuracy", "micro_f1", "weighted_recall")


def counted(scores: Scores, metric: str) -> tuple[int, int] | None:
    """(how many count, of how many rows); None where the metric is no share, or rows are weighted."""
    if scores.task == "regression" or scores.weights is not None:
        return None
    if metric in _ANY:
        return int((scores.predicted == scores.truth).sum()), len(scores)
    if metric not in _BINARY or scores.positive is None:
        return None
    actual, said = scores.actual, scores.predicted == scores.positive
    of, count = _rows(metric, actual, said)
    return int((of & count).sum()), int(of.sum())


def _rows(
    metric: str, actual: npt.NDArray[np.bool_], said: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return {
        "precision": (said, actual),
        "recall": (actual, said),
        "specificity": (~actual, ~said),
        "npv": (~said, ~actual),
        "fpr": (~actual, said),
        "fnr": (actual, ~said),
    }[metric]
