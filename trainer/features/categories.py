"""Encodings of categories. A code is 1 to `size`, 0 where the value is unseen or rare, NaN where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.trainer.features.encoding import Column
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.numbers import Values
from headrace.trainer.graph import MICROSOFT, code_of

OTHER, MISSING = 0, -1  # among the codes that one-hot columns stand for


@dataclass(frozen=True)
class OneHot:
    """A column of 0 and 1 per value. Rare and unseen values share one, missing ones another, where training had any."""

    codes: tuple[tuple[int, ...], ...]  # of each column: the codes that get one
    others: tuple[tuple[int, int], ...]  # of each column: the first code of its own, and `size`: the rest is OTHER

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """One comparison for all columns."""
        missing = graph.add("IsNaN", block)
        code = graph.add("Where", missing, graph.numbers(float(MISSING)), block)
        if any(first > 1 for first, _ in self.others):
            firsts = graph.numbers([[float(first) for first, _ in self.others]])
            common = graph.add("GreaterOrEqual", code, firsts)
            kept = graph.add("Where", common, code, graph.numbers(float(OTHER)))
            code = graph.add("Where", missing, graph.numbers(float(MISSING)), kept)
        places = [place for place, codes in enumerate(self.codes) for _ in codes]
        repeated = graph.add("Gather", code, graph.integers(places), axis=1)
        wanted = graph.numbers([[float(code) for codes in self.codes for code in codes]])
        return graph.to_double(graph.add("Equal", repeated, wanted))

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`plan=gold`, `plan=(other)`, `plan=(missing)`."""
        names = {OTHER: "(other)", MISSING: "(missing)"}
        return [
            Column(column.sources, f"{column.name}={value}", f"{column.made}={value}")
            for column, codes in zip(before, self.codes, strict=True)
            for value in (names.get(code) or column.value(code) for code in codes)
        ]


@dataclass(frozen=True)
class Table:
    """A number, or C of them, for each code: target encoding, share of the rows, order.

    The table of a column has a row for each code from 0 to `size`, and one for missing.
    """

    name: str
    tables: tuple[Values, ...]  # of each column: (size + 2, C)
    per_value: tuple[str, ...] = ()  # what the C numbers stand for; empty where C is 1

    def emit(self, graph: FeatureGraph, block: str) -> str:
        """All tables below each other, and one Gather."""
        heights = np.array([len(table) for table in self.tables])
        last = graph.numbers([(heights - 1).astype(np.float64)])
        row = graph.add("Where", graph.add("IsNaN", block), last, block)
        row = graph.add("Add", row, graph.numbers([(np.cumsum(heights) - heights).astype(np.float64)]))
        place = graph.add("Cast", row, to=TensorProto.INT64)
        stacked = np.concatenate(self.tables)
        if stacked.shape[1] == 1:
            return graph.add("Gather", graph.numbers(stacked[:, 0]), place, axis=0)
        found = graph.add("Gather", graph.numbers(stacked), place, axis=0)  # [N, k, C]
        return graph.add("Reshape", found, graph.integers([-1, len(self.tables) * stacked.shape[1]]))

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`target(plan)`, or one for each class: `target(plan)=gold`."""
        suffixes = [f"={value}" for value in self.per_value] or [""]
        return [
            replace(made, name=made.name + suffix, made=made.made + suffix)
            for made in (column.step(self.name, size=None, values=()) for column in before)
            for suffix in suffixes
        ]


@dataclass(frozen=True)
class Vocabulary:
    """Strings to codes, as the signature does it for a category; for texts and for strings that were constructed."""

    values: tuple[str, ...]

    def emit(self, graph: FeatureGraph, text: str) -> str:
        """Strings [N, 1] to float64 [N, 1]; an empty one is missing."""
        return code_of(graph, text, self.values)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """A category."""
        return [replace(column, size=len(self.values), values=self.values) for column in before]


@dataclass(frozen=True)
class Hash:
    """Strings to one of `buckets` codes by MurmurHash3 (32 bits, seed 0): no vocabulary, and nothing is unseen."""

    buckets: int

    def emit(self, graph: FeatureGraph, text: str) -> str:
        """Strings [N, 1] to float64 [N, 1]; an empty one is missing."""
        hashed = graph.add("MurmurHash3", text, domain=MICROSOFT, positive=1, seed=0)
        whole = graph.add("Cast", hashed, to=TensorProto.INT64)
        rest = graph.add("Mod", whole, graph.integer(self.buckets))
        code = graph.add("Add", graph.to_double(rest), graph.numbers(1.0))
        empty = graph.add("Equal", text, graph.constant("", np.object_))
        return graph.add("Where", empty, graph.numbers(np.nan), code)

    def columns(self, before: Sequence[Column]) -> list[Column]:
        """`hash(agent)`, a category."""
        return [column.step("hash", size=self.buckets, values=()) for column in before]


def fit_one_hot(most: int | None, codes: Values, sizes: Sequence[int]) -> OneHot:
    """One-hot columns for the values that training has, at most the `most` greatest codes, which are the commonest.

    Args:
        most: columns of values; None: all.
        codes: of the train split, (n, k).
        sizes: of the k categories.
    """
    found, others = [], []
    for place, size in enumerate(sizes):
        seen, counts = np.unique(codes[:, place], return_counts=True)  # NaN is the last
        missing = int(counts[np.isnan(seen)].sum())
        present = {int(code): int(count) for code, count in zip(seen, counts, strict=True) if not np.isnan(code)}
        first = max(1, size - most + 1) if most is not None else 1
        rare = sum(count for code, count in present.items() if code < first)
        own = [code for code in sorted(present) if code >= first]
        found.append((*own, *((OTHER,) if rare else ()), *((MISSING,) if missing else ())))
        others.append((first, size))
    return OneHot(tuple(found), tuple(others))


def fit_share(codes: Values, sizes: Sequence[int]) -> Table:
    """The share of the train split's rows with the value."""
    return Table("share", tuple(
        (np.bincount(rows, minlength=size + 2) / len(rows)).reshape(-1, 1)
        for rows, size in ((table_rows(codes[:, place], size), size) for place, size in enumerate(sizes))
    ))  # fmt: skip


def fit_order(order: Sequence[str] | None, column: Column) -> Table:
    """1, 2, 3, ... in the order given, or in the texts' own; unseen values are missing."""
    places = {value: 1.0 + place for place, value in enumerate(order or sorted(column.values))}
    numbers = [places.get(value, np.nan) for value in column.values]
    return Table("ordinal", (np.array([np.nan, *numbers, np.nan]).reshape(-1, 1),))


def table_rows(codes: Any, size: int) -> np.ndarray:
    """Codes as rows of a table: missing ones in the last."""
    return np.where(np.isnan(codes), size + 1, codes).astype(np.int64)
