"""Evaluates a model on one split of a dataset, and writes what it found for gates and for people."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from headrace.artifacts.absent import is_absent
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.evaluation import Evaluation, write_evaluation
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.report import write as write_report
from headrace.artifacts.scores import ScoresTable
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.images.assess import assess_images
from headrace.components.evaluate.images.network import Network
from headrace.components.evaluate.importance import (
    Measured,
    Shuffled,
    by_cells,
    by_columns,
    importance,
    training_gain,
)
from headrace.components.evaluate.large import is_large, score_large, some_rows
from headrace.components.evaluate.looks import look_closer
from headrace.components.evaluate.matrix_model import MatrixModel
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.misfit import misfit
from headrace.components.evaluate.page import evaluation_page
from headrace.components.evaluate.rows import Keep, per_row
from headrace.components.evaluate.scores import Array, Scores, score
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.summary import Measurement, of_train, summary
from headrace.components.evaluate.tfma import FOLDER as TFMA
from headrace.components.evaluate.tfma import write_tfma
from headrace.components.evaluate.value import CHOOSE, valued
from headrace.components.evaluate.weights import row_weights
from headrace.components.evaluate.whole import flaw_of, of_all_rows


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
    matrix: MatrixModel | None = None  # the same model as a function of cells; without, nothing is explained
    source: Path | None = None  # the bundle's folder, which Beam's workers get a copy of

    @classmethod
    def of(cls, bundle: Bundle) -> Subject:
        """The model as it is served: the graph from raw features to outputs."""
        session, inputs = open_graph(bundle.model), bundle.signature.inputs
        matrix = MatrixModel.of(bundle)
        return cls(
            bundle.signature,
            bundle.digest,
            predict=lambda table: run_graph(session, table, inputs),
            prepare=lambda table: by_cells(matrix, matrix.encode(table)),
            gain=training_gain(bundle),
            matrix=matrix,
            source=bundle.path,
        )


def evaluate(
    model: Path,
    dataset: Path,
    settings: EvaluateSpec,
    output: Path,
    report: Path,
    split: str = "test",
    uri: str | None = None,
) -> Evaluation:
    """Evaluates a bundle; writes the evaluation's folder to `output` and its HTML report to `report`.

    Where `model` states that there is none (format "headrace/absent"), so does the evaluation. Where the model does
    not fit the dataset, as a champion of earlier data may not, the evaluation says why, and no gate passes a
    candidate on it. What the model is to the run is no input here, so that a champion which is the candidate's
    own bundle is answered from the cache. `uri` is the snapshot's folder as Beam's workers find it, where they do not
    share this machine's files.

    Raises:
        HeadraceError: a slice's column is not there.
    """
    data, seen = Dataset.open(dataset), None
    rows: list[ScoresTable] = []
    if is_absent(model):
        found = _nothing(data, split)
    else:
        bundle = Bundle.open(model)
        unfit = misfit(bundle.signature, data.info)
        if unfit:
            print(f"the model cannot be judged on this data: {unfit}")
            found = replace(_nothing(data, split), present=True, model_digest=bundle.digest, unfit=unfit)
        elif bundle.signature.image:
            found, seen = assess_images(Network.of(bundle), data, settings, split, rows.append)
        else:
            found = assess(Subject.of(bundle), data, settings, split, rows.append, uri)
    beside = functools.partial(_for_tfma, found) if settings.tfma and found.metrics else None
    write_evaluation(output, found, seen.found if seen else None, rows or None, beside)
    write_report(report, evaluation_page(found, seen))
    return found


def _for_tfma(found: Evaluation, folder: Path) -> None:
    write_tfma(folder / TFMA, found)


def _nothing(data: Dataset, split: str) -> Evaluation:
    info = data.info
    return Evaluation(False, info.task, info.label, split, info.rows[split], data.digest)


def assess(
    subject: Subject,
    data: Dataset,
    settings: EvaluateSpec,
    split: str = "test",
    keep: Keep | None = None,
    uri: str | None = None,
) -> Evaluation:
    """Everything that is measured of a model on one split; `keep` is given each row's scores.

    Of a split of more rows than `settings.batches` allows at once, what divides rows is measured on a part of them.
    `uri` is the snapshot's folder as Beam's workers find it.

    Raises:
        HeadraceError: model and dataset do not fit each other, or a slice's column is not there.
    """
    info = data.info

    def scored(rows: pa.Table, outputs: Array) -> Scores:
        weights = row_weights(rows, settings.weight)
        return replace(score(info, subject.signature, rows[info.label], outputs), weights=weights)

    def chosen(rows: pa.Table) -> tuple[Scores, pa.Table]:
        return scored(rows, subject.predict(rows)), rows

    def keep_rows(scores: Scores, rows: pa.Table, place: Array | None = None) -> None:
        if keep is not None:
            share = 1.0 if place is None else min(1.0, settings.batches.most_rows / info.rows[split])
            keep(per_row(scores, rows, settings, info.rows[split], place, share))

    large = None
    if is_large(data, split, settings):
        large = score_large(data, split, settings, subject.predict, scored, subject.source, uri)
        scores, table = large.scores, large.table
        keep_rows(scores, table, large.row)
    else:
        scores, table = chosen(data.table(split))
        keep_rows(scores, table)
    measured = measure(scores)
    shuffled = _importance(subject, scored, table, settings.seed) if measured[0] else None
    found = summary(Measurement(scores, *measured, table), data, subject, settings, split, shuffled)
    if large is not None:
        found = of_all_rows(found, scores, large.tally, of_train(data, subject.signature, settings.weight))
    places = None if large is None else large.row
    matrix = subject.matrix and subject.matrix.answering(subject.signature.classes, scores.classes)
    looked = look_closer(scores, table, info, settings, matrix, subject.gain, places)
    flaw = None if large is None else flaw_of(large.tally)
    others = functools.partial(some_rows, data, CHOOSE, settings)
    value = valued(scores, table, settings.value, settings.seed, lambda: chosen(others()), flaw)
    return replace(found, **looked._asdict(), value=value)


def _importance(subject: Subject, scored: Callable[[pa.Table, Array], Scores], table: pa.Table, seed: int) -> Measured:
    features = [item.name for item in subject.signature.inputs]
    prepare = subject.prepare or functools.partial(by_columns, subject.predict)
    return importance(prepare, scored, table, features, seed, subject.gain)
