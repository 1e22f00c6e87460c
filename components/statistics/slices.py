"""Slices: the rows with one value in a column, which are described by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.statistics import Slice
from headrace.components.statistics.basic import Weights
from headrace.components.statistics.encode import Column
from headrace.components.statistics.top_values import ValueCounts, most_frequent

ALL = ""  # the key of all rows
TYPES = ("string", "int64", "bool")  # of a snapshot's columns that can be sliced by

Slices = dict[str, list[str | int]]  # column -> the values that have a slice


def key(column: str, value: str | int) -> str:
    """A slice's name, as TFDV writes it."""
    return f"{column}_{value}"


def keys(slices: Slices) -> list[str]:
    """The names of all slices, in order."""
    return [key(column, value) for column, values in slices.items() for value in values]


def count(counts: dict[str, ValueCounts], columns: Mapping[str, Column]) -> None:
    """Counts the values of a batch of plain columns."""
    for name, column in columns.items():
        if column.null_count < len(column):
            counts.setdefault(name, ValueCounts()).add(column.drop_null(), None)


def choose(counts: Mapping[str, ValueCounts], columns: list[str], most: int) -> Slices:
    """The values to slice by: of each column the `most` frequent ones, the most frequent first.

    Raises:
        HeadraceError: two slices would have the same name.
    """
    slices: Slices = {}
    for name in columns:
        table = most_frequent(counts[name].total(), most) if name in counts else None
        pairs = [] if table is None else zip(table["count"].to_pylist(), table["value"].to_pylist(), strict=True)
        ordered = [value for _, value in sorted(pairs, reverse=True)]
        slices[name] = [value for value in map(_readable, ordered) if value is not None]
    names = keys(slices)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise HeadraceError(
            f"statistics.slices: expected slices with names that differ. Received: {twice[0]!r} twice, of two columns. "
            "Leave one of the columns out"
        )
    return slices


def described_slices(slices: Slices, splits: tuple[str, ...], names: set[str]) -> list[Slice]:
    """What each dataset of a slice is, of those that have rows."""
    found = []
    for split in splits:
        for column, values in slices.items():
            for value in values:
                name = f"{split}/{key(column, value)}"
                if name in names:
                    found.append(Slice(name, split, column, value))
    return found


def split_rows(
    values: Mapping[str, Column], columns: list[str], weights: Weights, slices: Slices
) -> Iterator[tuple[str, dict[str, Column], Weights]]:
    """A batch's rows slice by slice, in their order: the slice's name, some columns of its rows, and their weights."""
    for name, chosen in slices.items():
        codes = _codes(values[name], chosen)
        rows = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[rows], np.arange(len(chosen) + 1))
        taken = {column: values[column].take(pa.array(rows)) for column in columns}
        for index, value in enumerate(chosen):
            start, end = int(bounds[index]), int(bounds[index + 1])
            if start < end:
                part = {column: array.slice(start, end - start) for column, array in taken.items()}
                yield key(name, value), part, None if weights is None else weights[rows[start:end]]


def _codes(column: Column, chosen: list[str | int]) -> Any:
    """For each row the position of its value among the chosen ones; -1 for another and for none."""
    if pa.types.is_null(column.type):
        return np.full(len(column), -1)
    texts = [value.encode() if isinstance(value, str) else value for value in chosen]
    found = pc.index_in(column, value_set=pa.array(texts, column.type))
    return np.asarray(found.fill_null(-1))


def _readable(value: object) -> str | int | None:
    """A value as it stands in a name; None for text that is not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return int(str(value))
