"""What an evaluation found of how equally groups of rows are treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.limits import limit

SMALLEST_GROUP = 20  # rows; of fewer a rate is mostly chance


@dataclass(frozen=True)
class Group:
    """One group of a fairness column.

    Attributes:
        value: what its rows have in common.
        rows: how many they are.
        selection_rate: the share that is predicted positive; None where there are not two classes.
        tpr, fpr: of its positive and of its negative rows; None where it has none.
        positives: how many of its rows are truly positive.
        metrics: the metrics of the task on its rows alone; of two classes also `observed` and `predicted`, the share of
            positives and the mean probability.
        undefined: metric -> why these rows do not define it.
        intervals: 95 %, of the rates and metrics above.
        calibration: (mean predicted, observed share, rows) of each bin of probability that has rows.
    """

    value: str
    rows: int
    selection_rate: float | None
    tpr: float | None
    fpr: float | None
    positives: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    calibration: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Fairness:
    """How equally the groups of `by`, a column or several of them, are treated.

    Attributes:
        by: the column's name, or several as `artifacts.by.by_name` writes them.
        groups: those that are compared, the largest first.
        metrics: fairness metric -> its value.
        undefined: fairness metric -> why it could not be measured.
        small_groups: the names of groups of fewer than `least_rows` rows, which are not compared.
        least_rows: how many would have been enough.
        intervals: 95 %, fairness metric -> (low, high).
        limits: fairness metric -> one-sided limits (`artifacts.limits`).
        small_rows: how many rows the small groups have in all.
    """

    by: str
    groups: tuple[Group, ...]
    metrics: dict[str, float]
    undefined: dict[str, str] = field(default_factory=dict)
    small_groups: tuple[str, ...] = ()
    least_rows: int = SMALLEST_GROUP
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    limits: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    small_rows: int = 0

    def limit(self, metric: str, confidence: float, upper: bool) -> float | None:
        """A one-sided limit of a fairness metric; None where there is none of such confidence."""
        return limit(self.limits.get(metric, {}), confidence, upper)


def fairness_from(value: Mapping[str, Any]) -> Fairness:
    """Builds it from its JSON object.

    Raises:
        TypeError, KeyError, ValueError: it is none.
    """
    limits = {name: _pairs(found) for name, found in value.get("limits", {}).items()}
    return Fairness(
        **{
            **value,
            "groups": tuple(_group(group) for group in value["groups"]),
            "small_groups": tuple(value["small_groups"]),
            "intervals": _pairs(value.get("intervals", {})),
            "limits": limits,
        }
    )


def _group(value: Mapping[str, Any]) -> Group:
    calibration = tuple((float(p), float(o), float(rows)) for p, o, rows in value.get("calibration", ()))
    return Group(**{**value, "intervals": _pairs(value.get("intervals", {})), "calibration": calibration})


def _pairs(value: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (float(low), float(high)) for name, (low, high) in value.items()}
