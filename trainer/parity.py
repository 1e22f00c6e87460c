"""The proof that an exported model answers as the trained one does. It fails closed: no proof, no bundle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import open_graph, raw_inputs, run_graph
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.encoder_graph import MATRIX, encoder_graph

# float32 sums of some hundred leaves differ from LightGBM's float64 sums in the seventh digit.
TOLERANCE = 1e-5
_EXTREMES = (0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30, 2.0**24 + 1, float("nan"))
_MOST_BOUNDARIES = 2_000  # per feature: a wide sample of a large model's splits is enough


class ExportError(HeadraceError):
    """The exported graphs do not answer as the trained model does: the bundle must not exist."""


@dataclass(frozen=True)
class Parity:
    """How far the graphs' answers were from the trained model's at most (relative above 1), over how many rows."""

    rows: int
    largest_difference: float


def check_parity(
    booster: lgb.Booster, transform: Path, model: Path, matrix: Path, signature: Signature, rows: pa.Table
) -> Parity:
    """Compares the trained model with both graphs, on these rows and on rows made to be difficult.

    Args:
        booster: the trained trees, over the transform's features.
        transform, model, matrix: the graphs raw -> features, raw -> outputs, matrix -> outputs.
        signature: the inputs.
        rows: raw rows of the eval split.

    Raises:
        ExportError: an answer differs by more than the tolerance, or is not finite.
    """
    features_of, model_of, matrix_of = open_graph(transform), open_graph(model), open_graph(matrix)
    inputs = signature.inputs
    import onnxruntime

    encoder = onnxruntime.InferenceSession(
        encoder_graph(inputs).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    largest, count = 0.0, 0
    for table in (rows, *difficult_rows(booster, inputs, rows)):
        expected = predict(booster, run_graph(features_of, table, inputs))
        encoded = encoder.run(None, raw_inputs(table, inputs))[0]
        answers = {
            "model.onnx": run_graph(model_of, table, inputs),
            "matrix.onnx": matrix_of.run(None, {MATRIX: encoded})[0],
        }
        for name, got in answers.items():
            difference = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
            difference = np.nan_to_num(difference, nan=np.inf).max(axis=1, initial=0.0)
            worst = int(np.argmax(difference))
            if difference[worst] > TOLERANCE:
                raise ExportError(
                    f"expected {name} to answer as the trained model does, within {TOLERANCE:g}. "
                    f"Received: a difference of {difference[worst]:.3g}, for {table.slice(worst, 1).to_pylist()[0]}"
                )
            largest = max(largest, float(difference[worst]))
        count += table.num_rows
    return Parity(count, largest)


def predict(booster: lgb.Booster, features: np.ndarray) -> np.ndarray:
    """LightGBM's own answer in the shape that the graphs give: (rows, classes) or (rows, 1), float64."""
    answer = np.asarray(booster.predict(features.astype(np.float64)))
    if answer.ndim == 1 and _is_binary(booster):
        return np.column_stack([1 - answer, answer])
    return answer.reshape(len(features), -1)


def _is_binary(booster: lgb.Booster) -> bool:
    return re.search(r"^objective=binary", booster.model_to_string(num_iteration=1), re.MULTILINE) is not None


def difficult_rows(booster: lgb.Booster, inputs: tuple[Input, ...], rows: pa.Table) -> list[pa.Table]:
    """Rows on and beside the trees' thresholds, far outside of training, all missing, of unseen categories."""
    names = [item.name for item in inputs]
    base = rows.select(names).slice(0, 64)
    thresholds = split_thresholds(booster)
    tables = [_replaced(base, {item.name: _missing(item, base.num_rows) for item in inputs})]
    tables.append(
        _replaced(base, {i.name: pa.array(["never seen"] * base.num_rows) for i in inputs if i.type == "category"})
    )
    for position, item in enumerate(inputs):
        if item.type != "number":
            continue
        at = thresholds.get(position, np.empty(0, np.float32))[:_MOST_BOUNDARIES]
        beside = [np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))]
        values = np.concatenate([np.concatenate(beside).astype(np.float64) + item.offset, _EXTREMES])
        repeated = base.take(np.arange(len(values)) % base.num_rows)
        tables.append(_replaced(repeated, {item.name: pa.array(values)}))
    return tables


def split_thresholds(booster: lgb.Booster) -> dict[int, np.ndarray]:
    """Feature's position -> the distinct thresholds of its splits, float32."""
    found: dict[int, list[float]] = {}
    text = booster.model_to_string()
    features = re.findall(r"^split_feature=(.*)$", text, flags=re.MULTILINE)
    thresholds = re.findall(r"^threshold=(.*)$", text, flags=re.MULTILINE)
    for positions, values in zip(features, thresholds, strict=True):
        for position, value in zip(positions.split(), values.split(), strict=True):
            found.setdefault(int(position), []).append(float(value))
    return {position: np.unique(np.array(values, np.float32)) for position, values in found.items()}


def _replaced(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _missing(item: Input, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.float64() if item.type in ("number", "boolean") else pa.string())
