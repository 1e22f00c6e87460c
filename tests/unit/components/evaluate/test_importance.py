"""Permutation importance: the same by either way of shuffling, and bounded for very many features."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.bundle import Bundle, write_bundle
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.components.evaluate import importance as module
from headrace.components.evaluate.importance import by_cells, by_columns, importance, training_gain
from headrace.components.evaluate.matrix_model import Cells, MatrixModel
from headrace.components.evaluate.scores import Scores

FEATURES = [f"f{number}" for number in range(300)]
RNG = np.random.default_rng(3)
WEIGHTS = np.linspace(3, 0.01, 300)
X = RNG.normal(size=(500, 300))
TABLE = pa.table({name: X[:, place] for place, name in enumerate(FEATURES)})
TRUTH = X @ WEIGHTS
GAIN = dict(zip(FEATURES, WEIGHTS / WEIGHTS.sum(), strict=True))


def predict(table: pa.Table) -> np.ndarray:
    return (np.column_stack([np.asarray(table[name]) for name in FEATURES]) @ WEIGHTS).reshape(-1, 1)


def scored(table: pa.Table, outputs: np.ndarray) -> Scores:
    truth = np.column_stack([np.asarray(table[name]) for name in FEATURES]) @ WEIGHTS
    return Scores("regression", truth, outputs)


def encode(table: pa.Table) -> Cells:
    return Cells(np.column_stack([np.asarray(table[name]) for name in FEATURES]))


MODEL = MatrixModel(tuple(FEATURES), encode, lambda cells: (cells.matrix @ WEIGHTS).reshape(-1, 1))


def columns(table: pa.Table):
    return by_columns(predict, table)


def test_both_ways_of_shuffling_agree():
    slow = importance(columns, scored, TABLE, FEATURES[:20], seed=1)
    fast = importance(lambda table: by_cells(MODEL, MODEL.encode(table)), scored, TABLE, FEATURES[:20], seed=1)
    assert [item.feature for item in fast.found] == [item.feature for item in slow.found]
    assert [item.worse_by for item in fast.found] == pytest.approx([item.worse_by for item in slow.found])
    assert (fast.rows, fast.skipped) == (500, 0)


def test_of_very_many_features_those_that_mattered_most_are_shuffled():
    calls = []

    def prepare(table):
        answer = columns(table)
        return lambda name, order: (calls.append(name), answer(name, order))[1]

    measured = importance(prepare, scored, TABLE, FEATURES, seed=1, gain=GAIN)
    assert calls == [None, *FEATURES[:200]]
    assert measured.skipped == 100
    assert {item.feature for item in measured.found} == set(FEATURES[:200])


def test_features_in_no_tree_have_no_importance_and_cost_nothing():
    gain = {name: float(place < 3) for place, name in enumerate(FEATURES)}
    calls = []

    def prepare(table):
        answer = columns(table)
        return lambda name, order: (calls.append(name), answer(name, order))[1]

    measured = importance(prepare, scored, TABLE, FEATURES, seed=1, gain=gain)
    assert calls == [None, "f0", "f1", "f2"]
    assert measured.skipped == 0 and len(measured.found) == 300
    assert {item.worse_by for item in measured.found[3:]} == {0.0}


def test_the_sample_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    assert importance(columns, scored, TABLE, FEATURES[:2], seed=1).rows == 50


def bundle(path, lineage) -> Bundle:
    with write_bundle(path, {"name": "m"}) as folder:
        Signature("regression", "y", (Input("a", "number"), Input("b", "number"))).write(folder / "signature.json")
        (folder / "model.onnx").write_bytes(b"raw")
        (folder / "matrix.onnx").write_bytes(b"matrix")
        write_json(folder / "samples.json", {"instances": [{"a": 1}], "predictions": [{"value": 1.0}]})
        if lineage is not None:
            write_json(folder / "lineage.json", lineage)
    return Bundle.open(path)


def test_the_gain_of_a_constructed_feature_is_its_columns(tmp_path):
    lineage = {
        "training": {"importance": {"a": 0.25, "b": 0.0, "ratio": 0.75}},
        "transform": {"features": {"a": ["a"], "b": ["b"], "ratio": ["a", "b"]}},
    }
    assert training_gain(bundle(tmp_path / "m", lineage)) == {"a": 1.0, "b": 0.75}


@pytest.mark.parametrize(
    "lineage",
    [None, {}, {"training": {}}, {"training": {"importance": {"a": 1.0}}, "transform": {"construct": {}}}],
)
def test_a_lineage_that_does_not_say_is_no_knowledge(tmp_path, lineage):
    assert training_gain(bundle(tmp_path / "m", lineage)) is None
