"""A small but real bundle: LightGBM on random rows of all types, exported and merged with the encoder."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType

from headrace.artifacts.answer import predictions
from headrace.artifacts.bundle import MATRIX, MODEL, SAMPLES, SIGNATURE, write_bundle
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.serving.encode import Encoder
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.export.graphs import behind
from tests.unit.trainer.construct_graph import construct_graph

INPUTS = (
    Input("tenure", "number", min=0.0, max=71.0),
    Input("spend per month", "number", offset=1000.0, min=-20.0, max=3000.0),
    Input("is_new", "boolean"),
    Input("plan", "category", vocabulary=("café", "日本", "pro", "basic")),
    Input("signup", "date", offset=19000.0, min=18000.0, max=20000.0),
)
CLASSES = {"binary": ("0", "1"), "multiclass": ("low", "mid", "high"), "regression": ()}


def signature_of(kind: str, inputs: tuple[Input, ...] = INPUTS) -> Signature:
    classes = CLASSES[kind]
    two = kind == "binary"
    return Signature(
        task="classification" if classes else "regression",
        label="churned",
        inputs=inputs,
        classes=classes,
        positive="1" if two else None,
        threshold=0.4 if two else None,
    )


def random_instances(inputs: tuple[Input, ...], rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Raw rows of every type, with missing and unseen values among them."""
    rng = np.random.default_rng(seed)

    def value(item: Input) -> Any:
        if rng.random() < 0.1:
            return None
        if item.type == "number":
            return round(float(rng.normal(item.offset, 100.0)), 3)
        if item.type == "boolean":
            return bool(rng.random() < 0.5)
        if item.type == "category":
            return str(rng.choice([*item.vocabulary, "never seen"]))
        day = dt.datetime(2022, 1, 1) + dt.timedelta(seconds=int(rng.integers(0, 10**8)))
        return day.isoformat() if rng.random() < 0.5 else day.date().isoformat()

    return [{item.name: value(item) for item in inputs} for _ in range(rows)]


def encode(signature: Signature, instances: list[dict[str, Any]]) -> np.ndarray:
    """What the trees compare: the encoded matrix, cast to float32."""
    rows = [tuple(instance[item.name] for item in signature.inputs) for instance in instances]
    with np.errstate(over="ignore"):
        return Encoder(signature).matrix(rows)[0].astype(np.float32)


def train(signature: Signature, kind: str, trees: int, rows: int) -> lightgbm.Booster:
    matrix = encode(signature, random_instances(signature.inputs, rows))
    rng = np.random.default_rng(1)
    filled = np.nan_to_num(matrix, nan=-1.0)
    score = (filled / (1e-9 + filled.std(axis=0))).sum(axis=1) + rng.normal(size=rows)
    target = (
        score
        if kind == "regression"
        else np.digitize(score, np.quantile(score, [0.4, 0.7][: len(signature.classes) - 1]))
    )
    categories = [i for i, item in enumerate(signature.inputs) if item.type == "category"]
    parameters = {"objective": kind, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    if kind == "multiclass":
        parameters["num_class"] = len(signature.classes)
    data = lightgbm.Dataset(matrix, target, categorical_feature=categories, free_raw_data=False)
    return lightgbm.train(parameters, data, trees)


def matrix_graph(booster: lightgbm.Booster, signature: Signature) -> onnx.ModelProto:
    """The booster as a graph with the input and the output that the bundle's format names."""
    initial = [("features", FloatTensorType([None, len(signature.inputs)]))]
    model = convert_lightgbm(booster, initial_types=initial, zipmap=False)
    if signature.task == "classification":
        kept = [output for output in model.graph.output if output.name == "probabilities"]
        del model.graph.output[:]
        model.graph.output.extend(kept)
    else:
        old = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["value" if name == old else name for name in node.output]
        model.graph.output[0].name = "value"
    return behind(construct_graph(signature.inputs, {}), model)


def write_tiny_bundle(
    path: Path,
    kind: str = "binary",
    inputs: tuple[Input, ...] = INPUTS,
    trees: int = 10,
    rows: int = 600,
    details: dict[str, Any] | None = None,
) -> Path:
    """Writes a bundle whose samples are LightGBM's own predictions, not those of the graphs."""
    signature = signature_of(kind, inputs)
    booster = train(signature, kind, trees, rows)
    graph = matrix_graph(booster, signature)
    instances = random_instances(inputs, 20, seed=7)
    raw = np.asarray(booster.predict(encode(signature, instances)), np.float32)
    outputs = np.stack([1 - raw, raw], axis=1) if kind == "binary" else raw.reshape(len(instances), -1)
    with write_bundle(path, {"name": "tiny", "version": "3"} if details is None else details) as folder:
        onnx.save(merge(encoder_graph(inputs), graph), folder / MODEL)
        onnx.save(graph, folder / MATRIX)
        signature.write(folder / SIGNATURE)
        write_json(folder / SAMPLES, {"instances": instances, "predictions": predictions(signature, outputs)})
    return path


def body(*instances: Any, **more: Any) -> bytes:
    return json.dumps({"instances": list(instances), **more}).encode()
