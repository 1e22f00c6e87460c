"""Trains a model for a table: snapshot and transform in, a sealed and proven bundle out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import write_bundle
from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.folder import copy_undated, write_json
from headrace.artifacts.signature import Signature
from headrace.artifacts.transform import Transform, TransformFiles, open_transform
from headrace.trainer.baseline import Baseline, baseline
from headrace.trainer.calibration import calibrated
from headrace.trainer.card import write_card
from headrace.trainer.checkpoints import checkpoint_folder
from headrace.trainer.clock import Clock
from headrace.trainer.export.graphs import export
from headrace.trainer.export.parity import Parity, check_parity
from headrace.trainer.export.samples import samples
from headrace.trainer.lineage import curve_record, lineage_of, plain, training_record
from headrace.trainer.memory import peak_mib
from headrace.trainer.model import Job, Model
from headrace.trainer.models import fit
from headrace.trainer.parameters import Training
from headrace.trainer.rows import Ready, ready
from headrace.trainer.threshold import Chosen, threshold_of

_VARIANTS = "headrace.trainer.export.variants"


@dataclass(frozen=True)
class Trained:
    """What training produced, beside the bundle.

    Attributes:
        digest: the bundle's.
        signature: the model's.
        model: the model.
        parity: how exact its graphs are.
        baseline: what a constant reaches.
        recipe: the features.
        data: what it was trained on.
        rows: what was learned from.
        seconds: what each part of the work took.
        peak_mib: the most memory that this process has had, in MiB.
        variants: figures of the SavedModel and the TensorFlow Lite files (`trainer/export/variants.py`); empty without.
        threshold: from which probability on a row is predicted positive; None where there are not two classes.
    """

    digest: str
    signature: Signature
    model: Model
    parity: Parity
    baseline: Baseline
    recipe: Transform
    data: DatasetInfo
    rows: Ready
    seconds: dict[str, float]
    peak_mib: float
    variants: dict[str, Any]
    threshold: Chosen | None = None


def train(
    dataset: Path,
    transform: Path,
    schema: Path,
    name: str,
    training: Training,
    origin: dict[str, Any],
    output: Path,
    statistics: Path | None = None,
    on_round: Callable[[int, float], None] | None = None,
) -> Trained:
    """Trains a model and writes its bundle.

    Args:
        dataset: the snapshot; learned from is train, and eval says when to stop. The test split is not read.
        transform: the fitted transform.
        schema: the file schema.pbtxt that the data was validated against.
        name: the model's name.
        training: the kind of model, and how it is trained.
        origin: what else the lineage should say: code commit, environment's digest.
        output: where the bundle appears.
        statistics: of the snapshot; they go into the bundle, for later data to be held against.
        on_round: called after each round or epoch with its number and the eval split's metric.

    Raises:
        ExportError: the exported graphs do not answer as the trained model does; there is no bundle then.
    """
    clock = Clock()
    snapshot, opened = Dataset.open(dataset), open_transform(transform)
    recipe, info = opened.recipe, snapshot.info
    with clock.part("reading the rows, making the features"):
        rows = ready(snapshot, opened, training)
    checkpoints = checkpoint_folder(data=snapshot.digest, transform=opened.digest, training=plain(asdict(training)))
    with clock.part("fitting"):
        positive = info.classes.index(info.positive) if info.classes and info.positive is not None else 1
        job = Job(rows.train, rows.evaluation, recipe.outputs, rows.classes, training.parameters, training.seed,
                  checkpoints, on_round, positive)  # fmt: skip
        model = calibrated(fit(training.kind, job), training.calibrate, rows.unweighted, rows.classes)
        constant = baseline(rows.train, rows.evaluation, rows.classes)
        held_out, two = rows.unweighted, None if info.positive is None else positive
        chosen = threshold_of(training, two, lambda: model.predict(held_out.features), held_out, snapshot)
    signature = make_signature(info, recipe, chosen)
    share = named_importance(model, recipe)
    with write_bundle(output, {"name": name}) as folder:
        with clock.part("exporting, proving the export"):
            parity = _write_graphs(folder, model, opened, signature, rows.held_out)
        with clock.part("exporting for TensorFlow"):
            variants = _variants(folder, training, model, signature, rows)
        signature.write(folder / files.SIGNATURE)
        write_json(folder / files.SAMPLES, samples(rows.held_out, folder / files.MODEL, signature))
        record = training_record(model, training, constant, info, chosen)
        lineage = lineage_of(snapshot, opened, record, share)
        write_json(folder / files.LINEAGE, {**lineage, "parity": asdict(parity), **variants, "origin": origin})
        write_json(folder / files.CURVE, curve_record(model))
        shutil.copyfile(schema, folder / files.SCHEMA)
        if statistics is not None:
            copy_undated(statistics, folder / files.STATISTICS)
        digests = {"Data": snapshot.digest, "Transform": opened.digest, **origin}
        write_card(folder, name, info, recipe, training, model, constant, share, parity, variants, digests)
    if checkpoints is not None:  # only now: whoever is ended while exporting need not train again
        shutil.rmtree(checkpoints, ignore_errors=True)
    digest = files.Bundle.open(output, verify=False).digest
    seconds, peak = clock.seconds, peak_mib()
    return Trained(digest, signature, model, parity, constant, recipe, info, rows, seconds, peak, variants, chosen)


def named_importance(model: Model, recipe: Transform) -> dict[str, float]:
    """Each feature's share, greatest first; empty where the model cannot tell."""
    share = model.importance()
    if share is None:
        return {}
    return {recipe.features[place]: float(share[place]) for place in np.argsort(-share, kind="stable")}


def _write_graphs(
    folder: Path, model: Model, transform: TransformFiles, signature: Signature, rows: pa.Table
) -> Parity:
    """Exports the model into a bundle, and proves on rows of the eval split that nothing changed by it."""
    graphs = export(model.graph(signature.output), signature.inputs, onnx.load(transform.features))
    onnx.save(graphs.model, folder / files.MODEL)
    onnx.save(graphs.matrix, folder / files.MATRIX)
    return check_parity(model, transform, folder / files.MODEL, folder / files.MATRIX, signature, rows)


def _variants(folder: Path, training: Training, model: Model, signature: Signature, rows: Ready) -> dict[str, Any]:
    """What is wanted beside the ONNX graphs. TensorFlow is imported only where something is."""
    wanted = training.export
    if not (wanted.saved_model or wanted.tflite):
        return {}
    write = import_module(_VARIANTS).write_variants
    found: dict[str, Any] = write(folder, wanted, model, signature, rows.held_out, rows.unweighted)
    return found


def make_signature(info: DatasetInfo, recipe: Transform, chosen: Chosen | None = None) -> Signature:
    """The signature of a model of this data behind this transform; `chosen` is the threshold of two classes."""
    if info.task == "regression":
        return Signature("regression", info.label, recipe.inputs)
    threshold = None if info.positive is None else chosen.at if chosen else 0.5
    return Signature("classification", info.label, recipe.inputs, tuple(info.classes or ()), info.positive, threshold)
