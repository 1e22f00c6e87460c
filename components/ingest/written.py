"""Texts that are written for people, as plain numbers and ISO dates; and how a column seems to be written."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import product

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.written import AMOUNT, SIGNS, amount_expression, date_expression, is_minus, split_type
from headrace.components.ingest.patterns import CODE

_DAYS = (
    *(sign.join(parts) for sign in "/.-" for parts in (("%d", "%m", "%Y"), ("%m", "%d", "%Y"))),
    *("%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%d/%b/%Y", "%b %d, %Y", "%b %d %Y"),
    *(sign.join(parts) for sign in "/.-" for parts in (("%d", "%m", "%y"), ("%m", "%d", "%y"))),
    *("%d-%b-%y", "%d %b %y"),
)
_HOURS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p")
_FIRST = 64  # values that rule out most patterns


def plain_texts(values: pa.Array, type: str, decimal: str) -> pa.Array:
    """Texts of a declared type as plain numbers and ISO dates, as they are where they are not written so.

    The same as `artifacts.written.plain_text` of each.
    """
    word, pattern = split_type(type)
    if word == AMOUNT:
        return pc.coalesce(_amounts(values, decimal), values)
    return values if pattern is None else pc.coalesce(_dates(values, pattern, word), values)


def _amounts(values: pa.Array, decimal: str) -> pa.Array:
    found = pc.extract_regex(values, amount_expression(decimal))
    whole, part = pc.struct_field(found, "whole"), pc.struct_field(found, "part")
    signs = [pc.struct_field(found, name) for name in SIGNS]
    minus = functools.reduce(pc.or_, (pc.is_in(sign, _minus_signs(sign)) for sign in signs))
    digits = pc.replace_substring_regex(pc.if_else(pc.equal(whole, ""), "0", whole), "[^0-9]", "")
    fraction = pc.if_else(pc.equal(part, ""), "", pc.binary_join_element_wise("", part, "."))
    text = pc.binary_join_element_wise(pc.if_else(minus, "-", ""), digits, fraction, "")
    empty = pc.and_(pc.equal(whole, ""), pc.equal(part, ""))
    return pc.if_else(empty, pa.scalar(None, pa.string()), text)


def _minus_signs(signs: pa.Array) -> pa.Array:
    return pa.array([sign for sign in pc.unique(signs).to_pylist() if is_minus(sign)], pa.string())


def _dates(values: pa.Array, pattern: str, word: str) -> pa.Array:
    found = pc.extract_regex(values, date_expression(pattern))
    fits = pc.is_valid(found)
    texts = pc.if_else(fits, pc.utf8_trim_whitespace(values), pa.scalar(None, pa.string()))
    moments = pc.strptime(texts, pattern, "s", error_is_null=True)
    # The 31st of February becomes a day in March, which it is not.
    real = pc.equal(pc.day(moments), pc.struct_field(found, "d").cast(pa.int64()))
    text = pc.strftime(moments, "%Y-%m-%d" if word == "date" else "%Y-%m-%dT%H:%M:%S")
    return pc.if_else(real, text, pa.scalar(None, pa.string()))


def written_as(column: pa.ChunkedArray, decimal: str) -> Sequence[str]:
    """The types that a text column's values are all written as; several where it is not sure which.

    None for texts that need no such type: plain numbers and ISO dates are recognised without.
    """
    values = column.drop_null().combine_chunks()
    if not len(values):
        return ()
    if _are_amounts(values, decimal):
        return (AMOUNT,)
    first, found = values[:_FIRST], []
    for day, hour in product(_DAYS, _HOURS):
        word, pattern = "timestamp" if hour else "date", day + hour
        fits = pc.all(pc.match_substring_regex(first, date_expression(pattern))).as_py()
        if fits and not _dates(values, pattern, word).null_count:
            found.append(f"{word} {pattern}")
    return found


def _are_amounts(values: pa.Array, decimal: str) -> bool:
    """Whether all are amounts of one unit, or numbers with their thousands apart; codes that begin with 0 are none."""
    if _amounts(values[:_FIRST], decimal).null_count or _amounts(values, decimal).null_count:
        return False
    found = pc.extract_regex(values, amount_expression(decimal))
    whole = pc.struct_field(found, "whole")
    if pc.any(pc.match_substring_regex(whole, CODE)).as_py():
        return False
    units = pc.binary_join_element_wise(pc.struct_field(found, "before"), pc.struct_field(found, "behind"), "")
    return len(pc.unique(units)) == 1


def comma_amounts(columns: Iterable[pa.ChunkedArray], types: Iterable[pa.DataType]) -> bool:
    """Whether text columns are amounts that need a decimal comma, and no column has numbers with a point."""
    if any(map(pa.types.is_floating, types)):
        return False
    texts = [column.drop_null().combine_chunks() for column in columns]
    return any(len(values) and not _are_amounts(values, ".") and _are_amounts(values, ",") for values in texts)
