"""Trains a model for a table: snapshot and transform in, a sealed and proven bundle out."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import write_bundle
from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import copy_undated, write_json
from headrace.artifacts.signature import Signature
from headrace.artifacts.transform import Transform, TransformFiles, open_transform
from headrace.trainer.card import write_card
from headrace.trainer.export import export
from headrace.trainer.matrix import feature_matrix
from headrace.trainer.model import Job, Model, Rows
from headrace.trainer.models import fit
from headrace.trainer.parity import Parity, check_parity
from headrace.trainer.samples import samples


@dataclass(frozen=True)
class Trained:
    """What training produced, beside the bundle."""

    digest: str
    signature: Signature
    model: Model
    parity: Parity


def train(
    dataset: Path,
    transform: Path,
    schema: Path,
    name: str,
    kind: str,
    parameters: Any,
    seed: int,
    origin: dict[str, Any],
    output: Path,
    statistics: Path | None = None,
) -> Trained:
    """Trains a model and writes its bundle.

    Args:
        dataset: the snapshot; learned from is train, and eval says when to stop. The test split is not read.
        transform: the fitted transform.
        schema: the file schema.pbtxt that the data was validated against.
        name: the model's name.
        kind: of model, one of `trainer.models.KINDS`.
        parameters: of that kind (`trainer/parameters.py`).
        seed: of everything random.
        origin: what else the lineage should say: code commit, environment's digest.
        output: where the bundle appears.
        statistics: of the snapshot; they go into the bundle, for later data to be held against.

    Raises:
        ExportError: the exported graphs do not answer as the trained model does; there is no bundle then.
    """
    snapshot = Dataset.open(dataset)
    opened = open_transform(transform)
    recipe, info = opened.recipe, snapshot.info
    rows = {split: snapshot.table(split, [*recipe.columns, info.label]) for split in ("train", "eval")}
    ready = {split: Rows(feature_matrix(opened, table, split), labels(table[info.label], info))
             for split, table in rows.items()}  # fmt: skip
    classes = len(info.classes or ())
    model = fit(kind, Job(ready["train"], ready["eval"], recipe.outputs, classes, parameters, seed))
    signature = make_signature(info, recipe)
    share = named_importance(model, recipe)
    held_out = rows["eval"].select(recipe.columns)
    with write_bundle(output, {"name": name}) as folder:
        parity = _write_graphs(folder, model, opened, signature, held_out)
        signature.write(folder / files.SIGNATURE)
        write_json(folder / files.SAMPLES, samples(held_out, folder / files.MODEL, signature))
        lineage = _lineage(snapshot, opened, model, seed, share)
        write_json(folder / files.LINEAGE, {**lineage, "parity": asdict(parity), "origin": origin})
        shutil.copyfile(schema, folder / files.SCHEMA)
        if statistics is not None:
            copy_undated(statistics, folder / files.STATISTICS)
        digests = {"Data": snapshot.digest, "Transform": opened.digest, **origin}
        write_card(folder, name, snapshot, recipe, seed, model, share, parity, digests)
    return Trained(files.Bundle.open(output, verify=False).digest, signature, model, parity)


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


def _lineage(
    snapshot: Dataset, transform: TransformFiles, model: Model, seed: int, share: dict[str, float]
) -> dict[str, Any]:
    """What the model was made of: digests of data and transform, and how it was trained."""
    info, recipe = snapshot.info, transform.recipe
    return {
        "data": {"digest": snapshot.digest, "source": info.source, "rows": info.rows, "query": info.query},
        "transform": {
            "digest": transform.digest,
            "construct": recipe.construct,
            "excluded": recipe.excluded,
            "features": {feature.name: list(feature.sources) for feature in recipe.outputs},
        },
        "training": {
            "model": model.kind,
            "parameters": model.parameters,
            "seed": seed,
            "rounds": model.rounds,
            # LightGBM adds up a metric in as many parts as it has threads: the last digits are not the model's.
            model.metric: {split: float(f"{values[model.rounds - 1]:.10g}") for split, values in model.curve.items()},
            "importance": share,
        },
    }


def labels(column: pa.ChunkedArray, info: DatasetInfo) -> np.ndarray:
    """The label as the learner takes it: class numbers (int32) or values (float64); shape (rows,).

    Raises:
        HeadraceError: a row's class is not among the snapshot's.
    """
    if info.classes is None:
        return np.asarray(column.to_numpy(), np.float64)
    numbers = pc.index_in(column, pa.array(info.classes))
    if numbers.null_count:
        unknown = column.filter(pc.is_null(numbers))[0]
        raise HeadraceError(f"label `{info.label}`: expected one of {', '.join(info.classes)}. Received: {unknown}")
    return np.asarray(numbers.to_numpy(), np.int32)


def make_signature(info: DatasetInfo, recipe: Transform) -> Signature:
    """The signature of a model of this data behind this transform."""
    if info.task == "regression":
        return Signature("regression", info.label, recipe.inputs)
    threshold = 0.5 if info.positive is not None else None
    return Signature("classification", info.label, recipe.inputs, tuple(info.classes or ()), info.positive, threshold)
