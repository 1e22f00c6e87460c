"""An evaluation from scores: what is the same whether the rows are of a table or pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.measured import ClassMetrics, Threshold
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.bootstrap import class_intervals, intervals
from headrace.components.evaluate.curves import curves
from headrace.components.evaluate.fairness import fairness
from headrace.components.evaluate.importance import Measured
from headrace.components.evaluate.measure import confusion, measure, of_classes
from headrace.components.evaluate.ranking import levels
from headrace.components.evaluate.scores import Scores, constant, score
from headrace.components.evaluate.slices import slices
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.thresholds import threshold_table
from headrace.components.evaluate.weights import row_weights


class Judged(Protocol):
    """What an evaluation says of the model itself."""

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""

    @property
    def digest(self) -> str:
        """The model's identity."""


class Measurement(NamedTuple):
    """Scores with their metrics (see `measure`), and the columns of the same rows to divide them by."""

    scores: Scores
    metrics: dict[str, float]
    undefined: dict[str, str]
    table: pa.Table


def summary(
    measured: Measurement,
    data: Dataset,
    model: Judged,
    settings: EvaluateSpec,
    split: str,
    shuffled: Measured | None = None,
) -> Evaluation:
    """Everything that follows from the scores.

    Raises:
        HeadraceError: a slice's column is not there.
    """
    scores, table = measured.scores, measured.table
    parts, unjudged = slices(scores, table, settings.slice_columns, settings.seed)
    positive = None if scores.positive is None else scores.classes[scores.positive]
    shuffled = shuffled or Measured((), 0, 0)
    return Evaluation(
        present=True,
        task=data.info.task,
        label=data.info.label,
        split=split,
        rows=len(scores),
        dataset_digest=data.digest,
        part_of=str(data.info.query.get("segment", {}).get("of", "")),
        segment=str(data.info.query.get("segment", {}).get("value", "")),
        model_digest=model.digest,
        classes=scores.classes,
        positive=positive,
        threshold=None if positive is None else scores.threshold,
        metrics=measured.metrics,
        undefined=measured.undefined,
        intervals=intervals(scores, settings.seed),
        weight=settings.weight or "",
        per_class=_per_class(scores, settings.seed),
        thresholds=_thresholds(scores),
        baseline=_baseline(of_train(data, model.signature, settings.weight), scores),
        confusion=confusion(scores),
        curves=curves(scores, settings.seed),
        slices=parts,
        unjudged=unjudged,
        fairness=fairness(scores, table, settings.fairness_columns, settings.least_rows_of_groups, settings.seed),
        importance=shuffled.found,
        importance_rows=shuffled.rows,
        importance_skipped=shuffled.skipped,
    )


def _per_class(scores: Scores, seed: int) -> tuple[ClassMetrics, ...]:
    bounds = class_intervals(scores, seed)
    return tuple(
        replace(one, intervals={name: ends for name, ends in around.items() if name in one.metrics})
        for one, around in zip(of_classes(scores), bounds, strict=False)
    )


def _thresholds(scores: Scores) -> tuple[Threshold, ...]:
    if scores.flaw() or scores.positive is None:
        return ()
    return threshold_table(levels(scores.score, scores.actual, scores.counts()[None, :]), scores.threshold)


def of_train(data: Dataset, signature: Signature, weight: str | None) -> Scores:
    """The labels of the train split, with the rows' weights, as scores of a model that says nothing."""
    label = data.info.label
    table = data.table("train", [label, *([weight] if weight and weight != label else [])])
    width = len(signature.classes) or 1
    train = score(data.info, signature, table[label], np.zeros((table.num_rows, width)))
    return replace(train, weights=row_weights(table, weight))


def _baseline(train: Scores, scores: Scores) -> dict[str, float]:
    """The metrics of a constant learned from the train split, on the rows of `scores`."""
    return measure(constant(train, scores))[0] if train.counts().any() else {}
