"""What the evaluation step keeps of each row: the model's own answers, slices as they are measured, and gains."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from headrace.artifacts.scores import read_scores, write_scores
from headrace.components.evaluate.evaluate import assess
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.gate.evidence import as_scores

GATES = [
    {"metric": "auc", "at_least": 0.5, "slice": ["plan", "age"]},
    {"fairness": "demographic_parity_difference", "by": "gender", "at_most": 1},
]
VALUE = {"true_positive": 10, "false_positive": -1}


def test_each_row_with_its_slices_and_gains(tmp_path, binary, subjects):
    spec = EvaluateSpec(gates=GATES, value=VALUE)
    rows = []
    found = assess(subjects["binary"], binary, spec, keep=rows.append)
    write_scores(tmp_path, rows)
    table = read_scores(tmp_path)
    data = binary.table("test")
    assert len(table) == found.rows == data.num_rows
    np.testing.assert_array_equal(table.outputs, subjects["binary"].predict(data).astype(np.float32))
    assert [table.classes[code] for code in table.truth] == data["y"].to_pylist()
    assert table.by["gender"].to_pylist() == data["gender"].to_pylist()
    assert set(table.by) == {"plan × age", "gender"}
    pairs = np.array(table.by["plan × age"].to_pylist())
    measured = {part.value: part.rows for part in found.slices if part.by == "plan × age"}
    assert measured and all((pairs == value).sum() == count for value, count in measured.items())
    actual = np.array(data["y"].to_pylist()) == "1"
    np.testing.assert_array_equal(table.gains[0], np.where(actual, 10, -1))
    np.testing.assert_array_equal(table.gains[1], 0)
    again = measure(as_scores(table, found))[0]
    for name, value in found.metrics.items():
        assert abs(again[name] - value) < 1e-4, name


def test_of_a_large_split_the_rows_that_are_looked_at(tmp_path, binary, subjects):
    spec = EvaluateSpec(gates=GATES, batches={"most_rows": 1000})
    rows = []
    found = assess(subjects["binary"], binary, spec, keep=rows.append)
    write_scores(tmp_path, rows)
    table = read_scores(tmp_path)
    assert found.rows == table.split_rows == 2000 and table.share == 0.5
    assert len(table) == found.looked_at
    places = pa.array(table.row)
    assert table.by["gender"].to_pylist() == binary.table("test")["gender"].take(places).to_pylist()
    # Quartiles of the rows as they are measured, and not of each batch.
    pairs = np.array(table.by["plan × age"].to_pylist())
    measured = {part.value: part.rows for part in found.slices if part.by == "plan × age"}
    assert measured and all((pairs == value).sum() == count for value, count in measured.items())


def test_a_regression(tmp_path, regression, subjects):
    rows = []
    found = assess(subjects["regression"], regression, EvaluateSpec(), keep=rows.append)
    write_scores(tmp_path, rows)
    table = read_scores(tmp_path)
    np.testing.assert_array_equal(table.truth, regression.table("test")["y"].to_numpy())
    assert table.by == {} and table.gains is None
    assert measure(as_scores(table, found))[0]["rmse"] == found.metrics["rmse"]
