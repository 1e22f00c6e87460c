"""Rows to learn from, and a model's graph beside the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from headrace.artifacts.transform import Feature
from headrace.trainer.model import Features, Job, Model, Rows


def features(width: int) -> tuple[Feature, ...]:
    return tuple(Feature(f"x{place}", (f"x{place}",), "as it is", raw=f"x{place}") for place in range(width))


def job(classes: int, parameters: Any, rows: int = 900, width: int = 5, missing: float = 0.05, **more: Any) -> Job:
    """A label that rises with x0 and x1, with noise; a third of the rows is eval."""
    random = np.random.default_rng(more.pop("data_seed", 0))
    x = random.normal(size=(rows, width)).astype(np.float32)
    x[random.random(x.shape) < missing] = np.nan
    score = np.nan_to_num(x[:, 0]) + 0.5 * np.nan_to_num(x[:, 1]) + 0.5 * random.logistic(size=rows)
    edges = np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]) if classes else []
    y = np.digitize(score, edges).astype(np.int32) if classes else 1e4 + 1e3 * score
    cut = rows * 2 // 3
    weights = more.pop("weights", None)
    parts = [
        Rows(x[part], y[part], None if weights is None else weights[part]) for part in (slice(cut), slice(cut, None))
    ]
    return Job(parts[0], parts[1], features(width), classes, parameters, more.pop("seed", 0), **more)


def graph_answers(model: Model, rows: Features) -> np.ndarray:
    output = "probabilities" if model.metric == "log_loss" else "value"
    session = onnxruntime.InferenceSession(model.graph(output).SerializeToString())
    (declared,) = session.get_outputs()
    assert declared.name == output
    answers = session.run(None, {"features": rows})[0]
    assert answers.dtype == np.float32
    return np.asarray(answers)


def difference(model: Model, rows: np.ndarray) -> float:
    """How far the graph is from the model, relative above 1; also where all is missing, far outside, on thresholds."""
    width = rows.shape[1]
    hard = [np.full((1, width), value, np.float32) for value in (np.nan, 1e30, -1e30, 0.0)]
    for place, at in model.thresholds().items():
        for beside in (np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))):
            hard.append(rows[np.arange(len(at)) % len(rows)].copy())
            hard[-1][:, place] = beside
    rows = np.concatenate([rows, *hard])
    expected = model.predict(rows)
    return float(np.max(np.abs(graph_answers(model, rows) - expected) / np.maximum(1, np.abs(expected))))
