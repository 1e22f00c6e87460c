"""An evaluation in KFP's own metric artifacts, which its console and Vertex's draw."""

from __future__ import annotations

from typing import Protocol

from headrace.artifacts.evaluation import Evaluation


class Metrics(Protocol):
    """What is used of `kfp.dsl.Metrics`."""

    def log_metric(self, metric: str, value: float) -> None:
        """Records a number."""


class Curves(Protocol):
    """What is used of `kfp.dsl.ClassificationMetrics`."""

    def log_roc_curve(self, fpr: list[float], tpr: list[float], threshold: list[float]) -> None:
        """Records a ROC curve."""

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Records a confusion matrix."""


def show(evaluation: Evaluation, metrics: Metrics, curves: Curves) -> None:
    """Fills KFP's metric artifacts. All numbers are finite, as the evaluation's are."""
    for name, value in evaluation.metrics.items():
        metrics.log_metric(name, value)
    roc = evaluation.curve("roc", evaluation.positive) if evaluation.positive else None
    if roc:
        fpr, tpr, thresholds = (list(column) for column in zip(*roc.points, strict=True))
        curves.log_roc_curve(fpr, tpr, thresholds)
    if evaluation.confusion:
        curves.log_confusion_matrix(list(evaluation.classes), [list(row) for row in evaluation.confusion])
