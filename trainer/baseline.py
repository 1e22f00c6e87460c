"""The baseline: what is known of the label without looking at a single feature. A model must beat it to be worth it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.artifacts.report import number
from headrace.trainer.loss import loss, metric_name
from headrace.trainer.model import Rows


@dataclass(frozen=True)
class Baseline:
    """The best constant answer: the classes' shares in train, of which the majority is the guess; or the mean.

    Attributes:
        answer: (classes,) or (1,).
        metric: `log_loss` or `rmse`.
        values: split -> metric of the answer.
    """

    answer: np.ndarray
    metric: str
    values: dict[str, float]

    def words(self, classes: Sequence[str]) -> str:
        """What it says, for people."""
        if not classes:
            return f"the mean of train, {number(float(self.answer[0]))}"
        most = int(np.argmax(self.answer))
        return f"the classes' shares in train, most of all {classes[most]} ({self.answer[most]:.1%})"

    def record(self, classes: Sequence[str]) -> dict[str, Any]:
        """For the lineage."""
        answer = [float(f"{value:.10g}") for value in self.answer]
        named: Any = dict(zip(classes, answer, strict=True)) if classes else answer[0]
        return {"answer": named, self.metric: {split: float(f"{value:.10g}") for split, value in self.values.items()}}


def baseline(train: Rows, evaluation: Rows, classes: int) -> Baseline:
    """Learns the constant from train, with its weights, and measures it."""
    if classes:
        sums = np.bincount(train.labels, train.weights, minlength=classes).astype(np.float64)
        answer = sums / sums.sum()
    else:
        answer = np.array([np.average(train.labels, weights=train.weights)])
    values = {
        split: loss(np.tile(answer, (len(rows.labels), 1)), rows.labels, rows.weights, classes)
        for split, rows in (("train", train), ("eval", evaluation))
    }
    return Baseline(answer, metric_name(classes), values)
