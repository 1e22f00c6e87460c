"""Divides rows by a column, or by several at once: one group per value, or per quartile of many numbers or dates."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.by import CROSS, By, columns_of
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import MISSING
from headrace.components.evaluate.scores import Array

MOST_DISTINCT = 10  # numbers with more distinct values are put into quartiles


class Group(NamedTuple):
    """Rows that belong together."""

    value: str
    rows: Array  # their indices


class Codes(NamedTuple):
    """A column as small whole numbers: (N,) places in `labels`."""

    labels: list[str]
    codes: Array


def groups(table: pa.Table, by: By) -> list[Group]:
    """The groups of a column, the largest first. Rows without a value are a group of their own.

    Of several columns there is a group for each combination of their groups that has rows; it is called after all
    of them, `basic × north`.

    Raises:
        HeadraceError: there is no such column.
    """
    labels, codes = coded(table, by)
    order = np.argsort(codes, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(codes, minlength=len(labels)))[:-1])
    found = [Group(label, rows) for label, rows in zip(labels, parts, strict=True) if len(rows)]
    return sorted(found, key=lambda group: -len(group.rows))


def coded(table: pa.Table, by: By) -> Codes:
    """The group of each row as a number.

    Raises:
        HeadraceError: there is no such column.
    """
    first, *rest = (_coded(table, name) for name in columns_of(by))
    labels, codes = first
    for more in rest:
        # Only combinations that occur get a number: of many columns, all that are possible would be too many.
        present, codes = np.unique(codes * len(more.labels) + more.codes, return_inverse=True)
        pairs = (divmod(int(place), len(more.labels)) for place in present)
        labels = [f"{labels[left]}{CROSS}{more.labels[right]}" for left, right in pairs]
    return Codes(labels, codes)


def _coded(table: pa.Table, name: str) -> Codes:
    if name not in table.column_names:
        near = difflib.get_close_matches(name, table.column_names, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"columns {', '.join(table.column_names)}"
        raise HeadraceError(f"expected a column `{name}` to divide rows by. Received: no such column; {hint}")
    column = table[name]
    ordered = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    ordered = ordered or pa.types.is_temporal(column.type)
    if ordered and pc.count_distinct(column).as_py() > MOST_DISTINCT:
        return Codes(*_quartiles(column))
    return Codes(*_values(column))


def _values(column: pa.ChunkedArray[Any]) -> tuple[list[str], Array]:
    texts = column.cast(pa.string()).fill_null(pa.scalar(""))
    encoded: Any = texts.dictionary_encode().combine_chunks()
    labels = [value or MISSING for value in encoded.dictionary.to_pylist()]
    return labels, np.asarray(encoded.indices, dtype=np.int64)


def _quartiles(column: pa.ChunkedArray[Any]) -> tuple[list[str], Array]:
    numbers = column
    if pa.types.is_temporal(column.type):
        numbers = column.cast(pa.timestamp("us")).cast(pa.int64())
    values = np.asarray(numbers.cast(pa.float64()).to_numpy())  # null is NaN
    missing = np.isnan(values)
    # Edges are values that occur, so that a quartile's name can be read off the data.
    edges = np.unique(np.quantile(values[~missing], [0, 0.25, 0.5, 0.75, 1], method="lower"))
    codes = np.searchsorted(edges[1:-1], values, side="right")
    codes[missing] = len(edges) - 1
    names = [_edge(edge, column.type) for edge in edges]
    ends = [")"] * (len(names) - 2) + ["]"]
    labels = [f"[{low}, {high}{end}" for low, high, end in zip(names, names[1:], ends, strict=False)]
    return [*labels, MISSING], codes


def _edge(value: float, kind: pa.DataType) -> str:
    if not pa.types.is_temporal(kind):
        return f"{value:g}"
    moment = np.datetime64(int(value), "us")
    return str(moment.astype("datetime64[D]" if pa.types.is_date(kind) else "datetime64[s]"))
