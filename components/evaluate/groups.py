"""Divides rows by a column, or by several at once: one group per value, or per quartile of many numbers or dates."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.by import CROSS, By, columns_of
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import MISSING
from headrace.components.evaluate.scores import Array

MOST_DISTINCT = 10  # numbers with more distinct values are put into quartiles
_QUARTILES = np.array([0, 0.25, 0.5, 0.75, 1])
_LEAST_DIGITS, _MOST_DIGITS = 6, 17  # of an edge's name; 17 tell any two float64 apart
_UNITS = ["s", "ms", "us", "ns"]  # likewise of a moment's


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
        labels = _distinct([f"{labels[left]}{CROSS}{more.labels[right]}" for left, right in pairs])
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
    values = encoded.dictionary.to_pylist()
    literal = f"{MISSING} as text" if "" in values else MISSING  # rows that say so are not those that say nothing
    labels = [literal if value == MISSING else value or MISSING for value in values]
    return _distinct(labels), np.asarray(encoded.indices, dtype=np.int64)


def _distinct(labels: list[str]) -> list[str]:
    """Labels of which no two are the same, as gates know groups by them: of equal ones the later get a number."""
    given, found = set(labels), dict[str, None]()
    for label in labels:
        name, number = label, 1
        while name in found or (number > 1 and name in given):
            number += 1
            name = f"{label} ({number})"
        found[name] = None
    return list(found)


def _quartiles(column: pa.ChunkedArray[Any]) -> tuple[list[str], Array]:
    values, missing = ordered(column)
    # Edges are values that occur, so that a quartile's name can be read off the data.
    known = np.sort(values[~missing])
    edges = np.unique(known[((len(known) - 1) * _QUARTILES).astype(np.int64)])
    codes = np.searchsorted(edges[1:-1], values, side="right")
    codes[missing] = len(edges) - 1
    names = _edges(edges, known, column.type)
    ends = [")"] * (len(names) - 2) + ["]"]
    labels = [f"[{low}, {high}{end}" for low, high, end in zip(names, names[1:], ends, strict=False)]
    return [*labels, MISSING], codes


def ordered(column: pa.ChunkedArray[Any]) -> tuple[Array, Array]:
    """(N,) numbers in the order of the column's values, whole ones to the last digit; and (N,) which are missing."""
    kind = column.type
    if pa.types.is_floating(kind):
        values = np.asarray(column.cast(pa.float64()).to_numpy())  # null is NaN
        return values, np.isnan(values)
    numbers = column
    if pa.types.is_temporal(kind):
        numbers = (column if pa.types.is_timestamp(kind) else column.cast(pa.timestamp("us"))).cast(pa.int64())
    return np.asarray(pc.fill_null(numbers, 0).to_numpy()), np.asarray(pc.is_null(column).to_numpy())


def unit_of(kind: pa.DataType) -> str:
    """What moments are whole numbers of, in `ordered`."""
    return str(kind.unit) if pa.types.is_timestamp(kind) else "us"


def _edges(edges: Array, known: Array, kind: pa.DataType) -> list[str]:
    """The shortest texts that a quartile's values lie between, and no others: of two, none has another's name.

    Args:
        edges: values at which quartiles begin, and the highest value.
        known: all values, lowest first.
        kind: the column's type.
    """
    befores = known[np.searchsorted(known, edges) - 1]  # of the first edge no value is; there it is not looked at
    names = []
    for place, (edge, before) in enumerate(zip(edges, befores, strict=True)):
        tried = texts_of(edge, kind)
        if place == len(edges) - 1:
            names.append(next(text for text, value in tried if value >= edge))
        else:
            names.append(next(text for text, value in tried if value <= edge and (place == 0 or value > before)))
    return names


def texts_of(edge: Any, kind: pa.DataType) -> Iterator[tuple[str, Any]]:
    """Texts of a value with what they say, the shortest first; the last says all of it. Moments are cut off."""
    if pa.types.is_temporal(kind):
        own = unit_of(kind)
        for unit in ["D", *_UNITS] if pa.types.is_date(kind) else _UNITS:
            moment = edge.astype(f"datetime64[{own}]").astype(f"datetime64[{unit}]")
            yield str(moment), moment.astype(f"datetime64[{own}]").astype(np.int64)
    elif edge.dtype.kind in "iu":
        yield str(edge), edge
    else:
        for digits in range(_LEAST_DIGITS, _MOST_DIGITS + 1):
            text = f"{edge:.{digits}g}"
            yield text, float(text)
