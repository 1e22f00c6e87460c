"""Constructed features as an ONNX graph: the encoded matrix in, what the trees learn from out.

In the graph a missing value is NaN, and a truth value is 1, 0 or NaN, so that arithmetic carries what is
missing along; the operations mean the same as in `expression_arrow`. All of it is computed in float64, and cast
to float32, which trees compare in, as the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headrace.artifacts.signature import Input
from headrace.trainer.encoder_graph import IR_VERSION, MATRIX, OPSET
from headrace.trainer.expression import BOOLEAN, NUMBER, TEXT, Call, Column, Constant, ExpressionError, Node, parse

FEATURES = "features"
_KIND = {"number": NUMBER, "date": NUMBER, "boolean": BOOLEAN, "category": TEXT}


def construct_graph(inputs: Sequence[Input], construct: Mapping[str, str]) -> onnx.ModelProto:
    """Builds the graph from `matrix` float64 [N, F] to `features` float32 [N, F + K].

    Args:
        inputs: the raw features, in the matrix's order.
        construct: name of the new column -> expression over the raw features; K of them.

    Raises:
        ExpressionError: an expression cannot be read or does not fit the inputs.
    """
    builder = _Builder(inputs)
    columns = [builder.feature(name, text) for name, text in construct.items()]
    wide = builder.add("Concat", MATRIX, *columns, axis=1) if columns else MATRIX
    builder.nodes.append(helper.make_node("Cast", [wide], [FEATURES], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        builder.nodes,
        "construct",
        [helper.make_tensor_value_info(MATRIX, TensorProto.DOUBLE, ["N", len(inputs)])],
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", len(inputs) + len(columns)])],
        builder.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


class _Builder:
    """Turns expression trees into nodes; every value is a float64 tensor [N, 1]."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = {item.name: (position, item) for position, item in enumerate(inputs)}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def feature(self, name: str, text: str) -> str:
        try:
            typed, kind = parse(text).typed({key: _KIND[item.type] for key, (_, item) in self.inputs.items()})
        except ExpressionError as error:
            raise ExpressionError(f"features.construct.{name}: {error}") from None
        if kind == TEXT:
            raise ExpressionError(
                f"features.construct.{name}: expected a number or a truth value. Received: a text, `{text}`"
            )
        value = self.value(typed.root)
        if not typed.columns():  # as many rows as the matrix has
            zeros = self.add(
                "Mul", self.add("Cast", self.add("IsNaN", self.column_at(0)), to=TensorProto.DOUBLE), self.constant(0.0)
            )
            value = self.add("Add", value, zeros)
        return value

    def value(self, node: Node) -> str:
        if isinstance(node, Constant):
            return self.constant(float(node.value))
        if isinstance(node, Column):
            position, item = self.inputs[node.name]
            column = self.column_at(position)
            return self.add("Add", column, self.constant(item.offset)) if item.offset else column
        if node.op in ("text_equal", "text_not_equal"):
            return self.text_comparison(node)
        arguments = [self.value(argument) for argument in node.args]
        return _NODES[node.op](self, *arguments)

    def text_comparison(self, node: Call) -> str:
        """A category is its code here: a text becomes the code that the vocabulary gives it."""
        match node.args:
            case (Column(name=name), Constant(value=str(text))) | (Constant(value=str(text)), Column(name=name)):
                position, item = self.inputs[name]
                code = 1 + item.vocabulary.index(text) if text in item.vocabulary else -1
                column = self.column_at(position)
                return self.truth("Equal", column, self.constant(code), negated=node.op == "text_not_equal")
        raise ExpressionError(
            "features.construct: expected a column compared with a text in quotes. Received: two columns or two texts"
        )

    def column_at(self, position: int) -> str:
        return self.add("Gather", MATRIX, self.tensor(np.array([position], np.int64)), axis=1)

    def truth(self, op: str, a: str, b: str, *, negated: bool = False) -> str:
        compared = self.add(op, a, b)
        if negated:
            compared = self.add("Not", compared)
        number = self.add("Cast", compared, to=TensorProto.DOUBLE)
        return self.add("Add", number, self.missing_like(self.add("Add", a, b)))

    def missing_like(self, value: str) -> str:
        """0 where there is a value, NaN where it is missing."""
        nan = self.constant(float("nan"))
        return self.add("Where", self.add("IsNaN", value), nan, self.constant(0.0))

    def finite(self, value: str) -> str:
        return self.add("Where", self.add("IsInf", value), self.constant(float("nan")), value)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"construct_{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(self, value: float) -> str:
        return self.tensor(np.array([[value]], np.float64))

    def tensor(self, array: np.ndarray) -> str:
        name = f"construct_constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _arithmetic(op: str) -> Callable[[_Builder, str, str], str]:
    return lambda builder, a, b: builder.finite(builder.add(op, a, b))


def _function(op: str) -> Callable[[_Builder, str], str]:
    return lambda builder, a: builder.finite(builder.add(op, a))


def _comparison(op: str, negated: bool = False) -> Callable[[_Builder, str, str], str]:
    return lambda builder, a, b: builder.truth(op, a, b, negated=negated)


def _extreme(op: str) -> Callable[[_Builder, str, str], str]:
    # Whether Min and Max carry NaN along is left open by ONNX.
    return lambda b, x, y: b.add("Add", b.add(op, x, y), b.missing_like(b.add("Add", x, y)))


def _or(b: _Builder, x: str, y: str) -> str:
    return b.add("Sub", b.add("Add", x, y), b.add("Mul", x, y))


def _if_else(b: _Builder, test: str, yes: str, no: str) -> str:
    chosen = b.add("Where", b.add("Greater", test, b.constant(0.5)), yes, no)
    return b.add("Add", chosen, b.missing_like(test))


_NODES: dict[str, Callable[..., str]] = {
    "add": _arithmetic("Add"), "subtract": _arithmetic("Sub"), "multiply": _arithmetic("Mul"),
    "divide": _arithmetic("Div"), "power": _arithmetic("Pow"), "min": _extreme("Min"), "max": _extreme("Max"),
    "negate": _function("Neg"), "abs": _function("Abs"), "exp": _function("Exp"), "log": _function("Log"),
    "sqrt": _function("Sqrt"), "log1p": lambda b, x: b.finite(b.add("Log", b.add("Add", x, b.constant(1.0)))),
    "less": _comparison("Less"), "less_equal": _comparison("LessOrEqual"),
    "greater": _comparison("Greater"), "greater_equal": _comparison("GreaterOrEqual"),
    "equal": _comparison("Equal"), "not_equal": _comparison("Equal", negated=True),
    "and": lambda b, x, y: b.add("Mul", x, y), "or": _or,
    "not": lambda b, x: b.add("Sub", b.constant(1.0), x), "if_else": _if_else,
    "is_missing": lambda b, x: b.add("Cast", b.add("IsNaN", x), to=TensorProto.DOUBLE),
}  # fmt: skip
