"""The proof that an exported model answers as the trained one does. It fails closed: no proof, no bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import BATCH_ROWS, open_graph, raw_inputs
from headrace.artifacts.signature import Input, Signature
from headrace.artifacts.transform import Transform, TransformFiles
from headrace.trainer.encoder_graph import MATRIX, encoder_graph
from headrace.trainer.model import Model

_EXTREMES = (0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30, 2.0**24 + 1, float("nan"))
_BASE_ROWS = 64  # real rows, in which single values are replaced
_GROUPS = 8  # of numbers that stand on their thresholds in the same rows


class ExportError(HeadraceError):
    """The exported graphs do not answer as the trained model does: the bundle must not exist."""


@dataclass(frozen=True)
class Parity:
    """How far the graphs' answers were from the trained model's at most (relative above 1), over how many rows."""

    rows: int
    largest_difference: float


def check_parity(
    trained: Model, transform: TransformFiles, model: Path, matrix: Path, signature: Signature, rows: pa.Table
) -> Parity:
    """Compares the trained model with both graphs, on these rows and on rows made to be difficult.

    Args:
        trained: the model, over the transform's features.
        transform: the features.
        model, matrix: the graphs raw -> outputs, matrix -> outputs.
        signature: the inputs.
        rows: raw rows of the eval split.

    Raises:
        ExportError: an answer differs by more than the model's tolerance, or is not finite.
    """
    features_of, model_of, matrix_of = open_graph(transform.graph), open_graph(model), open_graph(matrix)
    inputs, tolerance = signature.inputs, trained.tolerance
    encoder = open_graph(encoder_graph(inputs).SerializeToString())
    largest, count = 0.0, 0
    for table in _batches(chain([rows], difficult_rows(raw_thresholds(trained, transform.recipe), inputs, rows))):
        tensors = raw_inputs(table, inputs)
        expected = trained.predict(features_of.run(None, tensors)[0])
        answers = {
            "model.onnx": model_of.run(None, tensors)[0],
            "matrix.onnx": matrix_of.run(None, {MATRIX: encoder.run(None, tensors)[0]})[0],
        }
        for name, got in answers.items():
            difference = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
            difference = np.nan_to_num(difference, nan=np.inf).max(axis=1, initial=0.0)
            worst = int(np.argmax(difference))
            if difference[worst] > tolerance:
                raise ExportError(
                    f"expected {name} to answer as the trained model does, within {tolerance:g}. "
                    f"Received: a difference of {difference[worst]:.3g}, for {table.slice(worst, 1).to_pylist()[0]}"
                )
            largest = max(largest, float(difference[worst]))
        count += table.num_rows
    return Parity(count, largest)


def raw_thresholds(trained: Model, recipe: Transform) -> dict[str, np.ndarray]:
    """Input -> the values of its matrix cell at which the answer jumps, float32."""
    found = trained.thresholds()
    places = {feature.raw: place for place, feature in enumerate(recipe.outputs) if feature.raw is not None}
    return {name: found[place] for name, place in places.items() if place in found}


def _batches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for table in tables:
        for start in range(0, table.num_rows, BATCH_ROWS):
            yield table.slice(start, BATCH_ROWS)


def difficult_rows(thresholds: dict[str, np.ndarray], inputs: tuple[Input, ...], rows: pa.Table) -> Iterator[pa.Table]:
    """Rows on and beside the model's thresholds, far outside of training, all missing, of unseen categories.

    Each threshold of each number occurs, and the neighbours of it in float32. Numbers take their thresholds in turn,
    `_GROUPS` groups one after the other: while those of a group stand on theirs, all else is as in training, so that
    rows reach the split; and the rows do not become more with the columns.
    """
    base = rows.select([item.name for item in inputs]).slice(0, _BASE_ROWS)
    yield _replaced(base, {item.name: _missing(item, base.num_rows) for item in inputs})
    unseen = pa.array(["never seen"] * base.num_rows)
    yield _replaced(base, {item.name: unseen for item in inputs if item.type == "category"})
    random = np.random.default_rng(0)
    numbers = {item.name: values for item, values in _boundaries(thresholds, inputs)}
    names = list(random.permutation(list(numbers)))
    for members in (names[start::_GROUPS] for start in range(min(_GROUPS, len(names)))):
        count = max(len(numbers[name]) for name in members)
        yield _replaced(_repeated(base, count), {name: pa.array(np.resize(numbers[name], count)) for name in members})
    yield _with_extremes(base, names, random)


def _boundaries(thresholds: dict[str, np.ndarray], inputs: tuple[Input, ...]) -> Iterator[tuple[Input, np.ndarray]]:
    """Of each number: the raw values at its thresholds and right beside, and the extremes; float64."""
    for item in inputs:
        if item.type == "number":
            at = thresholds.get(item.name, np.empty(0, np.float32))
            beside = [np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))]
            yield item, np.concatenate([np.concatenate(beside).astype(np.float64) + item.offset, _EXTREMES])


def _with_extremes(base: pa.Table, names: list[str], random: np.random.Generator) -> pa.Table:
    """Rows in each of which a random third of the numbers is extreme; each number takes each extreme."""
    count = 3 * len(_EXTREMES)
    extreme, third = np.tile(_EXTREMES, 3), np.repeat(np.arange(3), len(_EXTREMES))
    repeated = _repeated(base, count)
    columns = {}
    for name in names:
        own = repeated[name].cast(pa.float64()).to_numpy()
        turns = random.permuted(third.reshape(3, -1), axis=0).ravel()  # in one of each extreme's three rows
        columns[name] = pa.array(np.where(turns == 0, extreme, own), from_pandas=True)
    return _replaced(repeated, columns)


def _repeated(table: pa.Table, count: int) -> pa.Table:
    return table.take(np.arange(count) % table.num_rows)


def _replaced(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    return pa.table({name: columns.get(name, table[name]) for name in table.column_names})


def _missing(item: Input, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.float64() if item.type in ("number", "boolean") else pa.string())
