"""`python -m headrace.trainer.images.export_process FOLDER`: the part of the export that needs TensorFlow.

It is a process of its own because Keras has one backend for the life of a process, and training may want another. What
it is asked, and where it answers, is in `trainer/images/export.py`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from headrace.artifacts import bundle as files
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_json, write_json
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.images.export import EVALUATION, REQUEST, RESULT, TRAIN


def main(folder: str) -> int:
    """Exports; returns the process's exit code."""
    request = Path(folder)
    try:
        write_json(request / RESULT, export(request))
    except HeadraceError as error:
        write_json(request / RESULT, {"error": str(error)})
        return error.exit_code
    return 0


def export(request: Path) -> dict[str, Any]:
    """Writes model.onnx, and what else is asked for, into the request's folder; returns the figures.

    Raises:
        HeadraceError: the network is not as it should be, or cannot be exported.
    """
    import onnx

    from headrace.trainer.images.network_graph import image_graph

    asked = read_json(request / REQUEST)
    signature = Signature.from_dict(asked["signature"])
    assert signature.image is not None
    network = read_network(request / "network.keras", asked["modules"], signature.image, len(signature.classes))
    onnx.save(image_graph(network, signature.image, signature.output), request / files.MODEL)
    found: dict[str, Any] = {}
    if asked["saved_model"]:
        from headrace.trainer.images.saved_model import check_saved_model, write_saved_model

        place = request / files.SAVED_MODEL
        write_saved_model(network, signature, place)
        found["saved_model"] = check_saved_model(place, request / files.MODEL, signature, request / EVALUATION)
    if asked["tflite"]:
        from headrace.trainer.images.lite import write_lite

        found["tflite"] = write_lite(
            network, signature, request / files.MODEL, asked["tflite"],
            request / EVALUATION, request / TRAIN, request / files.TFLITE,
        )  # fmt: skip
    return found


def read_network(file: Path, modules: list[str], item: Input, classes: int) -> Any:
    """The Keras network, checked.

    Raises:
        HeadraceError: it cannot be read, computes in less than float32, or its input or output is another.
    """
    import keras

    for name in modules:
        import_module(name)
    try:
        network = keras.models.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError) as error:
        raise HeadraceError(f"{file.name}: expected a Keras network without Lambda layers. Received: {error}") from None
    shapes = [tuple(tensor.shape[1:]) for tensor in (*network.inputs, *network.outputs)]
    if shapes != [(item.height, item.width, 3), (classes,)]:
        wanted = f"one input [{item.height}, {item.width}, 3] and {classes} probabilities"
        raise HeadraceError(f"{file.name}: expected a network with {wanted}. Received: {shapes}")
    narrow = sorted({layer.compute_dtype for layer in network._flatten_layers()} & {"float16", "bfloat16"})
    if narrow:
        raise HeadraceError(
            f"{file.name}: expected a network that computes in float32: one built under that policy, with the trained "
            f"one's weights. Received: layers in {', '.join(narrow)}"
        )
    return network


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
