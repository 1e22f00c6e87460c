"""The proof that an exported model answers as the trained one does. It fails closed: no proof, no bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace.artifacts.closeness import differences, unit_of
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import batches, open_graph, raw_inputs
from headrace.artifacts.signature import Input, Signature
from headrace.artifacts.transform import Transform, TransformFiles
from headrace.trainer.encoder_graph import encoder_graph
from headrace.trainer.graph import MATRIX, TEXTS
from headrace.trainer.model import Model

_EXTREMES = (0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30, 2.0**24 + 1, float("nan"))
_WORDLESS = "!?"
_TEXTS = (
    _WORDLESS,
    " ",
    "a",
    "\t\n",
    "Never SEEN before",
    "ÄÖÜ straße Ça",
    "日本語 テスト",
    "🙂 it's",
    "0 1 22 3.5",
    "x" * 5_000,
)
MOST_ROWS = 20_000  # of the eval split: more would prove no more, and take longer than the training
_SHOWN = 3  # of the rows that are answered otherwise
_LONGEST = 600  # characters of such a row that are shown
_BASE_ROWS = 64  # real rows, in which single values are replaced
_GROUPS = 8  # of numbers that stand on their thresholds in the same rows


class ExportError(HeadraceError):
    """The exported graphs do not answer as the trained model does: the bundle must not exist."""


@dataclass(frozen=True)
class Parity:
    """How far the graphs' answers were from the trained model's at most (see `differences`), over how many rows."""

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
        rows: raw rows of the eval split; of very many, `MOST_ROWS` are taken, evenly over the split.

    Raises:
        ExportError: an answer differs by more than the model's tolerance, or is not finite.
    """
    features_of, model_of, matrix_of = open_graph(transform.graph), open_graph(model), open_graph(matrix)
    inputs, tolerance = signature.inputs, trained.tolerance
    encoder = open_graph(encoder_graph(inputs).SerializeToString())
    largest, count, unit = 0.0, 0, 0.0
    if rows.num_rows > MOST_ROWS:
        rows = rows.take(np.linspace(0, rows.num_rows - 1, MOST_ROWS).astype(np.int64))
    difficult = difficult_rows(raw_thresholds(trained, transform.recipe), inputs, rows)
    for table in chain.from_iterable(batches(rows, inputs) for rows in chain([rows], difficult)):
        tensors = raw_inputs(table, inputs)
        expected = trained.predict(features_of.run(None, tensors)[0])
        unit = unit or (1.0 if signature.classes else unit_of(expected))  # of the first rows, which are real ones
        answers = {
            "model.onnx": model_of.run(None, tensors)[0],
            "matrix.onnx": matrix_of.run(None, dict(zip((MATRIX, TEXTS), encoder.run(None, tensors), strict=False)))[0],
        }
        for name, got in answers.items():
            difference = differences(got, expected, unit)
            worst = np.argsort(-difference, kind="stable")[:_SHOWN]
            if len(worst) and difference[worst[0]] > tolerance:
                received = "".join(_told(table, int(place), difference, got, expected) for place in worst)
                raise ExportError(
                    f"expected {name} to answer as the trained model does, within {tolerance:.2g}. "
                    f"Received: other answers, for these rows most of all:{received}"
                )
            largest = max(largest, float(difference[worst[0]]) if len(worst) else 0.0)
        count += table.num_rows
    return Parity(count, largest)


def _told(table: pa.Table, place: int, difference: np.ndarray, got: np.ndarray, expected: np.ndarray) -> str:
    """One row that the graph answers otherwise, in a line."""
    row = str(table.slice(place, 1).to_pylist()[0])
    shown = row if len(row) <= _LONGEST else row[: _LONGEST - 3] + "..."
    graph, model = (np.array2string(answers[place], precision=7) for answers in (got, expected))
    return f"\n  {difference[place]:.3g} off: {graph}, and the model {model}, for {shown}"


def raw_thresholds(trained: Model, recipe: Transform) -> dict[str, np.ndarray]:
    """Input -> the values of its matrix cell at which the answer jumps, float32."""
    found = trained.thresholds()
    places = {feature.raw: place for place, feature in enumerate(recipe.outputs) if feature.raw is not None}
    return {name: found[place] for name, place in places.items() if place in found}


def difficult_rows(thresholds: dict[str, np.ndarray], inputs: tuple[Input, ...], rows: pa.Table) -> Iterator[pa.Table]:
    """Rows on and beside the model's thresholds, far outside of training, all missing, of unseen categories and texts.

    Each threshold of each number occurs, and the neighbours of it in float32. Numbers take their thresholds in turn,
    `_GROUPS` groups one after the other: while those of a group stand on theirs, all else is as in training, so that
    rows reach the split; and the rows do not become more with the columns.
    """
    base = rows.select([item.name for item in inputs]).slice(0, _BASE_ROWS)
    yield _replaced(base, {item.name: _missing(item, base.num_rows) for item in inputs})
    unseen = pa.array(["never seen"] * base.num_rows)
    yield _replaced(base, {item.name: unseen for item in inputs if item.type == "category"})
    random = np.random.default_rng(0)
    if texts := [item.name for item in inputs if item.type == "text"]:
        yield from _difficult_texts(base, texts, random)
    numbers = {item.name: values for item, values in _boundaries(thresholds, inputs)}
    names = list(random.permutation(list(numbers)))
    for members in (names[start::_GROUPS] for start in range(min(_GROUPS, len(names)))):
        count = max(len(numbers[name]) for name in members)
        yield _replaced(_repeated(base, count), {name: pa.array(np.resize(numbers[name], count)) for name in members})
    yield _with_extremes(base, names, random)


def _difficult_texts(base: pa.Table, names: list[str], random: np.random.Generator) -> Iterator[pa.Table]:
    """No word in the whole batch, alone and together; odd texts in turn; the texts of other rows."""
    yield _replaced(base.slice(0, 1), dict.fromkeys(names, pa.array([_WORDLESS])))
    yield _replaced(base, dict.fromkeys(names, pa.array([_WORDLESS] * base.num_rows)))
    odd = _repeated(base, max(base.num_rows, len(_TEXTS)))
    yield _replaced(odd, {name: pa.array(np.resize(random.permutation(_TEXTS), odd.num_rows)) for name in names})
    yield _replaced(base, {name: base[name].take(random.permutation(base.num_rows)) for name in names})


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
        own = repeated[name].cast(pa.float64(), safe=False).to_numpy()
        turns = random.permuted(third.reshape(3, -1), axis=0).ravel()  # in one of each extreme's three rows
        columns[name] = pa.array(np.where(turns == 0, extreme, own), from_pandas=True)
    return _replaced(repeated, columns)


def _repeated(table: pa.Table, count: int) -> pa.Table:
    return table.take(np.arange(count) % table.num_rows)


def _replaced(table: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    return pa.table({name: columns.get(name, table[name]) for name in table.column_names})


def _missing(item: Input, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.float64() if item.type in ("number", "boolean") else pa.string())
