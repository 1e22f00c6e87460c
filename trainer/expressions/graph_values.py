"""What all nodes of expressions are made with: constants, truth values, and how a missing value is carried along."""

from __future__ import annotations

from typing import Any

import numpy as np

from headrace.trainer.graph import Graph

_NAN = float("nan")


class Builder:
    """A graph, with the few things that every operation needs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node."""
        return self.graph.add(op, *inputs, **attributes)

    def number(self, value: float) -> str:
        """A float64 constant [1, 1]."""
        return self.graph.constant([[value]], np.float64)

    def text(self, value: str) -> str:
        """A string constant [1, 1]."""
        return self.graph.constant([[value]], np.object_)

    def missing(self, value: str) -> str:
        """0 where there is a number, NaN where it is missing."""
        return self.add("Where", self.add("IsNaN", value), self.number(_NAN), self.number(0.0))

    def missing_text(self, value: str) -> str:
        """0 where there is a text, NaN where it is missing."""
        return self.add("Where", self.add("Equal", value, self.text("")), self.number(_NAN), self.number(0.0))

    def finite(self, value: str) -> str:
        """NaN for what is infinite."""
        return self.add("Where", self.add("IsInf", value), self.number(_NAN), value)


def truth(builder: Builder, op: str, a: str, b: str, *, negated: bool = False) -> str:
    """A comparison of numbers: 1, 0, or NaN where one of them is missing."""
    compared = builder.add(op, a, b)
    if negated:
        compared = builder.add("Not", compared)
    return builder.add("Add", builder.graph.to_double(compared), builder.missing(builder.add("Add", a, b)))


def number_or_missing(builder: Builder, first: str, second: str) -> str:
    """The first, or where that is missing the second."""
    return builder.add("Where", builder.add("IsNaN", first), second, first)
