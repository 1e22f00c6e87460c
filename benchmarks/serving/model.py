"""The one model that all servers answer with: 100 LightGBM trees over 18 mixed features, in the forms that they read.

pipeline.joblib    a scikit-learn pipeline over a DataFrame, as a team without Headrace would save it
bundle/            the same trees as a bundle of ours: `matrix.onnx`, and `signature.json` with the categories
rows.json          rows to ask for, no two of them equal, and the probability that the pipeline gives each of them
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NUMBERS = tuple(f"number_{place}" for place in range(10))
BOOLEANS = ("is_new", "is_paid")
CATEGORIES = {f"category_{size}": size for size in (3, 5, 8, 12, 30, 50)}
ROWS, ASKED, TREES, LEAVES = 20_000, 1024, 100, 31


def make(folder: Path, seed: int = 8) -> None:
    """Trains the model and writes its forms; what is there already stays."""
    if (folder / "rows.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    table = _table(ROWS + ASKED, seed)
    label = _label(table, seed)
    pipeline = _pipeline()
    pipeline.fit(table[:ROWS], label[:ROWS])
    asked = table[ROWS:]
    probabilities = pipeline.predict_proba(asked)[:, 1]
    _bundle(folder / "bundle", pipeline, asked[:20], probabilities[:20])
    import joblib

    joblib.dump(pipeline, folder / "pipeline.joblib")
    rows = {"rows": _instances(asked), "probabilities": probabilities.tolist()}
    (folder / "rows.json").write_text(json.dumps(rows))


def _table(rows: int, seed: int) -> pd.DataFrame:
    """Random rows: one value in twenty is missing, but for the booleans."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for place, name in enumerate(NUMBERS):
        values = rng.normal(0, 1 + place, rows).round(4)
        columns[name] = np.where(rng.random(rows) < 0.05, np.nan, values)
    for name in BOOLEANS:
        columns[name] = rng.random(rows) < 0.4
    for name, size in CATEGORIES.items():
        values = np.array([f"{name}-{place}" for place in range(size)], object)[rng.integers(0, size, rows)]
        columns[name] = np.where(rng.random(rows) < 0.05, None, values)
    return pd.DataFrame(columns)


def _label(table: pd.DataFrame, seed: int) -> Any:
    rng = np.random.default_rng(seed + 1)
    numbers = table[list(NUMBERS)].fillna(0).to_numpy()
    codes = np.column_stack([table[name].astype("category").cat.codes for name in CATEGORIES])
    score = numbers @ rng.normal(size=len(NUMBERS)) / 5 + np.sin(codes).sum(axis=1) + table["is_new"]
    return (score + rng.normal(size=len(table)) > 0).astype(int)


def vocabulary(name: str) -> list[str]:
    """A category's values, in the order of their codes."""
    return [f"{name}-{place}" for place in range(CATEGORIES[name])]


def _pipeline() -> Any:
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    # The first code is that of no value, as in a bundle's encoding: both have the same trees.
    codes = OrdinalEncoder(
        categories=[["", *vocabulary(name)] for name in CATEGORIES],
        handle_unknown="use_encoded_value",
        unknown_value=-1,
    )
    encoder = ColumnTransformer(
        [("numbers", "passthrough", [*NUMBERS, *BOOLEANS]), ("categories", codes, list(CATEGORIES))]
    )
    trees = LGBMClassifier(n_estimators=TREES, num_leaves=LEAVES, n_jobs=1, random_state=0, verbose=-1)
    return make_pipeline(encoder, trees)


def _bundle(folder: Path, pipeline: Any, asked: pd.DataFrame, probabilities: Any) -> None:
    import onnx
    from onnx import TensorProto, helper

    from headrace.artifacts.answer import predictions
    from headrace.artifacts.bundle import MATRIX, MODEL, SAMPLES, SIGNATURE, write_bundle
    from headrace.artifacts.folder import write_json
    from headrace.artifacts.signature import Input, Signature
    from headrace.trainer.export.graphs import export, tree_graph
    from headrace.trainer.graph import FEATURES, Graph, encoded_inputs

    inputs = (
        *(Input(name, "number") for name in NUMBERS),
        *(Input(name, "boolean") for name in BOOLEANS),
        *(Input(name, "category", vocabulary=tuple(vocabulary(name))) for name in CATEGORIES),
    )
    signature = Signature("classification", "label", inputs, ("0", "1"), "1", 0.5)
    graph = Graph("features_")
    graph.nodes.append(helper.make_node("Cast", ["matrix"], [FEATURES], to=TensorProto.FLOAT))
    output = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", len(inputs)])
    features = graph.model("features", encoded_inputs(len(inputs), 0), [output])
    trees = tree_graph(pipeline[-1].booster_, len(inputs), "probabilities")
    graphs = export(trees, inputs, features)
    outputs = np.stack([1 - probabilities, probabilities], axis=1).astype(np.float32)
    with write_bundle(folder, {"name": "churn", "version": "1"}) as place:
        onnx.save(graphs.model, place / MODEL)
        onnx.save(graphs.matrix, place / MATRIX)
        signature.write(place / SIGNATURE)
        instances = _instances(asked)
        write_json(place / SAMPLES, {"instances": instances, "predictions": predictions(signature, outputs)})


def _instances(table: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")
    return found
