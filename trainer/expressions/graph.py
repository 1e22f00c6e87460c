"""Expressions as nodes of an ONNX graph, behind the encoding: what encodings and models are built upon.

    graph = Graph("features/")
    columns = Columns(graph, inputs)                     # reads the graph's inputs `matrix`, and `texts` where needed
    built = columns.constructed({"spend": "total / tenure", "note_": "lower(note)", "loud": "contains(note_, '!')"})
    built["spend"].tensor, built["spend"].type           # float64 [N, 1], "number"
    codes = code_of(graph, built["note_"].tensor, vocabulary)

In the graph a missing value is NaN, or "" for a text, and a truth value is 1, 0 or NaN, so that arithmetic carries
what is missing along; the operations mean the same as in `expression_arrow`. All numbers are float64: the difference
of two times in epoch seconds must not be taken of rounded ones. A graph that reads texts takes one row at least.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from headrace.artifacts.signature import Input, text_inputs
from headrace.trainer.expressions.expression import Expression, inlined
from headrace.trainer.expressions.graph_dates import DATES
from headrace.trainer.expressions.graph_texts import TEXT_NODES
from headrace.trainer.expressions.graph_values import Builder, number_or_missing, truth
from headrace.trainer.expressions.nodes import (
    BOOLEAN,
    DATE,
    NUMBER,
    TEXT,
    Call,
    Column,
    Constant,
    ExpressionError,
    Node,
)
from headrace.trainer.expressions.operations import typed
from headrace.trainer.graph import MATRIX, TEXTS, Graph

TYPES = {"number": NUMBER, "date": DATE, "boolean": BOOLEAN, "category": TEXT, "text": TEXT}  # of inputs

ValueType = Literal["number", "boolean", "date", "text", "category"]


@dataclass(frozen=True)
class Value:
    """A column in a graph.

    Attributes:
        tensor: its name; [N, 1].
        type: `number` is float64 with NaN where missing; `date` the same, in days since 1970-01-01; `boolean` the
            same, 1 or 0; `text` is a string, "" where missing. Of raw columns alone, `category` is a code (float64:
            0 unseen, 1 + place in the vocabulary, NaN missing).
        columns: the raw columns that it is made of; none for a constant.
    """

    tensor: str
    type: ValueType
    columns: tuple[str, ...]


class Columns:
    """The raw columns, and what expressions make of them, in a graph whose inputs are `matrix` and `texts`.

    Args:
        graph: what the nodes are added to. Equal nodes are added once, so asking twice costs nothing.
        inputs: the raw features, in the order of the matrix.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Input]) -> None:
        self.graph = graph
        self.inputs = {item.name: (place, item) for place, item in enumerate(inputs)}
        self.types = {item.name: TYPES[item.type] for item in inputs}
        self._texts = {inputs[place].name: column for column, place in enumerate(text_inputs(inputs))}

    def raw(self, name: str) -> Value:
        """A raw column; numbers and dates as they were before the encoder subtracted their offset."""
        item = self.inputs[name][1]
        if item.type == "text":
            return Value(self.graph.column(TEXTS, self._texts[name]), "text", (name,))
        cell = self.cell(name)
        assert item.type != "image"  # which has no cell
        shifted = self.graph.add("Add", cell, self.graph.constant([[item.offset]], np.float64)) if item.offset else cell
        return Value(shifted, item.type, (name,))

    def cell(self, name: str) -> str:
        """A raw column's cell of the matrix, as the encoder made it: float64 [N, 1]."""
        return self.graph.column(MATRIX, self.inputs[name][0])

    def constructed(self, construct: Mapping[str, str]) -> dict[str, Value]:
        """Builds the expressions of `features.construct`, which may name one another; by their names, in order.

        Raises:
            ExpressionError: one cannot be read or does not fit the inputs, or a category's spelling is read: such a
                column must be an input of type `text` (`Expression.spelt` tells beforehand).
        """
        return {name: self._named(name, expression) for name, expression in inlined(construct).items()}

    def value(self, expression: Expression) -> Value:
        """Builds one expression.

        Raises:
            ExpressionError: as `constructed`.
        """
        for name in expression.spelt(self.types):
            if self.inputs[name][1].type == "category":
                raise ExpressionError(
                    f"`{expression.text}`: expected `{name}` to be a text, for its spelling is read. "
                    "Received: a category, which is compared with texts in quotes alone"
                )
        root, kind = typed(expression.root, self.types, expression.text)
        tensor = self._node(root)
        if not expression.columns():  # as many rows as the matrix has
            rows = self.graph.add("Shape", MATRIX, start=0, end=1)
            shape = self.graph.add("Concat", rows, self.graph.constant([1], np.int64), axis=0)
            tensor = self.graph.add("Expand", tensor, shape)
        return Value(tensor, cast(ValueType, kind), tuple(expression.columns()))

    def _named(self, name: str, expression: Expression) -> Value:
        try:
            return self.value(expression)
        except ExpressionError as error:
            raise ExpressionError(f"features.construct.{name}: {error}") from None

    def _node(self, node: Node) -> str:
        builder = Builder(self.graph)
        if isinstance(node, Constant):
            return builder.text(node.value) if isinstance(node.value, str) else builder.number(float(node.value))
        if isinstance(node, Column):
            return self.raw(node.name).tensor
        coded = self._by_code(node)
        if coded is not None:
            return coded
        if node.op in TEXT_NODES:
            arguments = [argument if isinstance(argument, Constant) else self._node(argument) for argument in node.args]
            return TEXT_NODES[node.op](builder, *arguments)
        return NODES[node.op](builder, *(self._node(argument) for argument in node.args))

    def _by_code(self, node: Call) -> str | None:
        """A category is its code here: what it is compared with becomes the code that the vocabulary gives it."""
        builder = Builder(self.graph)
        for argument in node.args:
            if isinstance(argument, Column) and self.inputs[argument.name][1].type == "category":
                cell, vocabulary = self.cell(argument.name), self.inputs[argument.name][1].vocabulary
                if node.op == "text_is_missing":
                    return NODES["is_missing"](builder, cell)
                texts = [other.value for other in node.args if isinstance(other, Constant)]
                codes = [float(1 + vocabulary.index(str(t))) if t in vocabulary else -1.0 for t in texts]
                found = NODES["in"](builder, cell, *map(builder.number, codes))
                return NODES["not"](builder, found) if node.op == "text_not_equal" else found
        return None


def _arithmetic(op: str) -> Callable[..., str]:
    return lambda builder, *args: builder.finite(builder.add(op, *args))


def _comparison(op: str, negated: bool = False) -> Callable[..., str]:
    return lambda builder, a, b: truth(builder, op, a, b, negated=negated)


def _extreme(op: str) -> Callable[[Builder, str, str], str]:
    # Whether Min and Max carry NaN along is left open by ONNX.
    return lambda b, x, y: b.add("Add", b.add(op, x, y), b.missing(b.add("Add", x, y)))


def _power(b: Builder, x: str, y: str) -> str:
    # Pow gives 1 for NaN ** 0 and for 1 ** NaN.
    return b.finite(b.add("Add", b.add("Pow", x, y), b.missing(b.add("Add", x, y))))


def _guarded(op: str) -> Callable[[Builder, str], str]:
    """So that NaN comes out as NaN, whatever the runtime makes of it."""
    return lambda b, x: b.add("Add", b.add(op, x), b.missing(x))


def _logarithm(base: float) -> Callable[[Builder, str], str]:
    return lambda b, x: b.finite(b.add("Div", b.add("Log", x), b.number(float(np.log(base)))))


def _clip(b: Builder, value: str, low: str, high: str) -> str:
    return _extreme("Max")(b, _extreme("Min")(b, value, high), low)


def _modulo(b: Builder, x: str, y: str) -> str:
    quotient = b.add("Floor", b.add("Div", x, y))
    return b.finite(b.add("Sub", x, b.add("Mul", y, quotient)))


def _is_in(b: Builder, value: str, *listed: str) -> str:
    options = b.add("Concat", *listed, axis=1) if len(listed) > 1 else listed[0]
    same = b.graph.to_double(b.add("Equal", value, options))
    found = b.add("ReduceMax", same, b.graph.constant([1], np.int64), keepdims=1)
    return b.add("Add", found, b.missing(value))


def _or(b: Builder, x: str, y: str) -> str:
    return b.add("Sub", b.add("Add", x, y), b.add("Mul", x, y))


def _if_else(b: Builder, test: str, yes: str, no: str) -> str:
    chosen = b.add("Where", b.add("Greater", test, b.number(0.5)), yes, no)
    return b.add("Add", chosen, b.missing(test))


def _is_missing(b: Builder, value: str) -> str:
    return b.graph.to_double(b.add("IsNaN", value))


# Of numbers, truth values and dates; every tensor is float64 [N, 1], or [1, 1] for a constant.
NODES: dict[str, Callable[..., str]] = {
    "add": _arithmetic("Add"), "subtract": _arithmetic("Sub"), "multiply": _arithmetic("Mul"),
    "divide": _arithmetic("Div"), "power": _power, "modulo": _modulo,
    "floor_divide": lambda b, x, y: b.finite(b.add("Floor", b.add("Div", x, y))),
    "min": _extreme("Min"), "max": _extreme("Max"), "clip": _clip,
    "negate": _arithmetic("Neg"), "abs": _arithmetic("Abs"), "sign": _guarded("Sign"), "exp": _arithmetic("Exp"),
    "log": _arithmetic("Log"), "log2": _logarithm(2), "log10": _logarithm(10), "sqrt": _arithmetic("Sqrt"),
    "log1p": lambda b, x: b.finite(b.add("Log", b.add("Add", x, b.number(1.0)))),
    "sin": _arithmetic("Sin"), "cos": _arithmetic("Cos"),
    "floor": _guarded("Floor"), "ceil": _guarded("Ceil"), "round": _guarded("Round"),
    "less": _comparison("Less"), "less_equal": _comparison("LessOrEqual"),
    "greater": _comparison("Greater"), "greater_equal": _comparison("GreaterOrEqual"),
    "equal": _comparison("Equal"), "not_equal": _comparison("Equal", negated=True), "in": _is_in,
    "and": lambda b, x, y: b.add("Mul", x, y), "or": _or,
    "not": lambda b, x: b.add("Sub", b.number(1.0), x), "if_else": _if_else,
    "coalesce": number_or_missing, "is_missing": _is_missing, "to_number": lambda b, x: x, **DATES,
}  # fmt: skip
