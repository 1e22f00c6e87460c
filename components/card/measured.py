"""What an evaluation says, as lines of a model card: the metrics of all rows, and of each slice, the worst first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from headrace.artifacts.card import Measured
from headrace.artifacts.evaluation import Evaluation, Slice
from headrace.artifacts.metrics import METRICS

_MAIN = {"regression": ("rmse", "mae"), "classification": ("auc", "log_loss", "accuracy")}

Interval = tuple[float, float]


def main_metric(found: Evaluation) -> str | None:
    """The metric that a model of this task is mostly judged by, of those that were measured."""
    return next((name for name in _MAIN[found.task] if name in found.metrics), None)


def performance(found: Evaluation, champion: Evaluation | None = None) -> tuple[Measured, ...]:
    """All that was measured: of all rows first, the main metric before the others; then slice by slice."""
    theirs = champion.metrics if champion is not None and _same_rows(found, champion) else {}
    whole = [
        replace(
            _measured(name, found.metrics, found.intervals),
            constant=found.baseline.get(name),
            champion=theirs.get(name),
        )
        for name in _ordered(found, found.metrics)
    ]
    parts = [item for part in worst_first(found) for item in _of_slice(found, part)]
    return (*whole, *parts)


def worst_first(found: Evaluation) -> list[Slice]:
    """The slices, those on which the model does worst first; those without the main metric before all others."""
    return sorted(found.slices, key=lambda part: gap(found, part))


def gap(found: Evaluation, part: Slice) -> float:
    """By how much the main metric is better than on all rows: below 0 where worse, minus infinity where unknown."""
    main = main_metric(found)
    if main is None or main not in part.metrics:
        return -math.inf
    difference = part.metrics[main] - found.metrics[main]
    return difference if METRICS[main].higher_is_better else -difference


def surely_worse(found: Evaluation, part: Slice) -> bool:
    """Whether a slice is worse than all rows by more than its number of rows explains.

    Its own interval decides where it was measured; else that of all rows, widened by the square root of their ratio.
    """
    main, worse_by = main_metric(found), -gap(found, part)
    if main is None or not 0 < worse_by < math.inf:
        return False
    own = part.intervals.get(main)
    if own is not None:
        return not own[0] <= found.metrics[main] <= own[1]
    if main not in found.intervals:
        return False
    low, high = found.intervals[main]
    return worse_by > (high - low) / 2 * math.sqrt(found.rows / part.rows)


def slice_name(part: Slice) -> str:
    """A slice in words: `plan = basic`."""
    return f"{part.by} = {part.value}"


def _of_slice(found: Evaluation, part: Slice) -> list[Measured]:
    return [
        replace(_measured(name, part.metrics, part.intervals), slice=slice_name(part), rows=part.rows)
        for name in _ordered(found, part.metrics)
    ]


def _measured(name: str, metrics: Mapping[str, float], intervals: Mapping[str, Interval]) -> Measured:
    low, high = intervals.get(name, (None, None))
    return Measured(name, metrics[name], low, high)


def _ordered(found: Evaluation, metrics: Mapping[str, float]) -> list[str]:
    main = main_metric(found)
    return sorted(metrics, key=lambda name: name != main)


def _same_rows(found: Evaluation, champion: Evaluation) -> bool:
    """Whether the champion is another model, measured on the very rows: only then can the values be compared."""
    rows = (found.dataset_digest, found.split, found.rows)
    theirs = (champion.dataset_digest, champion.split, champion.rows)
    return champion.present and rows == theirs and champion.model_digest != found.model_digest
