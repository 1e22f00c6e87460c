"""The encoding in the graph and the encoding in Python are the same, to the last bit."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tiny_bundle import INPUTS, signature_of

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Input
from headrace.serving.encode import Encoder, days
from headrace.trainer.encoder_graph import encoder_graph, merge

INPUTS_ALL = (
    *INPUTS,
    Input("matrix", "number", offset=-1e9),  # the graph's own name for its output
    Input("empty", "category"),
    Input("moment", "date"),
    Input("größe in µm", "boolean"),
    Input("texts", "text"),  # again the graph's own name
    Input("note", "text"),
)


def session(model: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


GRAPH = session(encoder_graph(INPUTS_ALL))
ENCODER = Encoder(signature_of("binary", INPUTS_ALL))


def tensor(item: Input, column: list[Any]) -> np.ndarray:
    if item.type in ("number", "boolean"):
        values = [math.nan if value is None else float(value) for value in column]
        return np.array(values, np.float64).reshape(-1, 1)
    return np.array([value or "" for value in column], object).reshape(-1, 1)


def feed(rows: list[tuple[Any, ...]]) -> dict[str, np.ndarray]:
    columns = zip(*rows, strict=True) if rows else [()] * len(INPUTS_ALL)
    return {item.name: tensor(item, list(column)) for item, column in zip(INPUTS_ALL, columns, strict=True)}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    missing = np.isnan(a) & np.isnan(b)
    return a.shape == b.shape and bool(np.all(missing | (a.view(np.uint64) == b.view(np.uint64))))


@st.composite
def dates(draw: st.DrawFn) -> str | None:
    day = draw(st.dates(dt.date(1, 1, 2), dt.date(9999, 12, 30)) | st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31)))
    form = draw(st.sampled_from(["none", "empty", "day", "moment", "moment"]))
    if form in ("none", "empty", "day"):
        return {"none": None, "empty": "", "day": day.isoformat()}[form]
    text = f"{day.isoformat()}{draw(st.sampled_from('T '))}{draw(st.times()).isoformat('minutes')}"
    if draw(st.booleans()):
        text += f":{draw(st.integers(0, 59)):02}"
        if digits := draw(st.text("0123456789", max_size=9)):
            text += f".{digits}"
    return text + draw(st.sampled_from(["", "Z", "+00:00", "-00:00", "+05:45", "-11:30", "+23:59"]))


def values(item: Input) -> st.SearchStrategy[Any]:
    if item.type == "number":
        exact = st.integers(-(2**53), 2**53)
        return st.none() | st.floats(allow_nan=False, allow_infinity=False) | exact | st.floats(-1e4, 1e4)
    if item.type == "boolean":
        return st.sampled_from([None, True, False, 0, 1])
    if item.type == "text":
        return st.none() | st.sampled_from(["", " ", "a\0b"]) | st.text(st.characters(exclude_categories=["Cs"]))
    if item.type == "category":
        return st.none() | st.sampled_from(["", "nan", "Café", *item.vocabulary]) | st.text(max_size=8)
    return dates()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(*(values(item) for item in INPUTS_ALL)), min_size=0, max_size=5))
def test_the_graph_encodes_as_python_does(rows: list[tuple[Any, ...]]) -> None:
    from_graph, texts = GRAPH.run(None, feed(rows))
    from_python, _ = ENCODER.matrix(rows)
    assert texts.tolist() == ENCODER.texts(rows).tolist() == [[row[-2] or "", row[-1] or ""] for row in rows]
    assert texts.shape == ENCODER.texts(rows).shape == (len(rows), 2)
    assert same_bits(from_graph, from_python), (rows, from_graph, from_python)


def test_what_the_rules_say() -> None:
    rows = [
        (1.5, 1000.25, True, "café", "2022-01-08", 0.0, "x", "1970-01-02T12:00:00Z", 0, "", "Hi"),
        (-0.0, 16777217.0, False, "Café", "2022-01-08T06:00", 1e300, "", "1970-01-01T01:00+01:00", 1, None, " "),
        (None, None, None, "", "", None, None, None, None, None, None),
        (5e-324, -1e-45, 1, "basic", "1900-03-01", -1e300, "y", "1969-12-31 23:59:59.999999", None, "x", "y"),
    ]
    nan = math.nan
    expected = np.array(
        [
            [1.5, 0.25, 1, 1, 0, 1e9, 0, 1.5, 0, nan, 1],
            [-0.0, 16776217, 0, 0, 0.25, 1e300, nan, 0, 1, nan, 1],
            [nan] * 11,
            [5e-324, -1000, 1, 4, -44508, -1e300, 0, -1 / 86_400_000_000, nan, 1, 1],
        ],
        np.float64,
    )
    matrix, unseen = ENCODER.matrix(rows)
    assert same_bits(matrix, expected), matrix
    assert unseen == 3  # "Café", and both of the column without a vocabulary
    assert same_bits(GRAPH.run(None, feed(rows))[0], expected)


@pytest.mark.parametrize(
    "text",
    [
        "abc", "2024-3-1", "20240301", "2024-13-01", "2024-00-10", "2024-02-32", "2024-03-01T", "2024-W09-5",
        "2024-03-01T24:00", "2024-03-01T10:20:60", "2024-03-01T10:20:30.", "2024-03-01T10:20:30.1234567890",
        "2024-03-01T10:20+0100", "2024-03-01Z", "2024-03-01T10:20z", " 2024-03-01", "2024-03-01\n",
        "-024-03-01", "٢٠٢٤-03-01",
    ],
)  # fmt: skip
def test_what_is_no_date_is_refused_by_both(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z"):
        days(text)
    row = (1.0, 1.0, True, "pro", text, 1.0, "", "", True, "", "")
    with pytest.raises(Exception, match="Cast node"):
        GRAPH.run(None, feed([row]))


@pytest.mark.parametrize("text", ["2023-02-29", "2024-04-31", "0000-01-01"])
def test_a_day_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a day that exists, of the years 1 to 9999"):
        days(text)


def model_graph(width: int, name: str = "matrix", output: str = "value", opset: int = 9) -> Any:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", [name], [output], axes=[1], keepdims=1)],
        "sum",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", width])],
        [helper.make_tensor_value_info(output, TensorProto.DOUBLE, ["N", 1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)


def test_an_older_model_is_joined_to_the_encoder() -> None:
    inputs = (Input("a", "number", offset=1.0), Input("b", "category", vocabulary=("x", "y")))
    merged = session(merge(encoder_graph(inputs), model_graph(2)))
    assert [item.name for item in merged.get_inputs()] == ["a", "b"]
    assert [item.name for item in merged.get_outputs()] == ["value"]
    out = merged.run(None, {"a": np.array([[4.0], [1.0]]), "b": np.array([["y"], ["z"]], object)})[0]
    assert out.tolist() == [[5.0], [0.0]]


def test_a_feature_named_as_the_output_keeps_its_name() -> None:
    inputs = (Input("value", "number"), Input("matrix", "number"))
    merged = session(merge(encoder_graph(inputs), model_graph(2)))
    assert [item.name for item in merged.get_inputs()] == ["value", "matrix"]
    assert [item.name for item in merged.get_outputs()] == ["model/value"]
    assert merged.run(None, {"value": np.array([[4.0]]), "matrix": np.array([[2.0]])})[0].tolist() == [[6.0]]


def test_a_model_that_does_not_fit_is_refused() -> None:
    encoder = encoder_graph((Input("a", "number"), Input("b", "number")))
    with pytest.raises(HeadraceError, match=r"expected a matrix of 2 columns. Received: 3"):
        merge(encoder, model_graph(3))
    with pytest.raises(HeadraceError, match=r"expected the inputs \['matrix'\]. Received: \['x'\]"):
        merge(encoder, model_graph(2, name="x"))
