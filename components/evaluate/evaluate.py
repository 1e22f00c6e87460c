"""Evaluates a model on one split of a dataset, and writes what it found for gates and for people."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.artifacts.absent import is_absent
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.evaluation import Evaluation, write_evaluation
from headrace.artifacts.raw_inputs import open_graph, raw_inputs, run_graph
from headrace.artifacts.report import write as write_report
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.images.assess import assess_images
from headrace.components.evaluate.images.network import Network
from headrace.components.evaluate.importance import (
    Measured,
    Shuffled,
    by_columns,
    by_tensors,
    importance,
    training_gain,
)
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.misfit import misfit
from headrace.components.evaluate.page import evaluation_page
from headrace.components.evaluate.scores import Array, Scores, score
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.summary import Measurement, summary


@dataclass(frozen=True)
class Subject:
    """A model under evaluation: `predict` takes a table of raw features, N rows.

    It answers (N, C) probabilities in the order of the signature's classes, or (N, 1) values. `prepare` is the
    same for one table with a feature shuffled, again and again; `gain` is what the features gained in training.
    """

    signature: Signature
    digest: str
    predict: Callable[[pa.Table], Array]
    prepare: Callable[[pa.Table], Shuffled] | None = None
    gain: Mapping[str, float] | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> Subject:
        """The model as it is served: the graph from raw features to outputs."""
        session, inputs = open_graph(bundle.model), bundle.signature.inputs

        def run(tensors: Mapping[str, Array]) -> Array:
            return np.asarray(session.run(None, dict(tensors))[0])

        return cls(
            bundle.signature,
            bundle.digest,
            predict=lambda table: run_graph(session, table, inputs),
            prepare=lambda table: by_tensors(run, raw_inputs(table, inputs)),
            gain=training_gain(bundle),
        )


def evaluate(
    model: Path,
    dataset: Path,
    settings: EvaluateSpec,
    output: Path,
    report: Path,
    split: str = "test",
) -> Evaluation:
    """Evaluates a bundle; writes the evaluation's folder to `output` and its HTML report to `report`.

    Where `model` states that there is none (format "headrace/absent"), so does the evaluation. Where the model does
    not fit the dataset, as a champion of earlier data may not, the evaluation says why, and no gate passes a
    candidate on it. What the model is to the run is no input here, so that a champion which is the candidate's
    own bundle is answered from the cache.

    Raises:
        HeadraceError: a slice's column is not there.
    """
    data, seen = Dataset.open(dataset), None
    if is_absent(model):
        found = _nothing(data, split)
    else:
        bundle = Bundle.open(model)
        unfit = misfit(bundle.signature, data.info)
        if unfit:
            print(f"the model cannot be judged on this data: {unfit}")
            found = replace(_nothing(data, split), present=True, model_digest=bundle.digest, unfit=unfit)
        elif bundle.signature.image:
            found, seen = assess_images(Network.of(bundle), data, settings, split)
        else:
            found = assess(Subject.of(bundle), data, settings, split)
    write_evaluation(output, found, seen.found if seen else None)
    write_report(report, evaluation_page(found, seen))
    return found


def _nothing(data: Dataset, split: str) -> Evaluation:
    info = data.info
    return Evaluation(False, info.task, info.label, split, info.rows[split], data.digest)


def assess(subject: Subject, data: Dataset, settings: EvaluateSpec, split: str = "test") -> Evaluation:
    """Everything that is measured of a model on one split.

    Raises:
        HeadraceError: model and dataset do not fit each other, or a slice's column is not there.
    """
    table, info = data.table(split), data.info

    def scored(rows: pa.Table, outputs: Array) -> Scores:
        return score(info, subject.signature, rows[info.label], outputs)

    scores = scored(table, subject.predict(table))
    measured = measure(scores)
    shuffled = _importance(subject, scored, table, settings.seed) if measured[0] else None
    return summary(Measurement(scores, *measured, table), data, subject, settings, split, shuffled)


def _importance(subject: Subject, scored: Callable[[pa.Table, Array], Scores], table: pa.Table, seed: int) -> Measured:
    features = [item.name for item in subject.signature.inputs]
    prepare = subject.prepare or functools.partial(by_columns, subject.predict)
    return importance(prepare, scored, table, features, seed, subject.gain)
