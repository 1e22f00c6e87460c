"""From a table of raw columns, or from image files, to the tensors that a model's raw-feature graph takes.

The rules are the signature's: a missing value is NaN in a number's or boolean's tensor, and an empty string in
a category's, date's or text's. Numbers travel as float64, so that nothing is rounded before the graph has subtracted
the offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.graph_check import check_graph_file
from headrace.artifacts.pictures import by_size, decode, in_threads
from headrace.artifacts.signature import Input, text_inputs
from headrace.artifacts.text_batches import MOST_ROWS, text_slices

if TYPE_CHECKING:
    import onnxruntime

BATCH_PIXELS = 32 * 224 * 224  # of pictures that go through a graph together: more are no faster, and need more memory
BATCH_ROWS = 16_384  # keeps the strings of a batch, which ONNX Runtime copies, within a few MiB


def batch_rows(inputs: Sequence[Input]) -> int:
    """How many rows a graph of these inputs is given at a time, at most."""
    return MOST_ROWS if text_inputs(inputs) else BATCH_ROWS


def batches(table: pa.Table, inputs: Sequence[Input], most: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """The table in slices that a graph of these inputs takes at a time: fewer rows where texts are long."""
    most = min(most, batch_rows(inputs))
    texts = [inputs[place].name for place in text_inputs(inputs)]
    if not texts:
        for start in range(0, table.num_rows, most):
            yield table.slice(start, most)
        return
    lengths = sum(_lengths(table.column(name)) for name in texts)
    for rows in text_slices(np.asarray(lengths), most):
        yield table.slice(rows.start, rows.stop - rows.start)


def _lengths(column: pa.ChunkedArray) -> np.ndarray:
    lengths = pc.binary_length(pc.fill_null(column.cast(pa.string()), ""))
    return np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64)


def raw_inputs(table: pa.Table | pa.RecordBatch, inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    """The tensors, each of shape (rows, 1), float64 or object, by the input's name.

    Raises:
        HeadraceError: the table lacks a column, or has one of a type that does not fit.
    """
    tensors = {}
    known = set(table.schema.names)
    for item in inputs:
        if item.name not in known:
            raise HeadraceError(f"expected a column `{item.name}`. Received: columns {', '.join(table.schema.names)}")
        column = table.column(item.name)
        try:
            values = _numbers(column) if item.type in ("number", "boolean") else _texts(column)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise HeadraceError(
                f"column `{item.name}`: expected a {item.type}. Received: {column.type} ({error})"
            ) from None
        tensors[item.name] = values.reshape(-1, 1)
    return tensors


def _numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy(zero_copy_only=False))


def _texts(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    texts = pc.fill_null(column.cast(pa.string()), "")
    return np.asarray(texts.to_numpy(zero_copy_only=False), dtype=object)


def open_graph(graph: Path | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session, on the CPU, of a graph in a file or serialized; `threads` 0 leaves the number to it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; its warnings speak of its own shape inference
    if isinstance(graph, Path):  # which may be that of a stranger's bundle
        check_graph_file(graph)
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run_graph(session: onnxruntime.InferenceSession, table: pa.Table, inputs: Sequence[Input]) -> np.ndarray:
    """Runs a raw-feature graph over a table, batch by batch.

    Returns:
        the first output, float32 of shape (rows, width).

    Raises:
        HeadraceError: the table's columns do not fit, or a picture cannot be decoded.
    """
    if inputs[0].type == "image":
        return run_pictures(session, contents(table, inputs[0]))
    parts = [session.run(None, raw_inputs(batch, inputs))[0] for batch in batches(table, inputs)]
    return np.concatenate(parts) if parts else np.empty((0, session.get_outputs()[0].shape[1]), np.float32)


def contents(table: pa.Table | pa.RecordBatch, item: Input) -> Iterator[bytes]:
    """The image files of a column, one after the other.

    Raises:
        HeadraceError: there is no such column, it is not of bytes, or one is missing.
    """
    if item.name not in table.schema.names:
        raise HeadraceError(f"expected a column `{item.name}`. Received: columns {', '.join(table.schema.names)}")
    column = table.column(item.name)
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        raise HeadraceError(f"column `{item.name}`: expected image files' bytes. Received: {column.type}")
    for place, value in enumerate(column):
        if not value.is_valid:
            raise HeadraceError(f"column `{item.name}`, row {place}: expected an image file's bytes. Received: null")
        yield value.as_py()


def run_pictures(session: onnxruntime.InferenceSession, files: Iterable[bytes]) -> np.ndarray:
    """Runs a graph over image files: they are decoded in threads, and go through it together where of one size.

    Returns:
        the first output, float32 of shape (files, width), in their order.

    Raises:
        PictureError: a file cannot be decoded.
    """
    return run_pixels(session, in_threads(decode, files))


def run_pixels(session: onnxruntime.InferenceSession, pictures: Iterable[np.ndarray]) -> np.ndarray:
    """The same over decoded pictures, each uint8 [h, w, 3] of any size."""
    name, output = session.get_inputs()[0].name, session.get_outputs()[0]
    places: list[int] = []
    parts: list[np.ndarray] = []
    for rows, pixels in by_size(pictures, BATCH_PIXELS):
        places += rows
        parts.append(session.run([output.name], {name: pixels})[0])
    if not parts:
        return np.empty((0, output.shape[1]), np.float32)
    answers = np.concatenate(parts)
    return answers[np.argsort(places)]
