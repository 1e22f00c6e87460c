"""Trains a model for pictures: snapshot in, a sealed and proven bundle out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import write_bundle
from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import copy_undated, write_json
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.baseline import Baseline, baseline
from headrace.trainer.checkpoints import checkpoint_folder
from headrace.trainer.clock import Clock
from headrace.trainer.export.parity import Parity
from headrace.trainer.images import export
from headrace.trainer.images.batches import Labelled
from headrace.trainer.images.card import write_card
from headrace.trainer.images.cnn import Cnn, calibrate, fit
from headrace.trainer.images.descent import ImageJob
from headrace.trainer.images.samples import samples
from headrace.trainer.images.store import Encoded, Pictures, contents, load
from headrace.trainer.lineage import curve_record, data_record, plain, training_record
from headrace.trainer.memory import free_memory, peak_mib
from headrace.trainer.model import Rows
from headrace.trainer.parameters import ImageParameters, Training
from headrace.trainer.rows import class_weights, combined, labels, sample_weights
from headrace.trainer.threshold import Chosen, threshold_of

COLUMN = "image"  # of a snapshot's encoded bytes
_SHARE = 0.5  # of the memory that is free, which the decoded pictures may take


@dataclass(frozen=True)
class TrainedImages:
    """What training produced, beside the bundle.

    Attributes:
        digest: the bundle's.
        signature: the model's.
        model: the trained network.
        parity: how exact its graph is.
        baseline: what a constant reaches.
        data: what it was trained on.
        decoded: whether the pictures were decoded once, and kept in memory.
        seconds: what each part of the work took.
        peak_mib: the most memory that this process has had, in MiB.
        variants: figures of the SavedModel and the TensorFlow Lite files (`trainer/images/export.py`).
    """

    digest: str
    signature: Signature
    model: Cnn
    parity: Parity
    baseline: Baseline
    data: DatasetInfo
    decoded: bool
    seconds: dict[str, float]
    peak_mib: float
    variants: dict[str, Any]
    threshold: Chosen | None = None


@dataclass(frozen=True)
class Split:
    """A split's labels, with how much each picture counts: by its class and its own weight, and by the latter alone."""

    labels: np.ndarray
    weights: np.ndarray | None
    own: np.ndarray | None

    @property
    def rows(self) -> Rows:
        """As a learner of tables takes it, without features."""
        return Rows(np.empty((len(self.labels), 0), np.float32), self.labels, self.weights)

    @property
    def unweighted(self) -> Rows:
        """The same with the pictures' own weights."""
        return Rows(np.empty((len(self.labels), 0), np.float32), self.labels, self.own)


def train(
    dataset: Path,
    schema: Path,
    name: str,
    training: Training,
    origin: dict[str, Any],
    output: Path,
    statistics: Path | None = None,
    on_round: Callable[[int, float], None] | None = None,
) -> TrainedImages:
    """Trains a model and writes its bundle.

    Args:
        dataset: the snapshot; learned from is train, and eval says when to stop. The test split is not read.
        schema: the file schema.pbtxt that the data was validated against.
        name: the model's name.
        training: how it is trained, with `ImageParameters`.
        origin: what else the lineage should say: code commit, environment's digest.
        output: where the bundle appears.
        statistics: of the snapshot; they go into the bundle, for later data to be held against.
        on_round: called after each epoch with its number and the eval split's log loss.

    Raises:
        HeadraceError: the snapshot holds no pictures, or one that cannot be decoded; weights are missing.
        ExportError: the exported graph does not answer as the trained network does; there is no bundle then.
    """
    clock = Clock()
    snapshot = Dataset.open(dataset)
    info, parameters = snapshot.info, training.parameters
    signature = make_signature(info, parameters)
    item = signature.inputs[0]
    with clock.part("reading and decoding the pictures"):
        train_rows, held_out = read_rows(snapshot, training)
        pictures = _pictures(snapshot, item)
    checkpoints = checkpoint_folder(data=snapshot.digest, training=plain(asdict(training)))
    with clock.part("fitting"):
        job = ImageJob(Labelled(pictures["train"], train_rows.labels, train_rows.weights),
                       Labelled(pictures["eval"], held_out.labels, held_out.weights),
                       len(signature.classes), parameters, training.seed, checkpoints, on_round)  # fmt: skip
        model = _calibrated(fit(job), training, job, held_out)
        constant = baseline(train_rows.rows, held_out.rows, job.classes)
        two = None if info.positive is None else signature.classes.index(info.positive)
        chosen = threshold_of(training, two, lambda: _answers(model, job), held_out.unweighted, snapshot)
        signature = replace(signature, threshold=None if chosen is None else chosen.at)
    with write_bundle(output, {"name": name}) as folder, clock.part("exporting, proving the export"):
        evaluation = _files(snapshot, "eval", item, held_out.labels, export.MOST_PICTURES)
        representative = _files(snapshot, "train", item, train_rows.labels, export.REPRESENTATIVE)
        found = _export(folder, model, signature, evaluation, representative, training)
        parity, variants = Parity(**found.pop("parity")), found
        signature.write(folder / files.SIGNATURE)
        write_json(folder / files.SAMPLES, samples(evaluation, folder / files.MODEL, signature))
        record = training_record(model, training, constant, info, chosen)
        _write_lineage(folder, snapshot, record, parity, variants, origin)
        write_json(folder / files.CURVE, curve_record(model))
        shutil.copyfile(schema, folder / files.SCHEMA)
        if statistics is not None:
            copy_undated(statistics, folder / files.STATISTICS)
        digests = {"Data": snapshot.digest, **origin}
        write_card(folder, name, info, training, model, constant, parity, variants, digests)
    if checkpoints is not None:  # only now: whoever is ended while exporting need not train again
        shutil.rmtree(checkpoints, ignore_errors=True)
    digest = files.Bundle.open(output, verify=False).digest
    decoded = not any(isinstance(each, Encoded) for each in pictures.values())
    seconds, peak = clock.seconds, peak_mib()
    return TrainedImages(digest, signature, model, parity, constant, info, decoded, seconds, peak, variants, chosen)


def make_signature(info: DatasetInfo, parameters: ImageParameters) -> Signature:
    """The signature of a model of these pictures.

    Raises:
        HeadraceError: the snapshot holds no pictures, or no classes.
    """
    if not any(column.name == COLUMN and column.type == "binary" for column in info.columns) or not info.classes:
        columns = ", ".join(f"{column.name} ({column.type})" for column in info.columns)
        raise HeadraceError(
            f"train.model: expected, with cnn, a snapshot of pictures with classes, in its column `{COLUMN}`. "
            f"Received: a {info.task} with the columns {columns}"
        )
    height, width = parameters.size
    item = Input(COLUMN, "image", height=height, width=width)
    threshold = 0.5 if info.positive is not None else None
    return Signature("classification", info.label, (item,), tuple(info.classes), info.positive, threshold)


def read_rows(snapshot: Dataset, training: Training) -> tuple[Split, Split]:
    """The labels and weights of train and eval.

    Raises:
        HeadraceError: the weights' column is missing, or has no weights in it; a class is unknown.
    """
    info, weight = snapshot.info, training.sample_weight
    names = [column.name for column in info.columns if column.name not in (info.label, COLUMN)]
    if weight is not None and weight not in names:
        raise HeadraceError(
            f"train.sample_weight: expected a column of the data: {', '.join(names)}. Received: `{weight}`"
        )
    made, each = [], None
    for split in ("train", "eval"):
        table = snapshot.table(split, [info.label, *([weight] if weight else [])])
        if table.num_rows == 0:
            raise HeadraceError(f"expected pictures in the {split} split. Received: none; make data.split larger")
        y = labels(table[info.label], info)
        own = sample_weights(table[weight], f"{weight}, in {split}") if weight else None
        if split == "train":
            each = class_weights(training.class_weight, y, own, info)
        made.append(Split(y, combined(own, each, y), own))
    return made[0], made[1]


def _write_lineage(
    folder: Path,
    snapshot: Dataset,
    training: dict[str, Any],
    parity: Parity,
    variants: dict[str, Any],
    origin: dict[str, Any],
) -> None:
    lineage = {
        "data": data_record(snapshot),
        "training": training,
        "parity": asdict(parity),
        **variants,
        "origin": origin,
    }
    write_json(folder / files.LINEAGE, lineage)


def _pictures(snapshot: Dataset, item: Input) -> dict[str, Pictures]:
    """Train and eval, each decoded once where its part of the free memory holds it."""
    rows = {split: snapshot.info.rows[split] for split in ("train", "eval")}
    room = int(_SHARE * free_memory())
    return {split: load(snapshot, split, item, room * count // sum(rows.values())) for split, count in rows.items()}


def _calibrated(model: Cnn, training: Training, job: ImageJob, held_out: Split) -> Cnn:
    if training.calibrate == "none":
        return model
    return calibrate(model, training.calibrate, _answers(model, job), held_out.unweighted)


def _answers(model: Cnn, job: ImageJob) -> np.ndarray:
    """The network's probabilities for the eval split, (pictures, classes)."""
    count = len(job.evaluation.labels)
    parts = [np.arange(start, min(start + 64, count)) for start in range(0, count, 64)]
    return np.concatenate([model.predict(job.evaluation.pictures.batch(part)) for part in parts])


def _files(snapshot: Dataset, split: str, item: Input, numbers: np.ndarray, most: int) -> export.Pictures:
    """So many of a split's files, evenly over all."""
    places = np.unique(np.linspace(0, len(numbers) - 1, min(most, len(numbers))).astype(np.int64))
    wanted = set(places.tolist())
    found = [content for place, content in enumerate(contents(snapshot, split, item.name)) if place in wanted]
    return export.Pictures(found, numbers[places])


def _export(
    folder: Path,
    model: Cnn,
    signature: Signature,
    evaluation: export.Pictures,
    representative: export.Pictures,
    training: Training,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="headrace-network-") as place:
        file = Path(place) / "network.keras"
        model.network.answers.save(file)
        network = export.Network(file, model.predict)
        return export.export_images(folder, network, signature, evaluation, representative, training.export)
