"""The rates that groups are compared by, and how far apart they are; those that fairlearn has are fairlearn's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from headrace.artifacts.fairness_found import RATES
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.wilson import effective_rows

# Why a group may not have a rate.
REASONS = {
    "tpr": "has no positive row",
    "fnr": "has no positive row",
    "fpr": "has no negative row",
    "precision": "has no row predicted positive",
}


def terms_of(scores: Scores) -> Floats:
    """(N, K) what is summed over the rows of a group; `rates` makes rates of the sums."""
    counts = scores.counts()
    if scores.kind == "regression":
        error = scores.predicted - scores.truth
        return np.column_stack([counts, counts * np.abs(error), counts * error, counts * scores.predicted])
    right = counts * (scores.truth == scores.predicted)
    if scores.kind == "multiclass":
        return np.column_stack([counts, right])
    actual, selected = scores.actual, scores.predicted == scores.positive
    columns = [counts, right, counts * actual, counts * selected, counts * (actual & selected), counts * scores.score]
    return np.column_stack(columns)


def rates(kind: str, sums: Floats) -> dict[str, Floats]:
    """Sums of `terms_of` (..., K) to rates (...); NaN where a group has no row that a rate is of."""
    parts = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "regression":
            rows, absolute, error, predicted = parts
            return {"mae": absolute / rows, "bias": error / rows, "mean_prediction": predicted / rows}
        if kind == "multiclass":
            rows, right = parts
            return {"accuracy": right / rows}
        rows, right, actual, selected, found, probability = parts
        tpr = found / actual
        return {
            "selection_rate": selected / rows,
            "tpr": tpr,
            "fpr": (selected - found) / (rows - actual),
            "fnr": 1 - tpr,
            "precision": found / selected,
            "accuracy": right / rows,
            "calibration": (probability - actual) / rows,
            "observed": actual / rows,
            "predicted": probability / rows,
        }


def rows_of(scores: Scores) -> dict[str, float]:
    """Rate that is a share of a group's rows -> how many equal rows it is a share of (`effective_rows`)."""
    every = np.ones(len(scores), bool)
    if scores.kind == "regression":
        return {}
    of = {"accuracy": every}
    if scores.kind == "binary":
        actual, selected = scores.actual, scores.predicted == scores.positive
        of |= {"selection_rate": every, "tpr": actual, "fnr": actual, "fpr": ~actual, "precision": selected}
    return {rate: effective_rows(scores, mask) for rate, mask in of.items()}


def spread_of(name: str, of_groups: Mapping[str, Floats]) -> Floats:
    """The parity of rates (..., groups), as `demographic_parity_difference`: (...)."""
    stem, kind = name.rsplit("_", 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "difference":
            gaps = [of_groups[rate].max(-1) - of_groups[rate].min(-1) for rate in RATES[stem]]
            return np.asarray(np.max(gaps, axis=0))
        ratios = [of_groups[rate].min(-1) / of_groups[rate].max(-1) for rate in RATES[stem]]
        return np.asarray(np.min(ratios, axis=0))


def rates_of(scores: Scores, member: Array) -> dict[str, Floats]:
    """Rate -> (groups,) its value in each; by fairlearn's MetricFrame where fairlearn has it.

    Args:
        scores: N rows of the groups.
        member: (N,) the group of each row, from 0.
    """
    from fairlearn import metrics as fl  # only where it is asked for: it takes pandas and a while to import

    if scores.kind == "binary":
        truth: Array = scores.actual.astype(int)
        predicted: Array = (scores.predicted == scores.positive).astype(int)
    else:
        truth, predicted = scores.truth, scores.predicted
    functions = _functions(scores.kind, fl)
    weights = {} if scores.weights is None else {"sample_weight": scores.weights}
    parameters = dict.fromkeys(functions, weights)
    frame = fl.MetricFrame(
        metrics=functions, y_true=truth, y_pred=predicted, sensitive_features=member, sample_params=parameters
    )
    sums = np.stack([terms_of(scores.take(member == code)).sum(axis=0) for code in np.unique(member)])
    found = rates(scores.kind, sums)
    # Where a group has no row that a rate is of, fairlearn puts 0: that would be an invention.
    theirs = {name: np.asarray(frame.by_group[name], dtype=np.float64) for name in functions}
    return found | {name: np.where(np.isnan(found[name]), np.nan, values) for name, values in theirs.items()}


def _functions(kind: str, fl: Any) -> dict[str, Callable[..., Any]]:
    from sklearn import metrics as sk

    if kind == "regression":
        return {"mae": sk.mean_absolute_error, "mean_prediction": fl.mean_prediction}
    if kind == "multiclass":
        return {"accuracy": sk.accuracy_score}
    return {
        "selection_rate": fl.selection_rate,
        "tpr": fl.true_positive_rate,
        "fpr": fl.false_positive_rate,
        "fnr": fl.false_negative_rate,
        "accuracy": sk.accuracy_score,
    }


def parities(
    values: Mapping[str, Floats], names: Sequence[str], wanted: Sequence[str]
) -> tuple[dict[str, float], dict[str, str]]:
    """Parity -> value, and parity -> why the groups do not define it.

    Args:
        values: rate -> (groups,).
        names: of the groups.
        wanted: the parities, as `artifacts.metrics.FAIRNESS` has them.
    """
    metrics: dict[str, float] = {}
    undefined: dict[str, str] = {}
    for name in wanted:
        lacking = [
            f"{names[place]} {REASONS.get(rate, 'has no such value')}"
            for rate in RATES[name.rsplit("_", 1)[0]]
            for place in np.flatnonzero(~np.isfinite(values[rate]))[:1]
        ]
        value = float(spread_of(name, values))
        if lacking:
            undefined[name] = lacking[0]
        elif np.isfinite(value):
            metrics[name] = value
        else:
            undefined[name] = "the rate is zero in each group"
    return metrics, undefined
