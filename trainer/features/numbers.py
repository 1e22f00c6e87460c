"""Encodings of numbers. What is missing (NaN) stays missing, except for `Impute` and `Missing`.

Each is fitted on the values of k columns of the train split, float64 (n, k), all of them at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from headrace.trainer.features.encoding import Column
from headrace.trainer.features.graph import FeatureGraph

Values = np.ndarray[Any, np.dtype[np.float64]]


def _scaled(before: Sequence[Column], name: str) -> list[Column]:
    """A number keeps its name; a code, taken for a number, is told from itself."""
    return [
        replace(column, made=f"{name}({column.made})")
        if column.size is None
        else column.step(name, size=None, values=())
        for column in before
    ]


@dataclass(frozen=True)
class Keep:
    """The value as it is."""

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """Nothing to do."""
        return block

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """The same columns."""
        return list(before)


@dataclass(frozen=True)
class Log:
    """sign(x) * log(1 + |x|): a logarithm that takes zero and negative values too."""

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """As the formula."""
        size = graph.add("Log", graph.add("Add", graph.add("Abs", block), graph.numbers(1.0)))
        return graph.add("Mul", graph.add("Sign", block), size)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`log(x)`."""
        return _scaled(before, "log")


@dataclass(frozen=True)
class Sqrt:
    """sign(x) * sqrt(|x|)."""

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """As the formula."""
        return graph.add("Mul", graph.add("Sign", block), graph.add("Sqrt", graph.add("Abs", block)))

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`sqrt(x)`."""
        return _scaled(before, "sqrt")


@dataclass(frozen=True)
class Clip:
    """Values below `low` become `low`, values above `high` become `high`: quantiles of the train split."""

    low: Values
    high: Values

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """By comparison: whether Min and Max carry NaN along is left open by ONNX."""
        low, high = graph.numbers([self.low]), graph.numbers([self.high])
        raised = graph.add("Where", graph.add("Less", block, low), low, block)
        return graph.add("Where", graph.add("Greater", raised, high), high, raised)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`clip(x)`."""
        return _scaled(before, "clip")


@dataclass(frozen=True)
class Scale:
    """(x - shift) * factor; a column that does not vary becomes 0."""

    name: str
    shift: Values
    factor: Values

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """Two nodes."""
        shifted = graph.add("Sub", block, graph.numbers([self.shift]))
        return graph.add("Mul", shifted, graph.numbers([self.factor]))

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`standardize(x)`, `min_max(x)` or `robust(x)`."""
        return _scaled(before, self.name)


@dataclass(frozen=True)
class Impute:
    """A missing value becomes the train split's median or mean, or a number that was given."""

    values: Values

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """Where it is NaN."""
        return graph.add("Where", graph.add("IsNaN", block), graph.numbers([self.values]), block)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`impute(x)`."""
        return _scaled(before, "impute")


@dataclass(frozen=True)
class Missing:
    """1 where the value is missing, else 0."""

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """IsNaN."""
        return graph.to_double(graph.add("IsNaN", block))

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`missing(x)`."""
        return [column.step("missing", size=None, values=()) for column in before]


@dataclass(frozen=True)
class Bucket:
    """The number, from 1, of the interval in which the value lies; an edge belongs to the interval above it."""

    edges: tuple[tuple[float, ...], ...]  # of each column

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """1 + how many edges are not above the value; columns with fewer edges are filled up with infinity."""
        most = max(1, *map(len, self.edges))
        table = np.full((1, len(self.edges), most), np.inf)
        for place, edges in enumerate(self.edges):
            table[0, place, : len(edges)] = edges
        reached = graph.add("GreaterOrEqual", graph.add("Unsqueeze", block, graph.integers([2])), graph.numbers(table))
        count = graph.add("ReduceSum", graph.to_double(reached), graph.integers([2]), keepdims=0)
        code = graph.add("Add", count, graph.numbers(1.0))
        return graph.add("Where", graph.add("IsNaN", block), graph.numbers(np.nan), code)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`bucket(x)`, a category of intervals."""
        return [
            column.step("bucket", size=len(edges) + 1, values=_intervals(edges))
            for column, edges in zip(before, self.edges, strict=True)
        ]


def _intervals(edges: Sequence[float]) -> tuple[str, ...]:
    if not edges:
        return ("any",)
    texts = [f"{edge:.6g}" for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return (f"below {texts[0]}", *between, f"from {texts[-1]}")


def fit_number(name: str, argument: Any, values: Values) -> Any:
    """Fits a step on numbers.

    Args:
        name: of the step.
        argument: of the step; None: its default.
        values: of the train split, (n, k); at least one row.
    """
    match name:
        case "keep" | "days":
            return Keep()
        case "log":
            return Log()
        case "sqrt":
            return Sqrt()
        case "missing":
            return Missing()
        case "clip":
            low, high = argument or (0.01, 0.99)
            return Clip(*_quantiles(values, [low, high]))
        case "impute":
            return Impute(_fillers(argument or "median", values))
        case "bucket":
            return Bucket(_edges(10 if argument is None else argument, values))
    return _scale(name, values)


def _quantiles(values: Values, shares: Sequence[float], method: Any = "linear") -> Values:
    """Of what is finite, column by column; 0 where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all of a column missing
        found = np.nanquantile(_finite(values), shares, axis=0, method=method)
    return np.asarray(np.nan_to_num(found))


def _finite(values: Values) -> Values:
    return np.where(np.isfinite(values), values, np.nan)


def _fillers(argument: Any, values: Values) -> Values:
    if argument == "median":
        return np.asarray(_quantiles(values, [0.5])[0])
    if argument == "mean":
        return _mean(values)
    return np.full(values.shape[1], float(argument))


def _mean(values: Values) -> Values:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nan_to_num(np.nanmean(_finite(values), axis=0)))


def _edges(argument: Any, values: Values) -> tuple[tuple[float, ...], ...]:
    """The inner quantiles, each once and a value that occurs, so that no interval is empty."""
    if isinstance(argument, tuple):
        edges: tuple[float, ...] = tuple(float(edge) for edge in argument)
        return tuple(edges for _ in range(values.shape[1]))
    table = _quantiles(values, np.linspace(0, 1, argument + 1)[1:-1].tolist(), "higher")
    least = _quantiles(values, [0.0])[0]
    found = []
    for place in range(values.shape[1]):
        inner = np.unique(table[:, place])
        found.append(tuple(map(float, inner[inner > least[place]])))
    return tuple(found)


def _scale(name: str, values: Values) -> Scale:
    if name == "standardize":
        shift = _mean(values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            width = np.nanstd(_finite(values), axis=0)
    else:
        low, middle, high = _quantiles(values, (0.0, 0.5, 1.0) if name == "min_max" else (0.25, 0.5, 0.75))
        shift, width = (low if name == "min_max" else middle), high - low
    width = np.nan_to_num(width)
    # What varies only by the rounding of equal values does not vary.
    varies = width > 1e-12 * np.maximum(1.0, np.abs(shift))
    return Scale(name, np.asarray(shift), np.where(varies, 1 / np.where(varies, width, 1.0), 0.0))
