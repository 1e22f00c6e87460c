"""A model as a function of cells: one number for each raw column of a row, so that columns can be exchanged cheaply.

A bundle's `matrix.onnx` is the same model as `model.onnx` behind the encoding of single values. To exchange a column of
a row is to exchange its one cell: strings are looked up once, and not in each of the many thousand mixed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.raw_inputs import open_graph, raw_inputs
from headrace.artifacts.signature import Signature, text_inputs
from headrace.artifacts.text_batches import text_slices
from headrace.components.evaluate.scores import Array, Floats, in_order
from headrace.serving.encode import Encoder

BATCH_ROWS = 16_384


class Cells(NamedTuple):
    """N rows as a model takes them: (N, F) cells, and (N, T) texts beside those of them that are of texts."""

    matrix: Floats
    texts: Array | None = None

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, rows: Array) -> Cells:
        """Some of the rows."""
        return Cells(self.matrix[rows], None if self.texts is None else self.texts[rows])


class MatrixModel(NamedTuple):
    """The model: the raw columns in the order of the cells, which of them are texts, and two functions.

    `encode` takes a table with those columns to N rows of cells, and `run` takes those to (N, C) outputs.
    """

    columns: tuple[str, ...]
    encode: Callable[[pa.Table], Cells]
    run: Callable[[Cells], Array]
    texts: tuple[int, ...] = ()

    @classmethod
    def of(cls, bundle: Bundle) -> MatrixModel:
        """The model of a bundle. Its graph is opened when it is first needed."""
        inputs = bundle.signature.inputs
        opened: list[Any] = []

        def encode(table: pa.Table) -> Cells:
            tensors = raw_inputs(table, inputs)
            return encoded(bundle.signature, zip(*(tensors[item.name][:, 0].tolist() for item in inputs), strict=True))

        def run(cells: Cells) -> Array:
            if not opened:
                opened.append(open_graph(bundle.matrix))
            return np.concatenate([opened[0].run(None, part)[0] for part in _parts(cells)])

        return cls(tuple(item.name for item in inputs), encode, run, tuple(text_inputs(inputs)))

    def answering(self, own: Sequence[str], classes: Sequence[str]) -> MatrixModel:
        """The same model, whose outputs of its `own` classes are in the order of the data's, which may be more."""
        if tuple(own) == tuple(classes):
            return self
        return self._replace(run=lambda cells: in_order(self.run(cells), own, classes))


def encoded(signature: Signature, rows: Iterable[tuple[Any, ...]]) -> Cells:
    """Rows of raw values, in the signature's order, as cells: as the server encodes an instance."""
    listed, encoder = list(rows), Encoder(signature)
    return Cells(encoder.matrix(listed)[0], encoder.texts(listed) if text_inputs(signature.inputs) else None)


def _parts(cells: Cells) -> Sequence[dict[str, Array]]:
    if cells.texts is None:
        return [{"matrix": cells.matrix[start : start + BATCH_ROWS]} for start in range(0, len(cells), BATCH_ROWS)]
    lengths = np.vectorize(len, otypes=[np.int64])(cells.texts).sum(axis=1)
    return [{"matrix": cells.matrix[rows], "texts": cells.texts[rows]} for rows in text_slices(lengths)]
