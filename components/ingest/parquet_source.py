"""Reads a Parquet file and brings its columns to the few types of a snapshot."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError


def read_parquet(file: Path) -> pa.Table:
    """Reads a Parquet file; every column becomes bool, int64, float64, date32, timestamp[us] or string.

    Raises:
        HeadraceError: not a Parquet file, no rows, duplicate column names, or a column of a nested type.
    """
    try:
        table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise HeadraceError(f"{file}: expected a Parquet file. Received: {error}") from None
    if table.num_rows == 0:
        raise HeadraceError(f"{file}: expected rows. Received: none")
    twice = {name for name in table.column_names if table.column_names.count(name) > 1}
    if twice:
        raise HeadraceError(
            f"{file}: expected each column name once. Received: {', '.join(sorted(twice))} more than once"
        )
    return normalise_columns(table, file)


def normalise_columns(table: pa.Table, file: Path) -> pa.Table:
    """Casts every column to its type in a snapshot; the file is named in errors."""
    return pa.table({field.name: _normalise(table[field.name], field, file) for field in table.schema})


def _normalise(column: pa.ChunkedArray, field: pa.Field, file: Path) -> pa.ChunkedArray:
    type = field.type
    if pa.types.is_dictionary(type):
        column, type = column.cast(type.value_type), type.value_type
    target = _target(type)
    if target is None:
        raise HeadraceError(
            f"{file}, column `{field.name}`: expected numbers, texts, truth values or dates. Received: {type}; "
            "flatten it or leave it out"
        )
    try:
        return column.cast(target)
    except pa.ArrowInvalid as error:
        raise HeadraceError(
            f"{file}, column `{field.name}`: expected values that fit {target}. Received: {error}"
        ) from None


def _target(type: pa.DataType) -> pa.DataType | None:
    if pa.types.is_boolean(type):
        return pa.bool_()
    if pa.types.is_integer(type):
        return pa.int64()
    if pa.types.is_floating(type) or pa.types.is_decimal(type) or pa.types.is_null(type):
        return pa.float64()
    if pa.types.is_date(type):
        return pa.date32()
    if pa.types.is_timestamp(type):
        return pa.timestamp("us")
    text = pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type)
    return pa.string() if text else None
