"""What an evaluation says of each class by itself, and of each threshold that might be chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ClassMetrics:
    """One class against all others: `precision`, `recall`, `f1` and `auc`, those of them that are defined."""

    name: str
    rows: int  # that are of the class
    predicted: int  # rows that are predicted to be
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)  # 95 %


@dataclass(frozen=True)
class Threshold:
    """What would be, if rows with at least this probability were predicted positive. None where there is no such row.

    The four counts are sums of the rows' weights where the evaluation weighs them.
    """

    threshold: float
    selected: float  # share of the rows that are predicted positive
    precision: float | None
    recall: float | None
    fpr: float | None
    f1: float | None
    true_positives: float
    false_positives: float
    true_negatives: float
    false_negatives: float
    chosen: bool = False  # it is the model's own


def class_metrics_from(value: Any) -> ClassMetrics:
    """One class as read from JSON."""
    bounds = {name: (float(low), float(high)) for name, (low, high) in value["intervals"].items()}
    return ClassMetrics(**{**value, "intervals": bounds})
