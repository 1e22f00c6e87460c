"""Decides each text column's type from all of its values, never from the first rows alone."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_BOOLEAN = r"^(?i:true|false)$"
_INTEGER = r"^[+-]?(0|[1-9][0-9]{0,17})$"
_CODE = r"^[+-]?0[0-9]"  # 007 is a code: as a number it would lose its zeros
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$"
_PROBE = 64  # values looked at before all are: most columns are settled by them


def infer_types(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Casts every string column to the narrowest type that holds all its values.

    Returns:
        the table with columns of type bool, int64, float64, date32, timestamp[us] (UTC) or string, and notes on
        columns that stayed text although most of their values are numbers.
    """
    columns, notes = [], []
    for name in table.column_names:
        column = infer_column(table[name])
        if pa.types.is_string(column.type) and (note := _almost_number(name, column)):
            notes.append(note)
        columns.append(column)
    return pa.table(columns, names=table.column_names), notes


def infer_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in the narrowest type that holds all of them; a column without values becomes float64."""
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), pa.float64())])
    for pattern, type in ((_BOOLEAN, pa.bool_()), (_INTEGER, pa.int64()), (_DATE, pa.date32())):
        if _all_match(column, pattern):
            return _cast(column, type) or column
    if _all_match(column, _TIME):
        return _timestamps(column) or column
    if pc.any(pc.match_substring_regex(column, _CODE)).as_py() and not _all_match(column, r"^[+-]?0?[0-9]*\.[0-9]*$"):
        return column
    return _cast(column, pa.float64()) or column


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    for part in (column.drop_null().slice(0, _PROBE), column):
        if not pc.all(pc.match_substring_regex(part, pattern)).as_py():
            return False
    return True


def _cast(column: pa.ChunkedArray, type: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return pc.cast(pc.utf8_lower(column) if pa.types.is_boolean(type) else pc.utf8_trim_whitespace(column), type)
    except pa.ArrowInvalid:
        return None


def _timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    for type in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return pc.cast(column, type).cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            continue
    return None


def _almost_number(name: str, column: pa.ChunkedArray) -> str | None:
    """A note when over nine tenths of a text column are numbers: the rest are probably a slip."""
    values = column.drop_null()
    numeric = pc.match_substring_regex(values, r"^\s*[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?\s*$")
    share = pc.mean(numeric).as_py()
    if share is None or share < 0.9 or pc.any(pc.match_substring_regex(values, _CODE)).as_py():
        return None
    others = pc.unique(values.filter(pc.invert(numeric))).slice(0, 3).to_pylist()
    if not others:
        return None
    shown = ", ".join(map(repr, others))
    return (
        f"`{name}` stays text: {1 - share:.2%} of its values are no numbers ({shown}); "
        "list them in data.null_values if they mean missing"
    )
