"""Evaluates a model on one split of a dataset, and writes what it found for gates and for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.artifacts.absent import is_absent
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.evaluation import Evaluation, write_evaluation
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.report import write as write_report
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.bootstrap import intervals
from headrace.components.evaluate.curves import curves
from headrace.components.evaluate.fairness import fairness
from headrace.components.evaluate.importance import importance
from headrace.components.evaluate.measure import confusion, measure
from headrace.components.evaluate.page import evaluation_page
from headrace.components.evaluate.scores import Array, Scores, constant, score
from headrace.components.evaluate.slices import slices
from headrace.components.evaluate.spec import EvaluateSpec


@dataclass(frozen=True)
class Subject:
    """A model under evaluation: `predict` takes a table of raw features, N rows.

    It answers (N, C) probabilities in the order of the signature's classes, or (N, 1) values.
    """

    signature: Signature
    digest: str
    predict: Callable[[pa.Table], Array]

    @classmethod
    def of(cls, bundle: Bundle) -> Subject:
        """The model as it is served: the graph from raw features to outputs."""
        session, inputs = open_graph(bundle.model), bundle.signature.inputs
        return cls(bundle.signature, bundle.digest, lambda table: run_graph(session, table, inputs))


def evaluate(
    model: Path, dataset: Path, settings: EvaluateSpec, output: Path, report: Path, split: str = "test"
) -> Evaluation:
    """Evaluates a bundle; writes the evaluation's folder to `output` and its HTML report to `report`.

    Where `model` states that there is none (format "headrace/absent"), so does the evaluation.

    Raises:
        HeadraceError: model and dataset do not fit each other, or a slice's column is not there.
    """
    data = Dataset.open(dataset)
    if is_absent(model):
        info = data.info
        found = Evaluation(False, info.task, info.label, split, info.rows[split], data.digest)
    else:
        found = assess(Subject.of(Bundle.open(model)), data, settings, split)
    write_evaluation(output, found)
    write_report(report, evaluation_page(found))
    return found


def assess(subject: Subject, data: Dataset, settings: EvaluateSpec, split: str = "test") -> Evaluation:
    """Everything that is measured of a model on one split.

    Raises:
        HeadraceError: model and dataset do not fit each other, or a slice's column is not there.
    """
    table, info = data.table(split), data.info

    def scored(rows: pa.Table) -> Scores:
        return score(info, subject.signature, rows[info.label], subject.predict(rows))

    scores = scored(table)
    metrics, undefined = measure(scores)
    parts, unjudged = slices(scores, table, settings.slice_columns)
    positive = None if scores.positive is None else scores.classes[scores.positive]
    features = [item.name for item in subject.signature.inputs]
    return Evaluation(
        present=True,
        task=info.task,
        label=info.label,
        split=split,
        rows=len(scores),
        dataset_digest=data.digest,
        model_digest=subject.digest,
        classes=scores.classes,
        positive=positive,
        threshold=None if positive is None else scores.threshold,
        metrics=metrics,
        undefined=undefined,
        intervals=intervals(scores, settings.seed),
        baseline=_baseline(data, subject.signature, scores),
        confusion=confusion(scores),
        curves=curves(scores, settings.seed),
        slices=parts,
        unjudged=unjudged,
        fairness=fairness(scores, table, settings.fairness_columns),
        importance=importance(scored, table, features, settings.seed) if metrics else (),
    )


def _baseline(data: Dataset, signature: Signature, scores: Scores) -> dict[str, float]:
    """The metrics of a constant learned from the train split, on the rows of `scores`."""
    labels = data.table("train", [data.info.label])[data.info.label]
    width = len(signature.classes) or 1
    train = score(data.info, signature, labels, np.zeros((len(labels), width)))
    return measure(constant(train, scores))[0] if len(train) else {}
