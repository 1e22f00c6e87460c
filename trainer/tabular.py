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
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.signature import Signature
from headrace.artifacts.transform import Transform, read_transform
from headrace.trainer.card import write_card
from headrace.trainer.export import export
from headrace.trainer.gbdt import Fitted, fit, importance
from headrace.trainer.parameters import GbdtParameters
from headrace.trainer.parity import Parity, check_parity
from headrace.trainer.samples import samples


@dataclass(frozen=True)
class Trained:
    """What training produced, beside the bundle."""

    digest: str
    signature: Signature
    fitted: Fitted
    importance: dict[str, float]
    parity: Parity


def train(
    dataset: Path,
    transform: Path,
    schema: Path,
    name: str,
    parameters: GbdtParameters,
    seed: int,
    origin: dict[str, Any],
    output: Path,
    statistics: Path | None = None,
) -> Trained:
    """Trains gradient-boosted trees and writes the model's bundle.

    Args:
        dataset: the snapshot; trees grow on train, and stop by eval. The test split is not read.
        transform: the fitted transform.
        schema: the file schema.pbtxt that the data was validated against.
        name: the model's name.
        parameters: LightGBM's.
        seed: of everything random.
        origin: what else the lineage should say: code commit, environment's digest.
        output: where the bundle appears.
        statistics: of the snapshot; they go into the bundle, for later data to be held against.

    Raises:
        ExportError: the exported graphs do not answer as the trained model does; there is no bundle then.
    """
    snapshot = Dataset.open(dataset)
    recipe, graph, transform_manifest = read_transform(transform)
    rows = {split: snapshot.table(split, [*recipe.columns, snapshot.info.label]) for split in ("train", "eval")}
    session = open_graph(graph)
    arrays = {split: _arrays(session, table, recipe, snapshot.info) for split, table in rows.items()}
    fitted = fit(arrays["train"], arrays["eval"], recipe.features, len(snapshot.info.classes or ()), parameters, seed)
    signature = make_signature(snapshot.info, recipe)
    share = importance(fitted.booster, recipe.features)
    held_out = rows["eval"].select(recipe.columns)
    with write_bundle(output, {"name": name}) as folder:
        parity = _write_graphs(folder, fitted, recipe, graph, signature, held_out)
        signature.write(folder / files.SIGNATURE)
        write_json(folder / files.SAMPLES, samples(held_out, folder / files.MODEL, signature))
        lineage = _lineage(snapshot, recipe, transform_manifest.digest, fitted, seed, share)
        write_json(folder / files.LINEAGE, {**lineage, "parity": asdict(parity), "origin": origin})
        shutil.copyfile(schema, folder / files.SCHEMA)
        if statistics is not None:
            copy_undated(statistics, folder / files.STATISTICS)
        digests = {"Data": snapshot.digest, "Transform": transform_manifest.digest, **origin}
        write_card(folder, name, snapshot, recipe, seed, fitted, share, parity, digests)
    return Trained(files.Bundle.open(output, verify=False).digest, signature, fitted, share, parity)


def _arrays(session: Any, table: pa.Table, recipe: Transform, info: DatasetInfo) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 (rows, features) and labels (rows,) of one split."""
    return run_graph(session, table, recipe.inputs), labels(table[info.label], info)


def _write_graphs(
    folder: Path, fitted: Fitted, recipe: Transform, transform: Path, signature: Signature, rows: pa.Table
) -> Parity:
    """Exports the trees into a bundle, and proves on rows of the eval split that nothing changed by it."""
    graphs = export(fitted.booster, recipe.inputs, recipe.construct, signature.output)
    model, matrix = folder / files.MODEL, folder / files.MATRIX
    onnx.save(graphs.model, model)
    onnx.save(graphs.matrix, matrix)
    return check_parity(fitted.booster, transform, model, matrix, signature, rows)


def _lineage(
    snapshot: Dataset, recipe: Transform, transform: str, fitted: Fitted, seed: int, share: dict[str, float]
) -> dict[str, Any]:
    """What the model was made of: digests of data and transform, and how it was trained."""
    info, best = snapshot.info, fitted.best_iteration
    return {
        "data": {"digest": snapshot.digest, "source": info.source, "rows": info.rows, "query": info.query},
        "transform": {"digest": transform, "construct": recipe.construct, "excluded": recipe.excluded},
        "training": {
            "model": "gbdt",
            "parameters": asdict(fitted.parameters),
            "seed": seed,
            "rounds": best,
            # LightGBM adds up a metric in as many parts as it has threads: the last digits are not the model's.
            fitted.metric: {split: float(f"{values[best - 1]:.10g}") for split, values in fitted.curve.items()},
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
