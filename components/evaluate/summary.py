"""An evaluation from scores: what is the same whether the rows are of a table or pictures."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.bootstrap import intervals
from headrace.components.evaluate.curves import curves
from headrace.components.evaluate.fairness import fairness
from headrace.components.evaluate.importance import Measured
from headrace.components.evaluate.measure import confusion, measure
from headrace.components.evaluate.scores import Scores, constant, score
from headrace.components.evaluate.slices import slices
from headrace.components.evaluate.spec import EvaluateSpec


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
    parts, unjudged = slices(scores, table, settings.slice_columns)
    positive = None if scores.positive is None else scores.classes[scores.positive]
    shuffled = shuffled or Measured((), 0, 0)
    return Evaluation(
        present=True,
        task=data.info.task,
        label=data.info.label,
        split=split,
        rows=len(scores),
        dataset_digest=data.digest,
        model_digest=model.digest,
        classes=scores.classes,
        positive=positive,
        threshold=None if positive is None else scores.threshold,
        metrics=measured.metrics,
        undefined=measured.undefined,
        intervals=intervals(scores, settings.seed),
        baseline=_baseline(data, model.signature, scores),
        confusion=confusion(scores),
        curves=curves(scores, settings.seed),
        slices=parts,
        unjudged=unjudged,
        fairness=fairness(scores, table, settings.fairness_columns),
        importance=shuffled.found,
        importance_rows=shuffled.rows,
        importance_skipped=shuffled.skipped,
    )


def _baseline(data: Dataset, signature: Signature, scores: Scores) -> dict[str, float]:
    """The metrics of a constant learned from the train split, on the rows of `scores`."""
    labels = data.table("train", [data.info.label])[data.info.label]
    width = len(signature.classes) or 1
    train = score(data.info, signature, labels, np.zeros((len(labels), width)))
    return measure(constant(train, scores))[0] if len(train) else {}
