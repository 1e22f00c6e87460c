"""Decides each text column's type from all of its values, never from the first rows alone."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_BOOLEAN = r"^(?i:true|false)$"
_INTEGER = r"^[+-]?(0|[1-9][0-9]*)$"
_CODE = r"^[+-]?0[0-9]"  # 007 is a code: as a number it would lose its zeros
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$"
_NUMBER = r"^\s*[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?\s*$"
_NUMBER_LIKE = r"^\s*[+-]?[0-9.,]"
_COMMA_NUMBER = r"^\s*[+-]?(([0-9]+|[1-9][0-9]{0,2}(\.[0-9]{3})+)(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_GROUPED = r"^\s*[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?\s*$"
MOST = 0.9  # share of a column's values from which on the rest is probably a slip
_PROBE = 64  # values looked at before all are: most columns are settled by them


def infer_types(table: pa.Table, decimal: str = ".") -> tuple[pa.Table, list[str]]:
    """Casts every string column to the narrowest type that holds all its values.

    Returns:
        the table with columns of type bool, int64, float64, date32, timestamp[us] (UTC) or string, and notes on
        columns that stayed text although most of their values are numbers.
        With "," as `decimal`, 1.234,56 is a number.
    """
    columns, notes = [], []
    for name in table.column_names:
        column = infer_column(table[name], decimal)
        if pa.types.is_string(column.type) and (note := _text_note(name, column.drop_null(), decimal)):
            notes.append(note)
        columns.append(column)
    return pa.table(columns, names=table.column_names), notes


def infer_column(column: pa.ChunkedArray, decimal: str = ".") -> pa.ChunkedArray:
    """The same values in the narrowest type that holds all of them; a column without values becomes float64.

    Whole numbers stay exact: those that do not fit int64 stay text, because they are rather names than quantities.
    """
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), pa.float64())])
    for pattern, type in ((_BOOLEAN, pa.bool_()), (_INTEGER, pa.int64()), (_DATE, pa.date32())):
        if _all_match(column, pattern):
            return _cast(pc.utf8_ltrim(column, "+") if type == pa.int64() else column, type) or column
    if _all_match(column, _TIME):
        return _timestamps(column) or column
    if decimal == "," and _all_match(column, _COMMA_NUMBER):
        points = pc.replace_substring(pc.replace_substring(column, ".", ""), ",", ".")
        numbers = infer_column(points)
        return column if pa.types.is_string(numbers.type) else numbers
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


def decimal_comma(column: pa.ChunkedArray) -> bool:
    """Whether over nine tenths of a text column are numbers of which some can only have a decimal comma."""
    values = column.drop_null()
    with_comma = values.filter(pc.match_substring(values, ","))
    if not len(with_comma) or _share(values, _COMMA_NUMBER) < MOST:
        return False
    number, grouped = (pc.match_substring_regex(with_comma, pattern) for pattern in (_COMMA_NUMBER, _GROUPED))
    return bool(pc.any(pc.and_not(number, grouped)).as_py())


def _text_note(name: str, values: pa.ChunkedArray, decimal: str) -> str | None:
    """Why a column stayed text, and what to do, where it looks like numbers; its values without nulls."""
    if not len(values) or _share(values, _NUMBER_LIKE) < MOST:  # most texts are done with here, cheaply
        return None
    if pc.any(pc.match_substring_regex(values, _CODE)).as_py():
        return None
    if _all_match(values, _INTEGER):
        return f"`{name}` stays text: its whole numbers do not all fit 64 bits"
    numeric = pc.match_substring_regex(values, _COMMA_NUMBER if decimal == "," else _NUMBER)
    share = pc.mean(numeric).as_py()
    if share >= MOST and not pc.all(numeric).as_py():
        others = pc.unique(values.filter(pc.invert(numeric))).slice(0, 3).to_pylist()
        return (
            f"`{name}` stays text: {1 - share:.2%} of its values are no numbers ({', '.join(map(repr, others))}); "
            "list them in data.null_values if they mean missing"
        )
    if decimal == "." and decimal_comma(values):
        example = values.filter(pc.match_substring(values, ","))[0].as_py()
        return f"`{name}` stays text: its values have a decimal comma ({example!r}); set data.decimal to ',' if so"
    grouped = pc.match_substring_regex(values, _GROUPED)
    if pc.any(grouped).as_py() and pc.mean(pc.or_(grouped, numeric)).as_py() >= MOST:
        example = values.filter(grouped)[0].as_py()
        return f"`{name}` stays text: its numbers have thousands separators ({example!r}); write them without"
    return None


def _share(values: pa.ChunkedArray, pattern: str) -> float:
    return float(pc.mean(pc.match_substring_regex(values, pattern)).as_py())
