"""The train split as fitting sees it: a sample that is encoded once, and all rows batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from onnx import TensorProto, helper

from headrace.artifacts.raw_inputs import batch_rows, open_graph, raw_inputs
from headrace.artifacts.signature import Input, text_inputs
from headrace.trainer.encoder_graph import encoder_graph
from headrace.trainer.features.encoding import Encoding
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.graph import MATRIX, TEXTS, encoded_inputs

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
    """

    inputs: tuple[Input, ...]
    read: Callable[[list[str]], pa.Table]
    rows: int
    label: np.ndarray
    classes: tuple[str, ...] = ()
    ingredients: frozenset[str] = frozenset()
    weights: np.ndarray | None = None

    @cached_property
    def sampled(self) -> np.ndarray:
        """The places of the sample's rows, evenly over the split, in their order."""
        most = min(SAMPLE_ROWS, max(1_000, SAMPLE_CELLS // max(len(self.inputs), 1)))
        return np.unique(np.linspace(0, self.rows - 1, min(most, self.rows)).astype(np.int64))

    @cached_property
    def sample(self) -> Encoded:
        """The sample, encoded."""
        names = [item.name for item in self.inputs]
        columns = {
            name: self.read([name])[name].take(pa.array(self.sampled)) for name in names
        }  # one in memory at a time
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
        for start in range(0, len(self.sampled), rows):
            texts = self.sample.texts
            part = Encoded(
                self.sample.matrix[start : start + rows], None if texts is None else texts[start : start + rows]
            )
            yield _run(session, part)

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
        size = batch_rows(items)
        for start in range(0, table.num_rows, size):
            batch = table.slice(start, size)
            tensors = raw_inputs(batch, items)
            matrix = np.full((batch.num_rows, len(self.inputs)), np.nan)
            matrix[:, [place for place, _ in chosen]] = encoder.run([encoder.get_outputs()[0].name], tensors)[0]
            beside = [tensors.get(name, np.full((batch.num_rows, 1), "", object)) for name in texts]
            yield Encoded(matrix, np.concatenate(beside, axis=1) if beside else None)


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
