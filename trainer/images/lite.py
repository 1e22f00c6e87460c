"""A network over pictures as TensorFlow Lite files, for cameras and small machines.

The input is `image`, one picture [1, height, width, 3] of the network's own size, RGB, 0 to 255: float32, but uint8 of
`int8`, which computes in whole numbers, with steps that were set by pictures of the train split. The output is
the probabilities [1, C]; of `int8` as uint8, in steps that the file itself tells. The device resizes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.pictures import Pixels, decode, in_threads
from headrace.artifacts.raw_inputs import contents, open_graph, run_pixels
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.export.lite import ORIGINAL
from headrace.trainer.export.parity import ExportError
from headrace.trainer.images.frozen import frozen
from headrace.trainer.images.resize import Resizer
from headrace.trainer.loss import loss
from headrace.trainer.parameters import Precision

TOLERANCE = 1e-3  # of the float32 file, whose sums are in another order


def write_lite(
    network: Any, signature: Signature, model: Path, wanted: Sequence[Precision], rows: Path, train: Path, folder: Path
) -> dict[str, dict[str, float]]:
    """Converts a Keras network, and answers for pictures of the eval split with each file.

    Args:
        network: pixels -> probabilities.
        signature: its signature.
        model: the graph that is the measure.
        wanted: which files.
        rows, train: Parquet files of pictures and class numbers: to try the files on, and to set int8's steps.
        folder: where the files are written, as `float32.tflite` and so on.

    Returns:
        by precision, and of the graph as `onnx`: bytes, accuracy, log_loss, and the largest difference of a probability
        from the graph's.

    Raises:
        HeadraceError: TensorFlow Lite lacks an operation of the network.
        ExportError: the float32 file does not answer as the graph does; what a smaller one loses is for its reader to
            judge.
    """
    item = signature.image
    assert item is not None
    pictures = pixels_of(rows, item)
    labels = pq.read_table(rows, columns=["label"]).column(0).to_numpy()
    expected = run_pixels(open_graph(model), pictures)
    found = {ORIGINAL: _figures(model.stat().st_size, expected, labels)}
    function = frozen(network, item, rows=1, compiled=False)
    folder.mkdir()
    for precision in wanted:
        content = _converted(function, precision, pixels_of(train, item) if precision == "int8" else [])
        (folder / f"{precision}.tflite").write_bytes(content)
        answers = answers_of(content, pictures)
        difference = float(np.nan_to_num(np.abs(answers - expected), nan=np.inf).max())
        found[precision] = {**_figures(len(content), answers, labels), "largest_difference": difference}
    if not found.get("float32", {}).get("largest_difference", 0.0) <= TOLERANCE:
        raise ExportError(
            f"expected float32.tflite to answer as model.onnx does, within {TOLERANCE:.2g}. "
            f"Received: {found['float32']['largest_difference']:.3g} off, on the eval split"
        )
    return {name: {key: float(f"{value:.10g}") for key, value in figures.items()} for name, figures in found.items()}


def pixels_of(rows: Path, item: Input) -> list[Pixels]:
    """The pictures of a Parquet file, as the network takes them: uint8 [height, width, 3] each."""
    resize = Resizer(item)
    table = pq.read_table(rows, columns=[item.name])
    return list(in_threads(lambda content: resize(decode(content)), contents(table, item)))


def _converted(function: Any, precision: Precision, representative: Sequence[Pixels]) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":

        def some() -> Iterator[list[np.ndarray]]:
            for picture in representative:
                yield [picture[None].astype(np.float32)]

        converter.representative_dataset = some
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8
    try:
        content: bytes = converter.convert()
    except ConverterError as error:
        reason = " ".join(str(error).split())[:300]
        raise HeadraceError(
            f"export.tflite: expected a network that TensorFlow Lite can compute as {precision}. Received: {reason}"
        ) from None
    return content


def answers_of(content: bytes, pictures: Sequence[Pixels]) -> np.ndarray:
    """What a TensorFlow Lite file answers, float64 [n, C]."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated.*")  # its successor is not in the lock
        interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for picture in pictures:
        interpreter.set_tensor(given["index"], _quantized(picture[None], given))
        interpreter.invoke()
        answers.append(_restored(interpreter.get_tensor(gives["index"])[0], gives))
    return np.stack(answers)


def _quantized(pixels: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    """Pixels in the steps that the file takes: value = scale * (number - zero)."""
    if about["dtype"] == np.float32:
        return np.asarray(pixels, np.float32)
    scale, zero = about["quantization"]
    return np.asarray(np.clip(np.round(pixels / scale + zero), 0, 255), np.uint8)


def _restored(answer: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    wide: np.ndarray = answer.astype(np.float64)
    scale, zero = about["quantization"] if about["dtype"] != np.float32 else (1.0, 0)
    return np.asarray(scale * (wide - zero))


def _figures(size: int, answers: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Size, and how good it is."""
    return {
        "bytes": size,
        "accuracy": float((answers.argmax(axis=1) == labels).mean()),
        "log_loss": loss(answers.astype(np.float64), labels, None, answers.shape[1]),
    }
