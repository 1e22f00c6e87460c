"""Constructed features as an ONNX graph: the encoded matrix in, what the trees learn from out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import TensorProto, helper

from headrace.artifacts.signature import Input, text_inputs
from headrace.trainer.expressions.expression import ExpressionError
from headrace.trainer.expressions.graph import Columns
from headrace.trainer.graph import FEATURES, MATRIX, Graph, encoded_inputs


def construct_graph(inputs: Sequence[Input], construct: Mapping[str, str]) -> onnx.ModelProto:
    """Builds the graph from `matrix` float64 [N, F] (and `texts`) to `features` float32 [N, F + K].

    Args:
        inputs: the raw features, in the matrix's order.
        construct: name of the new column -> expression over the raw features; K of them.

    Raises:
        ExpressionError: an expression cannot be read or does not fit the inputs.
    """
    graph = Graph("construct_")
    built = Columns(graph, inputs).constructed(construct)
    for name, value in built.items():
        if value.type == "text":
            raise ExpressionError(
                f"features.construct.{name}: expected a number or a truth value. Received: a text, `{construct[name]}`"
            )
    wide = graph.add("Concat", MATRIX, *(value.tensor for value in built.values()), axis=1) if built else MATRIX
    graph.nodes.append(helper.make_node("Cast", [wide], [FEATURES], to=TensorProto.FLOAT))
    output = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", len(inputs) + len(built)])
    return graph.model("construct", encoded_inputs(len(inputs), len(text_inputs(inputs))), [output])
