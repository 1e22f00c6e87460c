"""Pictures of a coloured square on grey, and a graph over their pixels that knows what to do with them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from headrace.artifacts.bundle import Bundle, write_bundle
from headrace.artifacts.dataset import Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.components.evaluate.images.network import Network

CLASSES = ("blue", "green", "red")
COLOURS = {"red": (0, 200), "green": (1, 200), "blue": (2, 200)}
SIDE, SQUARE = 48, 16
ROWS = {"train": 30, "eval": 60, "test": 90}


def picture(random: np.random.Generator, name: str, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Grey noise with a square of the class's colour; uint8 [height, width, 3]."""
    pixels = random.integers(90, 110, (height, width, 3))
    channel, level = COLOURS[name]
    top, left = random.integers(0, height - SQUARE), random.integers(0, width - SQUARE)
    pixels[top : top + SQUARE, left : left + SQUARE, channel] = level
    return pixels.astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def split_of(seed: int, count: int) -> pa.Table:
    """Every tenth label is wrong, every fifth picture has another size, the camera alternates."""
    random = np.random.default_rng(seed)
    truths = [CLASSES[i % 3] for i in range(count)]
    labels = [CLASSES[(i + 1) % 3] if i % 10 == 4 else truths[i] for i in range(count)]
    sizes = [(64, 40) if i % 5 == 0 else (SIDE, SIDE) for i in range(count)]
    return pa.table(
        {
            "path": [f"{seed}/{i}.png" for i in range(count)],
            "y": labels,
            "image": pa.array([png(picture(random, t, *s)) for t, s in zip(truths, sizes, strict=True)], pa.binary()),
            "truth": truths,
            "camera": [f"c{i % 2}" for i in range(count)],
            "group": [f"{seed}-{i}" for i in range(count)],
        }
    )


def written(path: Path, tables: dict[str, pa.Table], classes: tuple[str, ...] = CLASSES, **info) -> Dataset:
    columns = [Column(field.name, str(field.type)) for field in tables["test"].schema]
    rows = {name: table.num_rows for name, table in tables.items()}
    with write_dataset(path) as (files, details):
        for name, file in files.items():
            pq.write_table(tables[name], file, row_group_size=16)
        details.update(describe(DatasetInfo("classification", columns, "y", rows, list(classes), id="path", **info)))
    return Dataset.open(path)


@pytest.fixture(scope="session")
def tables() -> dict[str, pa.Table]:
    return {name: split_of(seed, count) for seed, (name, count) in enumerate(ROWS.items())}


@pytest.fixture(scope="session")
def data(tables, tmp_path_factory) -> Dataset:
    return written(tmp_path_factory.mktemp("images") / "data", tables)


def graph(classes: tuple[str, ...] = CLASSES) -> onnx.ModelProto:
    """uint8 [N, h, w, 3] -> the softmax of how much each class's colour stands out on average."""
    order = np.zeros((3, len(classes)), np.float32)
    for code, name in enumerate(classes):
        order[COLOURS[name][0], code] = 0.5
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "order"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    constants = [numpy_helper.from_array(np.array([1, 2]), "axes"), numpy_helper.from_array(order, "order")]
    pixels = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "h", "w", 3])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(classes)])
    made = helper.make_graph(nodes, "g", [pixels], [output], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def image_bundle(path: Path, classes: tuple[str, ...] = CLASSES) -> Bundle:
    two = {"positive": classes[1], "threshold": 0.5} if len(classes) == 2 else {}
    with write_bundle(path, {"name": "colours"}) as folder:
        onnx.save(graph(classes), folder / "model.onnx")
        Signature("classification", "y", (Input("image", "image", height=SIDE, width=SIDE),), classes, **two).write(
            folder / "signature.json"
        )
        write_json(folder / "samples.json", {"instances": [{}], "predictions": [{}]})
    return Bundle.open(path)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Bundle:
    return image_bundle(tmp_path_factory.mktemp("colours") / "model")


@pytest.fixture(scope="session")
def network(bundle) -> Network:
    return Network.of(bundle)
