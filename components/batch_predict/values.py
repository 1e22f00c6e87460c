"""A source's columns as the types that carry a model's inputs; a value that is none of its input's rejects its row."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.signature import Input
from headrace.components.ingest.declared import to_declared
from headrace.components.ingest.opened import SHOWN
from headrace.components.ingest.written import plain_texts
from headrace.serving.encode import days

Column = Any  # pyarrow.Array, whose type parameter depends on the data

_US_A_DAY = 86_400_000_000
# The years 1 to 9999, as the server has them.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
_EXPECTED = {
    "number": "a number",
    "boolean": "true, false, 0 or 1",
    "date": "a date such as 2024-03-01 or 2024-03-01T10:20:30Z, of the years 1 to 9999",
}


class Carried(NamedTuple):
    """A column of the type that carries its input, null where a value is missing or wrong."""

    values: Column
    wrong: dict[int, str]  # by its place: what was expected, and what came
    infinite: int  # numbers that count as missing, as in training


def type_problem(item: Input, kind: pa.DataType, parses: bool, names: bool = False) -> str | None:
    """What is wrong with a column's type, None where it can carry the input.

    Args:
        item: the model's input.
        kind: of the source's column.
        parses: whether texts stand for numbers, dates and truth values, as in a CSV.
        names: whether training took the column's values as texts whatever they were.
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return None
    if item.type == "image":
        return None if _is_bytes(kind) else f"expected image files' bytes. Received: {kind}"
    text = _is_text(kind)
    if text and (parses or item.type in ("category", "text", "date")):
        return None
    fits = {
        "number": _is_number(kind) or pa.types.is_boolean(kind),
        "boolean": _is_number(kind) or pa.types.is_boolean(kind),
        "date": pa.types.is_date(kind) or pa.types.is_timestamp(kind),
        "category": names and (_is_number(kind) or pa.types.is_boolean(kind)),
        "text": names and (_is_number(kind) or pa.types.is_boolean(kind)),
    }
    if fits[item.type]:
        return None
    wanted = {"number": "numbers", "boolean": "truth values", "date": "dates", "category": "strings", "text": "strings"}
    return f"expected {wanted[item.type]} for a {item.type}. Received: {kind}"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def carried(item: Input, column: Column, decimal: str, written: str | None = None) -> Carried:
    """A column that `type_problem` has nothing against, as the type that carries its input (`serving/batch/cells.py`).

    Args:
        item: the model's input.
        column: an array.
        decimal: what stands before a fraction, in texts.
        written: the type that says how its texts are written, where not as plain numbers or ISO dates.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if written is not None and _is_text(_plain(column).type):
        given = _plain(column).cast(pa.string())
        found = carried(item, plain_texts(given, written, decimal), ".")
        return found._replace(wrong={place: _message(item, given[place].as_py()) for place in found.wrong})
    match item.type:
        case "number":
            return _number(item, column, decimal)
        case "boolean":
            return _boolean(item, column)
        case "date":
            return _date(item, column)
        case "image":
            return Carried(column, {}, 0)
    return Carried(_text(column, keep_dictionary=item.type == "category"), {}, 0)


def _number(item: Input, column: Column, decimal: str) -> Carried:
    wrong: dict[int, str] = {}
    column = _plain(column)
    if _is_text(column.type):
        column, wrong = _declared(item, column, "number", decimal)
    elif pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    numbers = column.cast(pa.float64(), safe=False)  # a whole number beyond 2^53 is rounded, as in training
    infinite = pc.is_inf(numbers)
    count = int(pc.sum(infinite).as_py() or 0)
    if count:
        numbers = pc.if_else(infinite, pa.scalar(None, pa.float64()), numbers)
    return Carried(numbers, wrong, count)


def _boolean(item: Input, column: Column) -> Carried:
    column = _plain(column)
    if pa.types.is_boolean(column.type):
        return Carried(column.cast(pa.int8()).cast(pa.float64()), {}, 0)
    if _is_text(column.type):
        values, wrong = _declared(item, column, "boolean", ".")
        return Carried(values.cast(pa.int8()).cast(pa.float64()), wrong, 0)
    numbers = column.cast(pa.float64(), safe=False)
    fine = pc.or_(pc.or_(pc.equal(numbers, 0.0), pc.equal(numbers, 1.0)), pc.is_nan(numbers))
    wrong = {place: _message(item, column[place].as_py()) for place in _places(pc.invert(fine))}
    return Carried(_without(numbers, wrong), wrong, 0)


def _date(item: Input, column: Column) -> Carried:
    column = given = _plain(column)
    wrong: dict[int, str] = {}
    if pa.types.is_null(column.type):
        return Carried(column.cast(pa.timestamp("us")), {}, 0)
    if pa.types.is_date(column.type):
        column = column.cast(pa.date32())
        moments = pc.multiply(column.cast(pa.int32()).cast(pa.int64()), _US_A_DAY)
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)  # no model sees a part of a microsecond
        moments = column.cast(pa.int64())
        column = moments.cast(pa.timestamp("us"))
    else:
        column, wrong = _parsed_dates(item, column)
        moments = column.cast(pa.int64())
    beyond = pc.or_(pc.less(moments, _FIRST_US), pc.greater(moments, _LAST_US))
    if pc.any(beyond).as_py():
        found = {
            place: _message(item, given[place : place + 1].cast(pa.string())[0].as_py()) for place in _places(beyond)
        }
        wrong, column = wrong | found, _without(column, found)
    return Carried(column, wrong, 0)


def _parsed_dates(item: Input, texts: Column) -> tuple[Column, dict[int, str]]:
    """Texts as timestamp[us] in UTC; what Arrow does not read is tried as the server reads it."""
    texts = texts.cast(pa.string())
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    found, bad = to_declared(texts, "timestamp", ".")
    if not bad:
        return found, {}
    wrong: dict[int, str] = {}
    moments = np.asarray(pc.fill_null(found.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)).copy()
    missing = np.asarray(found.is_null().to_numpy(zero_copy_only=False)).copy()
    for place in bad:
        text = texts[place].as_py()
        try:
            moments[place], missing[place] = round(days(text.strip()) * _US_A_DAY), False
        except ValueError:
            wrong[place] = _message(item, text)
    return pa.array(moments, mask=missing).cast(pa.timestamp("us")), wrong


def _text(column: Column, keep_dictionary: bool) -> Column:
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if keep_dictionary and pa.types.is_dictionary(column.type) and _is_text(column.type.value_type):
        return column
    return _plain(column).cast(pa.string())


def _plain(column: Column) -> Column:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _declared(item: Input, column: Column, kind: str, decimal: str) -> tuple[Column, dict[int, str]]:
    values, bad = to_declared(column.cast(pa.string()), kind, decimal)
    return values, {place: _message(item, column[place].as_py()) for place in bad}


def _message(item: Input, value: object) -> str:
    shown = repr(value[:SHOWN] if isinstance(value, str) else value)
    return f"expected {_EXPECTED[item.type]} in `{item.name}`. Received: {shown}"


def _places(mask: Column) -> list[int]:
    found: list[int] = np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False)).tolist()
    return found


def _without(column: Column, wrong: dict[int, str]) -> Column:
    if not wrong:
        return column
    mask = np.zeros(len(column), bool)
    mask[list(wrong)] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column)
