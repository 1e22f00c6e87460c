"""What every fitted encoding is: it knows its nodes, and what its columns are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from headrace.trainer.features.graph import FeatureGraph


@dataclass(frozen=True)
class Column:
    """One column on its way from a raw column to a feature.

    Attributes:
        sources: the raw columns that it is made of.
        name: for the feature that it becomes: as it is made, without what only scales it.
        made: how, for people.
        size: of a category: its codes are 1 to `size`, 0 is unseen, NaN missing; None for a number.
        values: of a category: what the codes stand for, 1 first; empty where there is nothing to say.
    """

    sources: tuple[str, ...]
    name: str
    made: str
    size: int | None = None
    values: tuple[str, ...] = ()

    def step(self, name: str, **changes: Any) -> Column:
        """The column behind a step that makes something else of it."""
        return replace(self, name=f"{name}({self.name})", made=f"{name}({self.made})", **changes)

    def value(self, code: int) -> str:
        """What a code stands for."""
        return self.values[code - 1] if code <= len(self.values) else str(code)


class Encoding(Protocol):
    """A fitted step for a block of k columns: float64 [N, k] in, float64 [N, m] out."""

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """Adds its nodes behind a tensor, and returns the tensor that they give."""

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """The m columns that come of k columns."""


def record(encoding: Any) -> dict[str, Any]:
    """What was learned, as JSON: no NaN, arrays as lists."""
    return {field.name: plain(getattr(encoding, field.name)) for field in fields(encoding)}


def plain(value: Any) -> Any:
    """A value as JSON has it; numbers that are not finite as texts."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value
