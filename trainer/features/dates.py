"""Encodings of dates, whose values are days since 1970-01-01 with a fraction for the time of day; in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.trainer.expressions.graph_dates import DATES
from headrace.trainer.expressions.graph_values import Builder
from headrace.trainer.features.encoding import Column
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.numbers import Values
from headrace.trainer.features.steps import PARTS

_MONTHS = ("January", "February", "March", "April", "May", "June",
           "July", "August", "September", "October", "November", "December")  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_VALUES = {"month": _MONTHS, "weekday": _WEEKDAYS, "hour": tuple(map(str, range(24)))}


@dataclass(frozen=True)
class Age:
    """Days before the newest date of the train split."""

    newest: Values

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """A difference."""
        return graph.add("Sub", graph.numbers([self.newest]), block)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`age(x)`."""
        return [column.step("age") for column in before]


@dataclass(frozen=True)
class Part:
    """A part of the date: `year`, or as a category `quarter`, `month`, `day`, `weekday` (Monday first) or `hour`."""

    part: str

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """As expressions have it; codes begin with 1."""
        part = DATES[self.part](Builder(graph), block)
        return graph.add("Add", part, graph.numbers(1.0)) if self.part in ("weekday", "hour") else part

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`month(x)`, a category except for the year."""
        size = PARTS.get(self.part)
        values = _VALUES.get(self.part, ())
        return [column.step(self.part, size=size, values=values) for column in before]


def fit_date(name: str, values: Values) -> Age | Part:
    """Fits a step on dates."""
    if name != "age":
        return Part(name)
    finite = np.where(np.isfinite(values), values, -np.inf).max(axis=0)
    return Age(np.where(np.isfinite(finite), finite, 0.0))
