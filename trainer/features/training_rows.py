"""The train split as fitting sees it: a sample that is encoded once, and all rows batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from onnx import TensorProto, helper

from headrace.artifacts.raw_inputs import batch_rows, batches, open_graph, raw_inputs
from headrace.artifacts.signature import Input, text_inputs
from headrace.artifacts.text_batches import text_slices
from headrace.trainer.encoder_graph import encoder_graph
from headrace.trainer.features.encoding import Encoding
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.graph import MATRIX, TEXTS, encoded_inputs
from headrace.trainer.groups import groups_of

SAMPLE_ROWS = 200_000  # that scales, quantiles and vocabularies of texts are fitted on: more would change nothing
SAMPLE_CELLS = 40_000_000
BATCH_CELLS = 16_000_000  # of what a graph gives at a time


class Encoded(NamedTuple):
    """Rows as the features' graph takes them: float64 [n, F], and string [n, T] where there are texts."""

    matrix: np.ndarray
    texts: np.ndarray | None


@dataclass(frozen=True)
class TrainRows:
    """The train split.

    Attributes:
        inputs: the raw features.
        read: the table of some of its columns, all rows.
        rows: how many.
        label: class numbers or values, (rows,).
        classes: the names of the classes; empty for a regression.
        ingredients: inputs that expressions read, and that are no features themselves.
        weights: how much each row counts; None: all the same.
        together: the columns whose rows of one value belong together, see `trainer.groups`.
    """

    inputs: tuple[Input, ...]
    read: Callable[[list[str]], pa.Table]
    rows: int
    label: np.ndarray
    classes: tuple[str, ...] = ()
    ingredients: frozenset[str] = frozenset()
    weights: np.ndarray | None = None
    together: tuple[str, ...] = ()

    def groups(self) -> np.ndarray | None:
        """Which rows belong together, (rows,); None: each stands alone."""
        return groups_of(self.read(list(self.together))) if self.together else None

    @cached_property
    def sampled(self) -> np.ndarray:
        """The places of the sample's rows, evenly over the split, in their order."""
        most = min(SAMPLE_ROWS, max(1_000, SAMPLE_CELLS // max(len(self.inputs), 1)))
        return np.unique(np.linspace(0, self.rows - 1, min(most, self.rows)).astype(np.int64))

    @cached_property
    def sample(self) -> Encoded:
        """The sample, encoded."""
        names = [item.name for item in self.inputs]
        columns = {name: _taken(self.read([name])[name], self.sampled) for name in names}  # one in memory at a time
        parts = list(self._encode(names, pa.table(columns)))
        texts = [part.texts for part in parts if part.texts is not None]
        return Encoded(np.concatenate([part.matrix for part in parts]), np.concatenate(texts) if texts else None)

    def of_sample(self, graph: FeatureGraph, tensor: str, kind: int = TensorProto.DOUBLE) -> np.ndarray:
        """What the graph gives for the sample."""
        return np.concatenate([*self.batches_of_sample(graph, tensor, kind)])

    def batches_of_sample(self, graph: FeatureGraph, tensor: str, kind: int, width: int = 1) -> Iterator[np.ndarray]:
        """The same batch by batch, for what is wide or has a width of its own in each."""
        session = self._session(graph, tensor, kind)
        rows = min(batch_rows(self.inputs), max(256, BATCH_CELLS // width))
        matrix, texts = self.sample
        for part in text_slices(self._lengths, rows):
            yield _run(session, Encoded(matrix[part], None if texts is None else texts[part]))

    @cached_property
    def _lengths(self) -> np.ndarray:
        """The characters of each of the sample's rows: of long texts fewer rows go into a batch, as in serving."""
        texts = self.sample.texts
        if texts is None:
            return np.zeros(len(self.sampled), np.int64)
        return np.array([sum(map(len, row)) for row in texts], np.int64)

    def of_all(self, graph: FeatureGraph, tensor: str, needed: Sequence[str]) -> np.ndarray:
        """What the graph gives for all rows, float32 (rows, k): codes, which float32 holds; it reads `needed` alone."""
        session = self._session(graph, tensor, TensorProto.DOUBLE)
        return np.concatenate(
            [_run(session, part).astype(np.float32) for part in self._encode(list(needed), self.read(list(needed)))]
        )

    def _session(self, graph: FeatureGraph, tensor: str, kind: int) -> Any:
        inputs = encoded_inputs(len(self.inputs), len(text_inputs(self.inputs)))
        output = helper.make_tensor_value_info(tensor, kind, ["N", "columns"])
        return open_graph(graph.part(inputs, [output]).SerializeToString())

    def _encode(self, names: list[str], table: pa.Table) -> Iterator[Encoded]:
        """Some inputs, encoded; the other columns of the matrix are missing, and the other texts empty."""
        chosen = [(place, item) for place, item in enumerate(self.inputs) if item.name in names]
        items = [item for _, item in chosen]
        encoder = open_graph(encoder_graph(items).SerializeToString())
        texts = [self.inputs[place].name for place in text_inputs(self.inputs)]
        for batch in batches(table, items):
            tensors = raw_inputs(batch, items)
            matrix = np.full((batch.num_rows, len(self.inputs)), np.nan)
            matrix[:, [place for place, _ in chosen]] = encoder.run([encoder.get_outputs()[0].name], tensors)[0]
            beside = [tensors.get(name, np.full((batch.num_rows, 1), "", object)) for name in texts]
            yield Encoded(matrix, np.concatenate(beside, axis=1) if beside else None)


def _taken(column: pa.ChunkedArray, places: np.ndarray) -> pa.ChunkedArray:
    """The values at places, which are in their order.

    Chunk by chunk: Arrow's own function joins the chunks, and of texts no more than 2 GiB fit into one.
    """
    taken, start = [], 0
    for chunk in column.chunks:
        low, high = np.searchsorted(places, (start, start + len(chunk)))
        taken.append(chunk.take(pa.array(places[low:high] - start)))
        start += len(chunk)
    return pa.chunked_array(taken, column.type)


def _run(session: Any, rows: Encoded) -> np.ndarray:
    feed = {MATRIX: rows.matrix, **({TEXTS: rows.texts} if rows.texts is not None else {})}
    return np.asarray(session.run(None, feed)[0])


def applied(encoding: Encoding, values: np.ndarray) -> np.ndarray:
    """What an encoding's nodes make of a block of numbers: float64 (rows, k) to (rows, m)."""
    graph = FeatureGraph()
    given = helper.make_tensor_value_info("block", TensorProto.DOUBLE, ["N", values.shape[1]])
    result = helper.make_tensor_value_info(encoding.emit(graph, "block"), TensorProto.DOUBLE, ["N", "columns"])
    session = open_graph(graph.part([given], [result]).SerializeToString())
    rows = max(256, BATCH_CELLS // values.shape[1])
    parts = [session.run(None, {"block": values[start : start + rows]})[0] for start in range(0, len(values), rows)]
    return np.concatenate(parts)
