"""Runs single encodings and whole transforms, for the tests beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper

from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.transform import TransformFiles, open_transform
from headrace.components.transform.fit import fit
from headrace.components.transform.spec import FeaturesSpec
from headrace.trainer.features.graph import FeatureGraph


def encoded(encoding, values, single: bool = False) -> np.ndarray:
    """What an encoding's nodes make of a block of numbers, or of strings."""
    values = np.asarray(values)
    graph = FeatureGraph()
    strings = values.dtype.kind in "OU"
    values = values.astype(object) if strings else values.astype(np.float64)
    kind = TensorProto.STRING if strings else TensorProto.DOUBLE
    output = encoding.emit(graph, "x")
    model = graph.part(
        [helper.make_tensor_value_info("x", kind, ["N", values.shape[1]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT if single else TensorProto.DOUBLE, ["N", "M"])],
    )
    if output == "x":
        return values
    return open_graph(model.SerializeToString()).run(None, {"x": values})[0]


def snapshot(path: Path, table: pa.Table, task: str = "classification", label: str = "y", **more) -> Path:
    """A snapshot whose three splits are the same table."""
    classes = sorted(set(table[label].to_pylist())) if task == "classification" else None
    rows = dict.fromkeys(("train", "eval", "test"), table.num_rows)
    columns = [Column(field.name, str(field.type)) for field in table.schema]
    positive = classes[-1] if classes and len(classes) == 2 else None
    info = DatasetInfo(task, columns, label, rows, classes=classes, positive=positive, **more)
    with write_dataset(path) as (files, details):
        for file in files.values():
            pq.write_table(table, file)
        details.update(describe(info))
    return path


def transformed(folder: Path, table: pa.Table, kind: str = "gbdt", task: str = "classification", **sections):
    """Fits a transform on a table: the opened artifact, and what its graph gives for the table by the features' names."""
    sections = {"construct" if name == "constructed" else name: value for name, value in sections.items()}
    weight = sections.pop("sample_weight", "")
    data = folder / "data"
    if not data.exists():
        snapshot(data, table, task)
    number = len(list(folder.iterdir()))
    fit(data, FeaturesSpec.model_validate(sections), folder / f"transform{number}", kind, weight)
    opened = open_transform(folder / f"transform{number}")
    return opened, values(opened, table)


def values(opened: TransformFiles, table: pa.Table) -> dict[str, np.ndarray]:
    """What the graph gives for a table, by the features' names."""
    made = run_graph(open_graph(opened.graph), table, opened.recipe.inputs)
    assert made.shape == (table.num_rows, len(opened.recipe.outputs)) and made.dtype == np.float32
    return {feature.name: made[:, place] for place, feature in enumerate(opened.recipe.outputs)}
