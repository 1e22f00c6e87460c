"""Replays an ONNX graph in TensorFlow.

The graph that a bundle serves says what a feature is; here every node of it becomes the TensorFlow operation that does
the same. What has no such operation is refused, by name: trees, for example.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import tensorflow as tf
from onnx import helper, numpy_helper

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.saved_model.numbers import NUMBERS
from headrace.trainer.saved_model.texts import TEXTS

OPERATIONS = {**NUMBERS, **TEXTS}  # operator -> the function that makes it


class Replay:
    """An ONNX graph as a function of TensorFlow.

    What has a state, the tables of words and categories, is made once and belongs to `module`, so that it is saved with
    it.

    Raises:
        HeadraceError: the graph has operations that cannot be replayed; all of them are named.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        unknown = sorted({node.op_type for node in model.graph.node} - OPERATIONS.keys())
        if unknown:
            raise HeadraceError(
                "export: expected a model whose operations TensorFlow has: a linear model or a network. "
                f"Received: one with {', '.join(unknown)}"
            )
        self._outputs = [output.name for output in model.graph.output]
        constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        self._constants = constants
        self._steps = []
        self.module = tf.Module()
        self.module.tables = []
        for node in model.graph.node:
            attributes = {item.name: _plain(helper.get_attribute_value(item)) for item in node.attribute}
            made = OPERATIONS[node.op_type](attributes)
            self.module.tables += getattr(made, "tables", [])
            self._steps.append((made, tuple(node.input), tuple(node.output)))

    def replay(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The graph's outputs by name, for tensors by the names of its inputs."""
        values: dict[str, Any] = {**self._constants}
        values |= {name: tf.convert_to_tensor(tensor) for name, tensor in inputs.items()}
        for made, needs, gives in self._steps:
            found = made(*[values[name] if name else None for name in needs])
            several = found if isinstance(found, tuple) else (found,)
            values.update(zip(gives, several, strict=False))
        return {name: tf.convert_to_tensor(values[name]) for name in self._outputs}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
