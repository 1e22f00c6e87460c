"""The model as a peer's user would call it, rows in and probabilities out. It knows nothing of Headrace.

sklearn    the saved pipeline over a DataFrame: what these servers are shown with, and mostly run
onnx       the trees in ONNX Runtime behind encoding by hand: the most that a careful user gets out of the same server
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
Score = Callable[[list[Row]], list[float]]


def load(kind: str, folder: Path) -> Score:
    """The function from rows to the probabilities of the second class."""
    return {"sklearn": _pipeline, "onnx": _onnx}[kind](folder)


def _pipeline(folder: Path) -> Score:
    import joblib
    import pandas as pd

    pipeline = joblib.load(folder / "pipeline.joblib")
    columns = _columns(folder)

    def score(rows: list[Row]) -> list[float]:
        # Typed arrays, column by column: a DataFrame of dictionaries takes twice as long.
        frame = pd.DataFrame({name: np.array([row[name] for row in rows], kind) for name, kind, _ in columns})
        found: list[float] = pipeline.predict_proba(frame)[:, 1].tolist()
        return found

    return score


def _onnx(folder: Path) -> Score:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "bundle" / "matrix.onnx"), options, ["CPUExecutionProvider"])
    columns = _columns(folder)

    def score(rows: list[Row]) -> list[float]:
        matrix = np.empty((len(rows), len(columns)))
        for place, (name, _, codes) in enumerate(columns):
            values = [row[name] for row in rows]
            matrix[:, place] = [codes.get(value, 0.0) for value in values] if codes else values
        found: list[float] = session.run(["probabilities"], {"matrix": matrix})[0][:, 1].tolist()
        return found

    return score


def _columns(folder: Path) -> list[tuple[str, Any, dict[str | None, float]]]:
    """Of each feature its name, its type in an array, and its categories' codes."""
    inputs = json.loads((folder / "bundle" / "signature.json").read_text())["inputs"]
    kinds = {"number": float, "boolean": bool, "category": object}
    return [
        (
            item["name"],
            kinds[item["type"]],
            {None: float("nan"), **{value: 1.0 + place for place, value in enumerate(item["vocabulary"])}}
            if item["type"] == "category"
            else {},
        )
        for item in inputs
    ]
