"""A network over pictures as a TensorFlow SavedModel: JPEG and PNG files in, probabilities and the label out.

The signature `serving_default` takes `image_bytes` [N], strings: what TensorFlow Serving makes of {"b64": ...}. Files
are decoded and resized as everywhere else, see `tensorflow_decode.py`; a value that lies between two is now and then
rounded the other way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

from headrace.artifacts.raw_inputs import contents, open_graph, run_pictures
from headrace.artifacts.signature import Signature
from headrace.trainer.export.parity import ExportError
from headrace.trainer.images.frozen import frozen
from headrace.trainer.images.parity import difficult_files
from headrace.trainer.images.tensorflow_decode import decode, resize
from headrace.trainer.saved_model.names import renumber
from headrace.trainer.saved_model.saved import SIGNATURE, class_of

INPUT = "image_bytes"
TOLERANCE = 0.005  # of a probability, where a few pixels differ by one
_UNIQUE = "fingerprint.pb"  # it holds a random number, and nothing needs it


def write_saved_model(network: Any, signature: Signature, folder: Path) -> None:
    """Writes the SavedModel of a Keras network."""
    item = signature.image
    assert item is not None
    answer = frozen(network, item)
    pixels = tf.TensorSpec([item.height, item.width, 3], tf.float32)

    def serve(image_bytes: Any) -> dict[str, Any]:
        pictures = tf.map_fn(
            lambda one: resize(decode(one), item.height, item.width), image_bytes, fn_output_signature=pixels
        )
        (probabilities,) = answer(pictures)
        place = class_of(probabilities, signature)
        return {signature.output: probabilities, "label": tf.gather(tf.constant(signature.classes), place)}

    module = tf.Module()
    spec = [tf.TensorSpec([None], tf.string, name=INPUT)]
    module.serve = tf.function(serve, input_signature=spec, autograph=False)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.serve})
    _settle(folder)


def _settle(folder: Path) -> None:
    """Names that are the same for the same network."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    renumber(saved)
    file.write_bytes(saved.SerializeToString(deterministic=True))
    (folder / _UNIQUE).unlink(missing_ok=True)


def served(folder: Path) -> Callable[[Sequence[bytes]], dict[str, np.ndarray]]:
    """A SavedModel as a server sees it: files in, its outputs by name out."""
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures[SIGNATURE]

    def answer(files: Sequence[bytes]) -> dict[str, np.ndarray]:
        outputs = function(**{INPUT: tf.constant(list(files))})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    answer.loaded = loaded  # type: ignore[attr-defined] # or TensorFlow throws away what the function needs
    return answer


def check_saved_model(saved: Path, model: Path, signature: Signature, rows: Path) -> dict[str, float]:
    """Compares a SavedModel with model.onnx, on files of the eval split and on files of every kind.

    Raises:
        ExportError: a probability differs by more than `TOLERANCE`, or is not finite.
    """
    item = signature.image
    assert item is not None
    pictures = [*contents(pq.read_table(rows, columns=[item.name]), item)]
    pictures = [one for one in pictures if one.startswith((b"\xff\xd8", b"\x89PNG"))]
    pictures += difficult_files(np.random.default_rng(0))
    expected = run_pictures(open_graph(model), pictures)
    answer = served(saved)
    got = np.concatenate([answer(pictures[at : at + 1])[signature.output] for at in range(len(pictures))])
    difference = np.nan_to_num(np.abs(got - expected), nan=np.inf).max(axis=1)
    worst = int(np.argmax(difference))
    if not difference[worst] <= TOLERANCE:
        raise ExportError(
            f"expected the SavedModel to answer as model.onnx does, within {TOLERANCE:.2g}. "
            f"Received: {got[worst]}, and model.onnx {expected[worst]}"
        )
    size = sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())
    return {"rows": len(pictures), "largest_difference": float(difference[worst]), "bytes": size}
