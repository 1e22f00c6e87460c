"""A model that TFX pushed, as a bundle: served, judged and registered as any other. Runs in the environment `main`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import Bundle, write_bundle
from headrace.artifacts.closeness import differences, unit_of
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import write_json
from headrace.artifacts.raw_inputs import batches, open_graph, raw_inputs, run_graph
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.baseline import baseline
from headrace.trainer.encoder_graph import encoder_graph
from headrace.trainer.export.parity import ExportError, Parity, difficult_rows
from headrace.trainer.export.samples import samples
from headrace.trainer.graph import MATRIX
from headrace.trainer.lineage import data_record
from headrace.trainer.model import Rows
from headrace.trainer.parameters import Training
from headrace.trainer.rows import labels
from headrace.trainer.tfx.graph import export, vocabulary
from headrace.trainer.tfx.plan import PREDICTION, Plan
from headrace.trainer.threshold import Chosen, threshold_of

TOLERANCE = 2e-5  # relative above 1: two libraries' sums in float32, one behind the other
MOST_ROWS = 20_000


def bundle_of(
    saved: Path,
    plan: Plan,
    dataset: Path,
    output: Path,
    training: Training | None = None,
    origin: dict[str, Any] | None = None,
) -> Bundle:
    """Writes the bundle of a SavedModel that the TFX pipeline pushed.

    Args:
        saved: the folder that Pusher wrote.
        plan: what TFX was told.
        dataset: the snapshot that it learned from.
        output: where the bundle appears.
        training: says the threshold, or what chooses it on the eval split; 0.5 without.
        origin: what else the lineage should say.

    Raises:
        ExportError: the graphs do not answer as the SavedModel does; there is no bundle then.
        HeadraceError: the model has an operation that ONNX's standard operators cannot say.
    """
    if not (saved / "saved_model.pb").is_file():
        raise HeadraceError(f"{saved}: expected a SavedModel. Received: no saved_model.pb")
    snapshot = Dataset.open(dataset)
    signature = signature_of(saved, plan)
    rows = snapshot.table("eval", [column.name for column in plan.columns])
    with write_bundle(output, {"name": plan.name}) as folder:
        graphs = export(saved, plan, signature)
        onnx.save(graphs.model, folder / files.MODEL)
        onnx.save(graphs.matrix, folder / files.MATRIX)
        parity = check_parity(saved, folder, plan, signature, rows)
        chosen = None if training is None else _threshold(training, folder / files.MODEL, signature, snapshot)
        if chosen is not None:
            signature = replace(signature, threshold=chosen.at)
        signature.write(folder / files.SIGNATURE)
        write_json(folder / files.SAMPLES, samples(rows, folder / files.MODEL, signature))
        record = {"model": "tfx", "parameters": plan.mlp, "seed": plan.seed, "baseline": _baseline(snapshot)}
        if chosen is not None:
            record["threshold"] = chosen.record
        lineage = {"data": data_record(snapshot), "training": record, "parity": asdict(parity)}
        write_json(folder / files.LINEAGE, {**lineage, "origin": {"made_by": "TFX", **(origin or {})}})
        shutil.copytree(saved, folder / files.SAVED_MODEL, copy_function=shutil.copyfile)
    return Bundle.open(output, verify=False)


def _threshold(training: Training, model: Path, signature: Signature, snapshot: Dataset) -> Chosen | None:
    info = snapshot.info
    rows = snapshot.table("eval", [item.name for item in signature.inputs])
    actual = labels(snapshot.table("eval", [info.label])[info.label], info)
    held_out = Rows(np.empty((len(actual), 0), np.float32), actual, None)
    positive = None if info.positive is None else (info.classes or []).index(info.positive)
    graph = open_graph(model)
    return threshold_of(training, positive, lambda: run_graph(graph, rows, signature.inputs), held_out, snapshot)


def signature_of(saved: Path, plan: Plan) -> Signature:
    """The signature: the plan's columns, with the vocabularies that TFT found."""
    inputs = tuple(
        Input(column.name, "category", vocabulary=vocabulary(saved, place))
        if column.kind == "category"
        else Input(column.name, column.type, min=column.min, max=column.max)  # type: ignore[arg-type]
        for place, column in enumerate(plan.columns)
    )
    if plan.task == "regression":
        return Signature("regression", plan.label, inputs)
    threshold = None if plan.positive is None else 0.5
    return Signature("classification", plan.label, inputs, plan.classes, plan.positive, threshold)


def check_parity(saved: Path, folder: Path, plan: Plan, signature: Signature, rows: pa.Table) -> Parity:
    """Compares both graphs with the signature that TFX's Evaluator has judged, which reads serialized tf.Examples.

    On rows of the eval split, and on difficult ones: extremes, nothing at all, categories never seen.

    Raises:
        ExportError: an answer differs by more than the tolerance, or is not finite.
    """
    import tensorflow as tf

    serve = tf.saved_model.load(str(saved)).signatures["serving_default"]
    model, matrix = open_graph(folder / files.MODEL), open_graph(folder / files.MATRIX)
    encoder = open_graph(encoder_graph(signature.inputs).SerializeToString())
    if rows.num_rows > MOST_ROWS:
        rows = rows.take(np.linspace(0, rows.num_rows - 1, MOST_ROWS).astype(np.int64))
    largest, count, unit = 0.0, 0, 0.0
    for table in _tables(rows, signature):
        tensors = raw_inputs(table, signature.inputs)
        encoded = encoder.run(None, tensors)[0]
        examples = [one.SerializeToString() for one in _examples(plan, tensors, encoded)]
        told = serve(examples=tf.constant(examples))[PREDICTION].numpy()
        expected = _answers(told, plan)
        unit = unit or (1.0 if signature.classes else unit_of(expected))
        found = {"model.onnx": model.run(None, tensors)[0], "matrix.onnx": matrix.run(None, {MATRIX: encoded})[0]}
        for name, got in found.items():
            difference = differences(got, expected, unit)
            worst = int(np.argmax(difference))
            if difference[worst] > TOLERANCE:
                raise ExportError(
                    f"expected {name} to answer as TFX's SavedModel does, within {TOLERANCE:.2g}. Received: "
                    f"{difference[worst]:.3g} off, for {table.slice(worst, 1).to_pylist()[0]}"
                )
            largest = max(largest, float(difference[worst]))
        count += table.num_rows
    return Parity(count, largest)


def _tables(rows: pa.Table, signature: Signature) -> Iterator[pa.Table]:
    for part in (rows, *difficult_rows({}, signature.inputs, rows)):
        yield from batches(part, signature.inputs)


def _examples(plan: Plan, tensors: dict[str, np.ndarray], encoded: np.ndarray) -> Iterator[Any]:
    """The rows as ExampleGen writes them: what is missing is not there."""
    import tensorflow as tf

    for row in range(len(encoded)):
        features = {}
        for place, column in enumerate(plan.columns):
            if column.kind == "category":
                text = tensors[column.name][row, 0]
                if text:
                    features[column.name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
            elif not np.isnan(encoded[row, place]):
                features[column.name] = tf.train.Feature(
                    float_list=tf.train.FloatList(value=[np.float32(encoded[row, place])])
                )
        yield tf.train.Example(features=tf.train.Features(feature=features))


def _answers(told: np.ndarray, plan: Plan) -> np.ndarray:
    """The SavedModel's answers in a bundle's form: of two classes it gives one probability."""
    if len(plan.classes) != 2:
        return told
    both = [1 - told, told] if plan.classes.index(str(plan.positive)) == 1 else [told, 1 - told]
    return np.concatenate(both, axis=1)


def _baseline(snapshot: Dataset) -> dict[str, Any]:
    """What a constant reaches, for gates that ask for more."""
    info = snapshot.info
    splits = []
    for split in ("train", "eval"):
        y = labels(snapshot.table(split, [info.label])[info.label], info)
        splits.append(Rows(np.empty((len(y), 0), np.float32), y, None))
    return baseline(splits[0], splits[1], len(info.classes or ())).record(info.classes or ())
