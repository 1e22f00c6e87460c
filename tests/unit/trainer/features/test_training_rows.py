"""The train split as fitting sees it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto

from headrace.artifacts import text_batches
from headrace.artifacts.signature import Input
from headrace.trainer.features import training_rows
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.training_rows import TrainRows
from headrace.trainer.graph import MATRIX


def test_a_sample_is_taken_of_more_text_than_one_array_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks of a text, one of a GiB that nobody looks at, and another text."""
    long = 1 << 30
    data = np.zeros(long + 2, np.uint8)  # memory that is never written to costs none
    data[[0, -1]] = [ord("a"), ord("b")]
    offsets = pa.py_buffer(np.array([0, 1, long + 1, long + 2], np.int32))
    chunk = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(data))
    column = pa.chunked_array([chunk] * 3)
    assert column.nbytes > 2**31
    rows = TrainRows((Input("note", "text"),), lambda names: pa.table({"note": column}).select(names), 9, np.zeros(9))
    monkeypatch.setattr(training_rows, "SAMPLE_ROWS", 4)
    assert rows.sampled.tolist() == [0, 2, 5, 8]
    assert rows.sample.texts is not None
    assert rows.sample.texts.tolist() == [["a"], ["b"], ["b"], ["b"]]


def test_a_sample_keeps_the_order_of_rows_however_they_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_rows, "SAMPLE_ROWS", 7)
    column = pa.chunked_array(
        [pa.array(range(low, high), pa.float64()) for low, high in ((0, 1), (1, 1), (1, 9), (9, 20))]
    )
    rows = TrainRows((Input("x", "number"),), lambda names: pa.table({"x": column}).select(names), 20, np.zeros(20))
    assert rows.sample.matrix.ravel().tolist() == rows.sampled.tolist()


def test_of_long_texts_fewer_rows_go_into_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row becomes its words, and all rows of a batch get room for as many as the longest has."""
    monkeypatch.setattr(text_batches, "MOST_CHARACTERS", 100)
    table = pa.table({"note": ["a" * length for length in (10, 10, 10, 60, 40, 1)], "x": [float(i) for i in range(6)]})
    rows = TrainRows((Input("note", "text"), Input("x", "number")), table.select, 6, np.zeros(6))
    graph = FeatureGraph()
    found = list(rows.batches_of_sample(graph, graph.column(MATRIX, 1), TensorProto.DOUBLE, 1))
    assert [part.ravel().tolist() for part in found] == [[0.0, 1.0, 2.0], [3.0], [4.0, 5.0]]
