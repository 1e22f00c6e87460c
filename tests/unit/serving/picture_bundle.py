"""A small bundle over pictures, without a learner: the class is the colour of which a picture has most."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from headrace.artifacts.bundle import MODEL, SAMPLES, SIGNATURE, write_bundle
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.graph import Graph
from headrace.trainer.images.export import Pictures
from headrace.trainer.images.resize import add_resize, picture_input
from headrace.trainer.images.samples import samples

ITEM = Input("image", "image", height=24, width=32)
COLOURS = Signature("classification", "colour", (ITEM,), ("red", "green", "blue"))


def colour_graph(item: Input = ITEM) -> onnx.ModelProto:
    """`image` uint8 [N, h, w, 3] -> `probabilities` [N, 3]: softmax of 8 times the mean colour."""
    graph = Graph("")
    pixels = graph.add("Cast", add_resize(graph, item), to=TensorProto.FLOAT)
    mean = graph.add("ReduceMean", pixels, graph.constant([1, 2], np.int64), keepdims=0)
    logits = graph.add("Mul", mean, graph.constant(8 / 255, np.float32))
    graph.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], axis=1))
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])
    return graph.model("colours", [picture_input(item)], [output])


def expected(pixels: np.ndarray) -> np.ndarray:
    """What it answers for one picture of any size, but for what resizing rounds."""
    powers = np.exp(8 * pixels.reshape(-1, 3).mean(axis=0) / 255)
    return powers / powers.sum()


def picture(colour: int, height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, 3], noise with more of one colour."""
    pixels = np.random.default_rng(seed).integers(0, 90, (height, width, 3), dtype=np.uint8)
    pixels[:, :, colour] += 120
    return pixels


def encoded(pixels: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """An image file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=format, **options)
    return stream.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def write_picture_bundle(path: Path, graph: onnx.ModelProto | None = None) -> Path:
    labels = np.arange(9, dtype=np.int32) % 3
    formats = ("PNG", "JPEG")
    files = [encoded(picture(int(c), seed=n), formats[n % 2]) for n, c in enumerate(labels)]
    with write_bundle(path, {"name": "colours", "version": "2"}) as folder:
        onnx.save(graph or colour_graph(), folder / MODEL)
        COLOURS.write(folder / SIGNATURE)
        write_json(folder / SAMPLES, samples(Pictures(files, labels), folder / MODEL, COLOURS))
    return path
