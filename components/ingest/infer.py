"""Decides the types of a whole table of texts, from all values, never from the first rows alone."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.csv_text import BLANKS
from headrace.artifacts.written import COMMA_NUMBER
from headrace.components.ingest.kinds import TYPES, Evidence, convert
from headrace.components.ingest.patterns import GROUPED, MOST
from headrace.components.ingest.text_notes import text_note
from headrace.components.ingest.written import written_as

_MARKS = frozenset(
    (
        *("", "?", "-", "--", ".", "na", "n/a", "n.a.", "nan", "nil", "none", "null", "(null)", r"\n", "missing"),
        *("#n/a", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!"),  # of spreadsheets
    )
)
_NUMBERS = (pa.int64().id, pa.float64().id)


def text_notes_of(table: pa.Table, decimal: str = ".") -> list[str]:
    """Notes on the text columns of a table that look like numbers."""
    texts = ((name, table[name]) for name in table.column_names if pa.types.is_string(table[name].type))
    found = (text_note(name, column.drop_null().iterchunks, decimal) for name, column in texts)
    return [one[0] for one in found if one]


def infer_column(column: pa.ChunkedArray, decimal: str = ".") -> pa.ChunkedArray:
    """The same values in the narrowest type that holds all of them; a column without values becomes float64.

    Whole numbers stay exact: those that do not fit int64 stay text, because they are rather names than quantities.
    """
    evidence = Evidence(decimal)
    for chunk in column.drop_null().iterchunks():
        evidence.add(chunk)
    kind = evidence.kind()
    converted = [convert(chunk, kind) for chunk in column.iterchunks()]
    return pa.chunked_array([chunk for chunk in converted if chunk is not None], TYPES[kind])


def padded(column: pa.ChunkedArray) -> bool:
    """Whether spaces around the texts of a column are a way to write it: most have some, or some texts have both."""
    values = column.drop_null()
    texts = pc.unique(values)
    trimmed = pc.utf8_trim(texts, BLANKS)
    has_some = pc.not_equal(trimmed, texts)
    if not pc.any(has_some).as_py():
        return False
    rows = pc.sum(pc.is_in(values, texts.filter(has_some))).as_py()
    return bool(rows >= MOST * len(values) or pc.count_distinct(trimmed).as_py() < len(texts))


def names_are_values(table: pa.Table) -> bool:
    """Whether a typed table's column names are rather the values of its first row: the file has no header.

    All columns have to agree, but for texts that hardly repeat and so need not know the name as a value. Numbers in a
    row, such as years or the places of pixels, are names.
    """
    numbers, others = [], 0
    for name in table.column_names:
        column = table[name].drop_null()
        own = infer_column(pa.chunked_array([[name]])).type
        if not len(column):
            continue
        if pa.types.is_string(column.type):
            known = pc.is_in(pa.scalar(name), pc.unique(column)).as_py()
            if not known and pc.count_distinct(column).as_py() <= len(column) / 2:
                return False
            others += known
        elif column.type.id in _NUMBERS and own.id in _NUMBERS:
            numbers.append(float(name))
        elif own == column.type:
            others += 1
        else:
            return False
    in_a_row = all(after == before + 1 for before, after in pairwise(numbers))
    return others + len(numbers) > 1 and not (in_a_row and not others)


def missing_marks(column: pa.ChunkedArray, decimal: str = ".") -> list[str]:
    """The texts, such as `?`, that mean missing in a text column of otherwise numbers, dates or amounts."""
    values = column.drop_null()
    marks = [text for text in pc.unique(values).to_pylist() if text.strip().lower() in _MARKS]
    rest = values.filter(pc.invert(pc.is_in(values, pa.array(marks, pa.string()))))
    if not marks or not len(rest):
        return []
    is_text = pa.types.is_string(infer_column(rest, decimal).type)
    return [] if is_text and not written_as(rest, decimal) else marks


def decimal_comma(column: pa.ChunkedArray) -> bool:
    """Whether over nine tenths of a text column are numbers of which some can only have a decimal comma."""
    values = column.drop_null()
    with_comma = values.filter(pc.match_substring(values, ","))
    if not len(with_comma) or pc.mean(pc.match_substring_regex(values, COMMA_NUMBER)).as_py() < MOST:
        return False
    number, grouped = (pc.match_substring_regex(with_comma, pattern) for pattern in (COMMA_NUMBER, GROUPED))
    return bool(pc.any(pc.and_not(number, grouped)).as_py())
