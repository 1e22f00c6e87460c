"""A model as TensorFlow Lite files, for phones and small machines: from features to the answer.

The input is `features` float32 [N, W], what the bundle's transform makes of a row: on the device, whoever calls makes
them. `float16` halves the weights, `int8` makes them a quarter (dynamic range quantization): in both, inputs, outputs
and sums stay float32, so features of very different sizes, and codes, are not rounded.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, numpy_helper

from headrace.artifacts.closeness import differences, unit_of
from headrace.artifacts.raw_inputs import open_graph
from headrace.trainer.graph import FEATURES
from headrace.trainer.model import Rows
from headrace.trainer.network.layout import dense
from headrace.trainer.parameters import Precision
from headrace.trainer.saved_model.replay import Replay

ORIGINAL = "onnx"
BATCH_ROWS = 4_096


@dataclass(frozen=True)
class Lite:
    """One file: its content (None for the original), size, answers on the eval split, and how far from the original's.

    The difference is relative above 1.
    """

    content: bytes | None
    bytes: int
    answers: np.ndarray
    largest_difference: float | None = None


def lite_files(graph: onnx.ModelProto, wanted: Sequence[Precision], rows: Rows) -> dict[str, Lite]:
    """Converts a model's graph, and answers for some rows with each file.

    Args:
        graph: `features` float32 [N, W] -> the output.
        wanted: which files.
        rows: of the eval split.

    Returns:
        by precision; the graph itself as `onnx`.

    Raises:
        HeadraceError: TensorFlow lacks an operation of the model.
    """
    serialized = graph.SerializeToString()
    session = open_graph(serialized)
    expected = np.concatenate([session.run(None, {FEATURES: part})[0] for part in _parts(rows)]).astype(np.float64)
    found = {ORIGINAL: Lite(None, len(serialized), expected)}
    replayed = Replay(narrowed(graph))
    width = graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value

    def answer(features: Any) -> Any:
        (output,) = replayed.replay({FEATURES: features}).values()
        return output

    spec = tf.TensorSpec([None, width], tf.float32, name=FEATURES)
    concrete = tf.function(answer, input_signature=[spec]).get_concrete_function()
    for precision in wanted:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], replayed.module)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
        answers = _answers(content, rows)
        difference = differences(answers, expected, unit_of(expected) if expected.shape[1] == 1 else 1.0)
        found[precision] = Lite(content, len(content), answers, float(difference.max(initial=0.0)))
    return found


def narrowed(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in float32 throughout: TensorFlow Lite has next to nothing for float64."""
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    for place, item in enumerate(result.graph.initializer):
        if item.data_type == TensorProto.DOUBLE:
            array = numpy_helper.to_array(item).astype(np.float32)
            result.graph.initializer[place].CopyFrom(numpy_helper.from_array(array, item.name))
    casts = [attribute for node in result.graph.node if node.op_type == "Cast" for attribute in node.attribute]
    for attribute in casts:
        if attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
            attribute.i = TensorProto.FLOAT
    return result


def _answers(content: bytes, rows: Rows) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated.*")  # its successor is not in the lock
        interpreter = tf.lite.Interpreter(model_content=content)
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for part in _parts(rows):
        interpreter.resize_tensor_input(given["index"], part.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], part)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(gives["index"]).astype(np.float64))
    return np.concatenate(answers)


def _parts(rows: Rows) -> list[np.ndarray]:
    starts = range(0, rows.features.shape[0], BATCH_ROWS)
    return [dense(rows.features[start : start + BATCH_ROWS]) for start in starts]
