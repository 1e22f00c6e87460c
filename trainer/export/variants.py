"""What a bundle holds of a model beside its ONNX graphs: a TensorFlow SavedModel, and TensorFlow Lite files."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa

from headrace.artifacts import bundle as files
from headrace.artifacts.closeness import differences, unit_of
from headrace.artifacts.raw_inputs import batches, open_graph, raw_inputs
from headrace.artifacts.signature import Signature
from headrace.trainer.export.lite import ORIGINAL, Lite, lite_files
from headrace.trainer.export.parity import ExportError, difficult_rows
from headrace.trainer.loss import loss, metric_name
from headrace.trainer.model import Model, Rows
from headrace.trainer.parameters import Export
from headrace.trainer.saved_model.saved import Served, write_saved_model


def write_variants(
    folder: Path, wanted: Export, model: Model, signature: Signature, raw: pa.Table, rows: Rows
) -> dict[str, Any]:
    """Writes what is wanted into a bundle that holds model.onnx already, and proves or measures it.

    Args:
        folder: the bundle.
        wanted: which variants.
        model: the trained one.
        signature: its signature.
        raw: the eval split's raw columns.
        rows: the same rows as features and labels.

    Returns:
        for the lineage: `saved_model` {rows, largest_difference, bytes}, and `tflite` {variant: {bytes, the metric,
        accuracy, largest_difference}}, with the ONNX graph's own figures as `onnx`.

    Raises:
        ExportError: the SavedModel or the float32 variant does not answer as the model does.
        HeadraceError: TensorFlow lacks an operation of the model.
    """
    found: dict[str, Any] = {}
    if wanted.saved_model:
        place = folder / files.SAVED_MODEL
        write_saved_model(onnx.load(folder / files.MODEL), signature, place)
        found["saved_model"] = {
            **check_saved_model(place, folder / files.MODEL, signature, raw, model.tolerance),
            "bytes": sum(file.stat().st_size for file in place.rglob("*") if file.is_file()),
        }
    if wanted.tflite:
        graph = model.graph(signature.output)
        (folder / files.TFLITE).mkdir()
        for name, lite in lite_files(graph, wanted.tflite, rows).items():
            if lite.content is not None:
                (folder / files.TFLITE / f"{name}.tflite").write_bytes(lite.content)
            found.setdefault("tflite", {})[name] = _figures(lite, rows, len(signature.classes))
        _check_float32(found["tflite"], model.tolerance)
    return found


def check_saved_model(
    saved: Path, model: Path, signature: Signature, rows: pa.Table, tolerance: float
) -> dict[str, float]:
    """Compares a SavedModel with the graph that it replays, on rows of the eval split and on difficult ones.

    Raises:
        ExportError: an answer differs by more than the tolerance (see `differences`), or is not finite.
    """
    served, graph = Served(saved), open_graph(model)
    largest, count, unit = 0.0, 0, 0.0
    inputs = signature.inputs
    parts = chain([rows], difficult_rows({}, inputs, rows))
    try:
        for table in chain.from_iterable(batches(part, inputs) for part in parts):
            expected = graph.run(None, raw_inputs(table, inputs))[0]
            got = served.run(table, signature)[signature.output]
            unit = unit or (1.0 if signature.classes else unit_of(expected))
            difference = differences(got, expected, unit)
            worst = int(np.argmax(difference))
            if difference[worst] > tolerance:
                raise ExportError(
                    f"expected the SavedModel to answer as model.onnx does, within {tolerance:.2g}. "
                    f"Received: a difference of {difference[worst]:.3g}, for {table.slice(worst, 1).to_pylist()[0]}"
                )
            largest, count = max(largest, float(difference[worst])), count + table.num_rows
    finally:
        served.close()
    return {"rows": count, "largest_difference": largest}


def _figures(lite: Lite, rows: Rows, classes: int) -> dict[str, float]:
    """Size, and how good it is on the eval split."""
    figures = {"bytes": lite.bytes, metric_name(classes): loss(lite.answers, rows.labels, rows.weights, classes)}
    if classes:
        figures["accuracy"] = float(np.average(lite.answers.argmax(axis=1) == rows.labels, weights=rows.weights))
    if lite.largest_difference is not None:
        figures["largest_difference"] = lite.largest_difference
    return {name: value if name == "bytes" else float(f"{value:.10g}") for name, value in figures.items()}


def _check_float32(found: dict[str, dict[str, float]], tolerance: float) -> None:
    """What is not made smaller must be the same; what a smaller one loses is for its reader to judge."""
    difference = found.get("float32", {}).get("largest_difference", 0.0)
    if not difference <= tolerance:
        raise ExportError(
            f"expected float32.tflite to answer as the {ORIGINAL} graph does, within {tolerance:.2g}. "
            f"Received: a difference of {difference:.3g} on the eval split"
        )
