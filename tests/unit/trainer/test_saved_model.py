"""A SavedModel answers raw rows as the ONNX graph does, under the columns' own names, and is refused where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.export.parity import ExportError
from headrace.trainer.graph import MATRIX, Graph
from headrace.trainer.model import Rows

INPUTS = (Input("od280/od315 (diluted)", "number"), Input("plan", "category", vocabulary=("a", "b")))
SIGNATURE = Signature("classification", "y", INPUTS, ("no", "yes"), "yes", 0.25)
ROWS = pa.table({"od280/od315 (diluted)": [1.0, -2.0, None, 0.0], "plan": ["a", "b", "?", None]})


def linear(slope: float, raw: bool = True) -> onnx.ModelProto:
    """Probabilities of a logistic regression in float64, as a calibrated model has it."""
    graph = Graph("")
    given = MATRIX if raw else graph.to_double("features")
    missing = graph.add("IsNaN", given)
    known = graph.add("Where", missing, graph.constant(0.0, np.float64), given)
    odds = graph.add("MatMul", known, graph.constant([[slope], [-0.5]], np.float64))
    yes = graph.add("Sigmoid", odds)
    both = graph.add("Concat", graph.add("Sub", graph.constant(1.0, np.float64), yes), yes, axis=1)
    graph.nodes.append(helper.make_node("Cast", [both], ["probabilities"], to=TensorProto.FLOAT))
    name, type = (MATRIX, TensorProto.DOUBLE) if raw else ("features", TensorProto.FLOAT)
    model = graph.model(
        "linear",
        [helper.make_tensor_value_info(name, type, ["N", 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])],
    )
    return merge(encoder_graph(INPUTS), model) if raw else model


def test_it_answers_under_the_columns_names(tmp_path: Path) -> None:
    import tensorflow as tf

    from headrace.trainer.export.variants import check_saved_model
    from headrace.trainer.saved_model.saved import Served, write_saved_model

    onnx.save(linear(1.0), tmp_path / "model.onnx")
    write_saved_model(linear(1.0), SIGNATURE, tmp_path / "saved")
    answers = Served(tmp_path / "saved").run(ROWS, SIGNATURE)
    expected = run_graph(open_graph(tmp_path / "model.onnx"), ROWS, INPUTS)
    np.testing.assert_allclose(answers["probabilities"], expected, rtol=1e-6)
    assert answers["label"].tolist() == [b"yes" if row[1] >= 0.25 else b"no" for row in expected]
    assert set(answers["label"]) == {b"yes", b"no"}
    found = check_saved_model(tmp_path / "saved", tmp_path / "model.onnx", SIGNATURE, ROWS, 1e-6)
    assert found["rows"] > ROWS.num_rows

    tf.function(lambda x: x + 1)(tf.constant(1.0))  # what else the process does with TensorFlow changes no byte of it
    write_saved_model(linear(1.0), SIGNATURE, tmp_path / "again")
    names = {file.relative_to(tmp_path / "saved") for file in (tmp_path / "saved").rglob("*") if file.is_file()}
    assert {str(name) for name in names} > {"saved_model.pb", "variables/variables.index"}
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def test_one_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    from headrace.trainer.export.variants import check_saved_model
    from headrace.trainer.saved_model.saved import write_saved_model

    onnx.save(linear(1.0), tmp_path / "model.onnx")
    write_saved_model(linear(1.001), SIGNATURE, tmp_path / "saved")
    with pytest.raises(ExportError, match=r"expected the SavedModel to answer as model.onnx does, .* Received: a diff"):
        check_saved_model(tmp_path / "saved", tmp_path / "model.onnx", SIGNATURE, ROWS, 1e-5)


def test_lite_files_and_what_they_lose() -> None:
    from headrace.trainer.export.lite import lite_files

    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    x[::9] = np.nan
    found = lite_files(linear(1.0, raw=False), ("float32", "int8"), Rows(x, np.zeros(50, np.int32)))
    assert list(found) == ["onnx", "float32", "int8"]
    assert found["onnx"].content is None and found["onnx"].answers.shape == (50, 2)
    for name in ("float32", "int8"):
        assert len(found[name].content) == found[name].bytes > 0
        np.testing.assert_allclose(found[name].answers, found["onnx"].answers, atol=1e-6)
        assert found[name].largest_difference <= 1e-6
