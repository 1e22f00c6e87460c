"""Reads a Parquet file and brings its columns to the few types of a snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names

_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Normalised:
    """A table whose columns are of a snapshot's types, and what is otherwise than in its file."""

    table: pa.Table
    left_out: dict[str, str]  # column -> its type, which a snapshot does not have
    notes: list[str]


def read_parquet(file: Path) -> Normalised:
    """Reads a Parquet file; every column becomes bool, int64, float64, date32, timestamp[us] or string.

    Raises:
        HeadraceError: not a Parquet file, no rows, column names that are duplicate or cannot be served, or a
            value that does not fit its column's type.
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


def normalise_columns(table: pa.Table, file: Path) -> Normalised:
    """Casts every column to its type in a snapshot; the file is named in errors.

    Columns of other types (lists, structs, bytes, times of day) are left out, with a note.
    """
    check_names(table.column_names, str(file))
    columns: dict[str, pa.ChunkedArray] = {}
    left_out: dict[str, str] = {}
    notes = []
    for field in table.schema:
        type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        target = _target(type)
        if target is None:
            left_out[field.name] = str(field.type)
            notes.append(f"`{field.name}` is left out: it has no numbers, texts, truth values or dates, but {type}")
            continue
        column = table[field.name].cast(type)
        if pa.types.is_uint64(type) and (pc.max(column).as_py() or 0) > _LARGEST:
            target = pa.string()
            notes.append(f"`{field.name}` is read as text: its whole numbers do not all fit 64 bits")
        columns[field.name] = _cast(column, target, f"{file}, column `{field.name}`")
    return Normalised(pa.table(columns), left_out, notes)


def _cast(column: pa.ChunkedArray, target: pa.DataType, where: str) -> pa.ChunkedArray:
    type = column.type
    exact = not (pa.types.is_timestamp(type) and type.unit == "ns")  # a model sees no part of a microsecond
    try:
        cast = column.cast(target, safe=exact)
    except pa.ArrowInvalid as error:
        raise HeadraceError(f"{where}: expected values that fit {target}. Received: {error}") from None
    if pa.types.is_string(target) and pc.any(found := pc.match_substring(cast, "\0")).as_py():
        row = pc.index(found, True).as_py() + 1
        raise HeadraceError(f"{where}, row {row}: expected text. Received: a NUL byte in it; remove it")
    return cast


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
