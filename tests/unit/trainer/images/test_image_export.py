"""A real network becomes model.onnx, a SavedModel and TensorFlow Lite files that answer alike."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "serving"))
from picture_bundle import encoded, picture

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.pictures import decode
from headrace.artifacts.raw_inputs import open_graph, run_pictures
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.export.parity import ExportError
from headrace.trainer.images.export import Network, Pictures, export_images
from headrace.trainer.images.parity import difficult_files
from headrace.trainer.images.resize import Resizer
from headrace.trainer.parameters import Export

pytestmark = pytest.mark.slow

ITEM = Input("image", "image", height=24, width=32)
SIGNATURE = Signature("classification", "colour", (ITEM,), ("red", "green", "blue"))
LABELS = np.arange(48, dtype=np.int32) % 3
FILES = [encoded(picture(int(c), 20 + n % 3, 30, seed=n), ("PNG", "JPEG")[n % 2]) for n, c in enumerate(LABELS)]
PICTURES = Pictures(FILES, LABELS)


def network(dtype: str = "float32") -> Any:
    """Every kind of layer that a converter may stumble on, fresh."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        given = layers.Input((24, 32, 3))
        x = layers.Normalization(mean=[100.0, 110, 120], variance=[400.0, 500, 600])(given)
        x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
        x = layers.Conv2D(8, 3, groups=8, padding="same")(x)
        x = layers.DepthwiseConv2D(3)(x)
        x = layers.Activation("gelu")(x)
        x = layers.LayerNormalization()(x)
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(given, layers.Dense(3, activation="softmax", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy(previous)


def answer_of(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.asarray(model(pixels.astype(np.float32), training=False))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    model = network()
    resize = Resizer(ITEM)
    pixels = np.stack([resize(decode(content)) for content in FILES]).astype(np.float32)
    model.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    model.fit(pixels, LABELS, epochs=30, verbose=0)
    file = tmp_path_factory.mktemp("network") / "network.keras"
    model.save(file)
    return model, file


@pytest.fixture(scope="module")
def exported(trained: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    model, file = trained
    folder = tmp_path_factory.mktemp("bundle")
    wanted = Export(saved_model=True, tflite=("float32", "float16", "int8"))
    return folder, export_images(folder, Network(file, answer_of(model)), SIGNATURE, PICTURES, PICTURES, wanted)


def test_all_of_them_answer_alike_and_tell_what_they_lose(exported: tuple[Path, dict[str, Any]]) -> None:
    folder, found = exported
    assert found["parity"]["rows"] > len(FILES)
    assert found["parity"]["largest_difference"] < 1e-5
    assert found["saved_model"]["largest_difference"] < 0.005
    assert found["saved_model"]["rows"] == len(FILES) + 8
    lite = found["tflite"]
    assert list(lite) == ["onnx", "float32", "float16", "int8"]
    assert lite["onnx"]["accuracy"] > 0.9  # or the accuracies below say nothing
    assert lite["float32"]["largest_difference"] < 1e-5 < lite["float16"]["largest_difference"] < 0.02
    assert lite["int8"]["largest_difference"] < 0.2
    for name in ("float32", "float16", "int8"):
        assert lite[name]["bytes"] == (folder / "tflite" / f"{name}.tflite").stat().st_size
        assert abs(lite[name]["accuracy"] - lite["onnx"]["accuracy"]) < 0.1


def test_int8_takes_and_gives_and_computes_in_whole_numbers(exported: tuple[Path, dict[str, Any]]) -> None:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(exported[0] / "tflite" / "int8.tflite"))
    interpreter.allocate_tensors()
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (given["dtype"], gives["dtype"]) == (np.uint8, np.uint8)
    assert given["shape"].tolist() == [1, 24, 32, 3]
    types = [one["dtype"] for one in interpreter.get_tensor_details()]
    assert types.count(np.int8) > 5 * (types.count(np.float32) + types.count(np.float16))


def test_the_saved_model_takes_files_of_every_kind(exported: tuple[Path, dict[str, Any]]) -> None:
    from headrace.trainer.images.saved_model import served

    folder, _ = exported
    files = [*FILES[:5], *difficult_files(np.random.default_rng(3))]
    expected = run_pictures(open_graph(folder / "model.onnx"), files)
    found = served(folder / "saved_model")(files)
    np.testing.assert_allclose(found["probabilities"], expected, atol=0.005)
    assert [name.decode() for name in found["label"]] == [SIGNATURE.classes[k] for k in expected.argmax(axis=1)]


def test_decoding_and_resizing_in_tensorflow_are_ours() -> None:
    import tensorflow as tf
    from PIL import Image

    from headrace.trainer.images import tensorflow_decode

    turned = []
    pixels = np.random.default_rng(1).integers(0, 256, (31, 45, 3), dtype=np.uint8)
    for orientation in range(10):
        for order in ("<", ">"):
            exif = Image.Exif()
            exif.endian = order
            exif[0x010F], exif[0x0112], exif[0x0131] = "a maker", orientation, "a program"
            turned.append(encoded(pixels, "JPEG", exif=exif, quality=60))
    decoded = tf.function(tensorflow_decode.decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    for content in (*turned, *FILES, *difficult_files(np.random.default_rng(2))):
        np.testing.assert_array_equal(decoded(content).numpy(), decode(content))
    resize = Resizer(ITEM)
    for size in ((20, 30), (1, 1), (24, 32), (601, 47), (5, 997)):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        difference = np.abs(tensorflow_decode.resize(pixels, 24, 32).numpy() - resize(pixels).astype(float))
        assert difference.max() <= 1 and (difference > 0).mean() < 0.005


def test_the_same_network_makes_the_same_files(
    trained: tuple[Any, Path], exported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    model, file = trained
    wanted = Export(saved_model=True, tflite=("float32", "float16", "int8"))
    found = export_images(tmp_path, Network(file, answer_of(model)), SIGNATURE, PICTURES, PICTURES, wanted)
    assert found == exported[1]
    files = [one.relative_to(tmp_path) for one in tmp_path.rglob("*") if one.is_file()]
    assert len(files) >= 5
    assert [one for one in files if (tmp_path / one).read_bytes() != (exported[0] / one).read_bytes()] == []


def test_a_network_that_is_not_the_files_makes_no_bundle(trained: tuple[Any, Path], tmp_path: Path) -> None:
    model, file = trained
    other = network()
    with pytest.raises(ExportError, match="expected model.onnx to answer as the trained network does"):
        export_images(tmp_path, Network(file, answer_of(other)), SIGNATURE, PICTURES, PICTURES, Export())
    with pytest.raises(HeadraceError, match="expected a network with one input .* and 2 probabilities"):
        two = Signature("classification", "colour", (ITEM,), ("a", "b"), "b", 0.5)
        export_images(tmp_path, Network(file, answer_of(model)), two, PICTURES, PICTURES, Export())


def test_a_network_of_mixed_precision_is_refused_with_what_to_do(tmp_path: Path) -> None:
    mixed = network("mixed_bfloat16")
    mixed.save(tmp_path / "mixed.keras")
    with pytest.raises(
        HeadraceError, match="built under that policy, with the trained one's weights. Received: layers in bf"
    ):
        wrong = Network(tmp_path / "mixed.keras", answer_of(mixed))
        export_images(tmp_path, wrong, SIGNATURE, PICTURES, PICTURES, Export())
