"""What an evaluation found of how equally groups of rows are treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.limits import limit

SMALLEST_GROUP = 20  # rows; of fewer a rate is mostly chance
# Which rates a parity is of. Of two, the one that is less equal counts, as in fairlearn's equalized odds.
RATES: Mapping[str, tuple[str, ...]] = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("tpr",),
    "equalized_odds": ("tpr", "fpr"),
    "false_positive_rate": ("fpr",),
    "false_negative_rate": ("fnr",),
    "predictive_parity": ("precision",),
    "calibration": ("calibration",),
    "accuracy": ("accuracy",),
    "mae": ("mae",),
    "bias": ("bias",),
    "mean_prediction": ("mean_prediction",),
}


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

    def rate(self, name: str) -> float | None:
        """What a parity compares; `calibration` is by how much the mean probability exceeds the observed share."""
        if name == "calibration":
            predicted, observed = self.metrics.get("predicted"), self.metrics.get("observed")
            return None if predicted is None or observed is None else predicted - observed
        kept = {"selection_rate": self.selection_rate, "tpr": self.tpr, "fpr": self.fpr}
        return kept[name] if kept.get(name) is not None else self.metrics.get(name)


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

    def furthest(self, metric: str) -> tuple[str, tuple[float, str], tuple[float, str]] | None:
        """The rate in which groups are furthest apart, with its least and its greatest and whose they are."""
        ends = []
        for name in RATES.get(metric.rsplit("_", 1)[0], ()):
            known = [(rate, group.value) for group in self.groups if (rate := group.rate(name)) is not None]
            if len(known) > 1:
                ends.append((name, min(known), max(known)))
        return max(ends, key=lambda end: end[2][0] - end[1][0], default=None)

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
