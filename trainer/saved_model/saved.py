"""Writes a model as a TensorFlow SavedModel from raw features, and reads it back as TensorFlow Serving would.

The signature `serving_default` takes a tensor [N] per feature, by the column's name, so that a row of JSON is an
instance as it is: numbers and booleans (1, 0) as float64, NaN where missing; texts, categories and dates as strings,
"" where missing. It gives `probabilities` [N, C] and `label` [N], or `value` [N, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import tensorflow as tf

from headrace.artifacts.raw_inputs import raw_inputs
from headrace.artifacts.signature import Signature
from headrace.trainer.saved_model.names import renumber
from headrace.trainer.saved_model.replay import Replay

SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_UNIQUE = "fingerprint.pb"  # it holds a random number, and nothing needs it


def write_saved_model(model: onnx.ModelProto, signature: Signature, folder: Path) -> None:
    """Writes the SavedModel of a graph from raw features.

    Raises:
        HeadraceError: the graph has operations that TensorFlow cannot replay.
    """
    graph = Replay(model)
    places = [f"input_{place}" for place in range(len(signature.inputs))]  # a column's name may be no name to Python
    specs = [
        tf.TensorSpec([None], tf.float64 if item.type in ("number", "boolean") else tf.string, name=place)
        for place, item in zip(places, signature.inputs, strict=True)
    ]

    def serve(*columns: Any) -> dict[str, Any]:
        names = [item.name for item in signature.inputs]
        tensors = {name: tf.reshape(column, [-1, 1]) for name, column in zip(names, columns, strict=True)}
        (output,) = graph.replay(tensors).values()
        answer = {signature.output: output}
        if signature.classes:
            answer["label"] = tf.gather(tf.constant(signature.classes), class_of(output, signature))
        return answer

    graph.module.serve = tf.function(serve, input_signature=specs)
    tf.saved_model.save(graph.module, str(folder), signatures={SIGNATURE: graph.module.serve})
    _rename_inputs(folder, dict(zip(places, [item.name for item in signature.inputs], strict=True)))
    (folder / _UNIQUE).unlink(missing_ok=True)


def class_of(probabilities: Any, signature: Signature) -> Any:
    """The number of each row's class, by the signature's rule."""
    if signature.positive is None or signature.threshold is None:
        return tf.argmax(probabilities, axis=1)
    positive = signature.classes.index(signature.positive)
    return tf.where(probabilities[:, positive] >= signature.threshold, positive, 1 - positive)


def _rename_inputs(folder: Path, names: dict[str, str]) -> None:
    """Calls the signature's inputs as the columns are called, whatever is in their names; and all else by its place."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    renumber(saved)
    inputs = saved.meta_graphs[0].signature_def[SIGNATURE].inputs
    tensors = {name: inputs[place] for place, name in names.items()}
    copies = {name: type(tensor).FromString(tensor.SerializeToString()) for name, tensor in tensors.items()}
    inputs.clear()
    for name, tensor in copies.items():
        inputs[name].CopyFrom(tensor)
    file.write_bytes(saved.SerializeToString(deterministic=True))


class Served:
    """A SavedModel as a server sees it: by the names of its signature."""

    def __init__(self, folder: Path) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        level, log = tf.get_logger().level, tf.get_logger()
        log.setLevel("ERROR")  # this way to load is an old one; it is the one that reads signatures, as servers do
        try:
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        finally:
            log.setLevel(level)
        self._signature = loaded.signature_def[SIGNATURE]

    def run(self, table: pa.Table, signature: Signature) -> dict[str, np.ndarray]:
        """Answers for raw rows, by the name of the output."""
        tensors = raw_inputs(table, signature.inputs)
        feed = {self._signature.inputs[name].name: values.ravel() for name, values in tensors.items()}
        return dict(self._session.run({name: item.name for name, item in self._signature.outputs.items()}, feed))

    def close(self) -> None:
        """Gives back what it holds."""
        self._session.close()
