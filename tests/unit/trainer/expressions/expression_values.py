"""Expressions by both of their implementations, for the tests that hold these against each other."""

from __future__ import annotations

import math
from typing import Any

import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from headrace.artifacts.raw_inputs import open_graph, raw_inputs
from headrace.artifacts.signature import Input
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.expressions.arrow import evaluate
from headrace.trainer.expressions.expression import parse
from headrace.trainer.expressions.graph import Columns
from headrace.trainer.graph import Graph, encoded_inputs

INPUTS = (
    Input("a", "number"),
    Input("b", "number", offset=5.0),
    Input("new", "boolean"),
    Input("plan", "category", vocabulary=("rare", "common")),
    Input("since", "date", offset=19000.0),
    Input("until", "date"),
    Input("note", "text"),
    Input("title", "text"),
)


def graph_of(text: str, inputs: tuple[Input, ...] = INPUTS) -> onnx.ModelProto:
    """From raw columns to the value itself: float64 or string, [N, 1]."""
    graph = Graph("features/")
    value = Columns(graph, inputs).constructed({"made": text})["made"]
    type = TensorProto.STRING if value.type == "text" else TensorProto.DOUBLE
    graph.nodes.append(helper.make_node("Identity", [value.tensor], ["made"]))
    texts = sum(item.type == "text" for item in inputs)
    outputs = [helper.make_tensor_value_info("made", type, ["N", 1])]
    return merge(encoder_graph(inputs), graph.model("made", encoded_inputs(len(inputs), texts), outputs))


def in_graph(text: str, table: pa.Table, inputs: tuple[Input, ...] = INPUTS) -> list[Any]:
    session = open_graph(graph_of(text, inputs).SerializeToString(), threads=1)
    return plain(session.run(None, raw_inputs(table, inputs))[0].ravel().tolist())


def in_arrow(text: str, table: pa.Table) -> list[Any]:
    return plain(evaluate(parse(text), table).to_pylist())


def plain(values: list[Any]) -> list[Any]:
    """Missing is None, a truth value 1 or 0."""
    return [
        None if value is None or value == "" or (isinstance(value, float) and math.isnan(value))
        else value if isinstance(value, str)
        else float(value)
        for value in values
    ]  # fmt: skip
