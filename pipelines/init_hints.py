"""What `headrace init` tells of a table that a person should decide on, and the headers that it refuses."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.report import percent
from headrace.artifacts.written import COMMA_NUMBER, amount_expression
from headrace.components.ingest.columns import row_numbers
from headrace.components.ingest.infer import infer_column, names_are_values
from headrace.components.ingest.patterns import CODE, DATE, MOST, NUMBER, TIME

_SOUGHT = frozenset(  # what a class is called that one looks for
    (
        *("1", "yes", "y", "true", "t", "ja", "oui", "si", "sí", "sim", "tak", "positive", "pos"),
        *("bad", "fail", "failed", "failure", "fraud", "churn", "churned", "default", "defaulted", "defect"),
        *("defective", "faulty", "abnormal", "anomaly", "spam", "attack", "malignant", "cancelled", "canceled"),
        *("left", "lost", "sick", "ill", "dead", "won", "clicked", "bought", "converted", "accepted"),
    )
)
_FEW_ROWS = 10  # of a class: hardly one for each split
_ROWS = 30  # fewer prove nothing by their numbers
_HALF = 0.5
_LIKE_A_DATE = (
    r"^\s*([0-9]{1,2}[/.-][0-9]{1,2}[/.-]([0-9]{4}|[0-9]{2})|[0-9]{4}[/.-][0-9]{1,2}[/.-][0-9]{1,2}|"
    r"[0-9]{1,2}[ /-][A-Za-z]{3}[ /-]([0-9]{4}|[0-9]{2})|[A-Za-z]{3} [0-9]{1,2},? [0-9]{4})"
    r"([ T][0-9]{1,2}:[0-9]{2}.*)?\s*$"
)


def check_header(rows: pa.Table, name: str) -> None:
    """Refuses a text file whose first line is a row, or whose second one names the columns again.

    Raises:
        HeadraceError: it is so, by all that the columns have in common.
    """
    if _names_stand_below(rows):
        raise HeadraceError(
            f"{name}, line 2: expected a row. Received: what looks like the names of the columns "
            f"({_first_four([column[0].as_py() for column in rows.columns])}); remove what stands above them"
        )
    if names_are_values(rows):
        raise HeadraceError(
            f"{name}, line 1: expected the names of the columns. Received: what looks like a row "
            f"({_first_four(rows.column_names)}); put a line with the names above it"
        )


def _names_stand_below(rows: pa.Table) -> bool:
    """Whether without the first row most columns would have another type than text."""
    texts = [column for column in rows.columns if pa.types.is_string(column.type)]
    if rows.num_rows < 2 or len(texts) < 2:
        return False
    better = sum(not pa.types.is_string(infer_column(column.slice(1)).type) for column in texts)
    return bool(better > max(1, rows.num_columns / 2))


def positive_class(column: pa.ChunkedArray) -> tuple[str, str] | None:
    """Of two classes that are texts, the one that is probably looked for, and why; None for others."""
    counts = _counted(column) if pa.types.is_string(column.type) else {}
    if len(counts) != 2:
        return None
    sought = [name for name in counts if name.strip().lower() in _SOUGHT]
    if len(sought) == 1:
        return sought[0], "by its name"
    rarer = min(counts, key=lambda name: (counts[name], name))
    return rarer, "the rarer class"


def label_notes(column: pa.ChunkedArray) -> list[str]:
    """Classes that look like slips of others, or that are too rare."""
    counts = _counted(column)
    alike: dict[str, list[str]] = {}
    for name in counts:
        alike.setdefault(name.strip().lower(), []).append(name)
    notes = [
        f"the classes {' and '.join(map(repr, sorted(names)))} differ only in how they are written, and are learned as "
        "different ones; correct them at the source if they mean the same"
        for names in alike.values()
        if len(names) > 1
    ]
    rare = [f"{name!r} ({count})" for name, count in counts.items() if count < _FEW_ROWS]
    if rare:
        todo = "leave these classes out, or merge them" if len(counts) > 2 else "use more rows"
        notes.append(f"too few rows to learn and to judge: {', '.join(rare)}; {todo}")
    return notes


def column_notes(rows: pa.Table, names: Sequence[str]) -> list[str]:
    """Features that number the rows, or that several rows have in common as rows of one customer have."""
    notes = []
    for name in names:
        column = rows[name]
        if len(column) < _ROWS or column.null_count:
            continue
        if ends := row_numbers(column, len(column)):
            notes.append(
                f"`{name}` has another whole number in every row, from {ends[0]} to {ends[1]}: where it numbers the "
                "rows, name it as data.id, or drop it"
            )
            continue
        if not _called_an_id(name) or pa.types.is_floating(column.type):
            continue
        distinct = pc.count_distinct(column).as_py()
        if 1 < distinct <= len(column) / 2:
            notes.append(
                f"`{name}` repeats: {len(column) / distinct:.1f} rows each. Where these are of one and the same, set "
                f"data.split to {{by: group, column: {name}}} and drop it, or the model is judged on what it knows"
            )
    return notes


def mixed_words(column: pa.ChunkedArray, decimal: str = ".") -> str | None:
    """Why a column of texts is rather one of numbers or dates with other texts among them; None where it is not."""
    values = column.drop_null()
    number = COMMA_NUMBER if decimal == "," else NUMBER
    fits = functools.reduce(pc.or_, (pc.match_substring_regex(values, pattern) for pattern in (number, DATE, TIME)))
    fits = pc.and_not(fits, pc.match_substring_regex(values, CODE))
    share = pc.mean(fits).as_py() or 0.0
    if share < _HALF or not (shown := _few(values, fits)):
        return None
    if pa.types.is_string(infer_column(values.filter(fits), decimal).type):
        return None  # without those texts it would stay text all the same
    return (
        f"text, as {percent(1 - share)} of its values are no numbers or dates ({shown}); list these in "
        "data.null_values if they mean missing"
    )


def ill_written(name: str, column: pa.ChunkedArray, decimal: str) -> str | None:
    """What a column of texts looks like that is not taken for it, as not all is written alike, and what to do then."""
    values = column.drop_null()
    if not len(values):
        return None
    codes = pc.any(pc.match_substring_regex(values, f"{CODE}+$")).as_py()
    return (None if codes else _amounts_words(name, values, decimal)) or _dates_words(values)


def _amounts_words(name: str, values: pa.ChunkedArray, decimal: str) -> str | None:
    own, other = (_amounts(values, sign) for sign in (decimal, "." if decimal == "," else ","))
    declared = f"data.types: {{{name}: amount}}"
    if pc.all(own).as_py():
        shown = _examples(values, "[0-9.,' ]+")
        return (
            f"looks like amounts, in several units ({shown}); convert them to one at the source, or, where the unit "
            f"means nothing, set {declared}"
        )
    share = pc.mean(own).as_py()
    if pc.mean(other).as_py() >= MOST > share:
        its, theirs = ("point", "comma") if decimal == "," else ("comma", "point")
        return (
            f"looks like amounts with a decimal {its} ({_examples(values.filter(other), '.')}), and numbers of this "
            f"source have a decimal {theirs}; write all with the same sign at the source"
        )
    if share >= MOST and (shown := _few(values, own)):
        return (
            f"looks like amounts, but {percent(1 - share)} of its values are none ({shown}); list these in "
            f"data.null_values if they mean missing, and set {declared}"
        )
    both = pc.or_(own, other)
    if pc.mean(both).as_py() >= MOST:
        shown = _examples(values.filter(both), "[0-9]+")
        return f"looks like amounts, written in several ways ({shown}); write all in one at the source, such as 1234.50"
    return None


def _amounts(values: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    """Which texts are amounts, with this sign before the fraction."""
    fits = pc.match_substring_regex(values, amount_expression(decimal))
    return pc.and_(fits, pc.match_substring_regex(values, "[0-9]"))


def _dates_words(values: pa.ChunkedArray) -> str | None:
    if pc.mean(pc.match_substring_regex(values, _LIKE_A_DATE)).as_py() < MOST:
        return None
    shown = _examples(pc.replace_substring_regex(values, "[A-Za-z]+", "a"), "[0-9]+", values)
    return f"looks like dates, written in several ways ({shown}); write all in one at the source, best as 2024-01-31"


def _few(values: pa.ChunkedArray, fits: pa.ChunkedArray) -> str:
    """The first texts that do not fit, where there are some and few different ones."""
    others = pc.unique(values.filter(pc.invert(fits)))
    return ", ".join(map(repr, others.slice(0, 3).to_pylist())) if len(others) <= max(3, len(values) / 100) else ""


def _examples(values: pa.ChunkedArray, alike: str, shown: pa.ChunkedArray | None = None) -> str:
    """The first texts that differ in more than in what a pattern finds, three at most."""
    shapes = pc.replace_substring_regex(values, alike, "")
    places = [pc.index(shapes, shape).as_py() for shape in pc.unique(shapes).slice(0, 3)]
    return ", ".join(repr((values if shown is None else shown)[place].as_py()) for place in places)


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(one["values"]): one["counts"] for one in pc.value_counts(column).to_pylist()}


def _first_four(texts: Sequence[object]) -> str:
    return ", ".join(map(str, texts[:4])) + (", ..." if len(texts) > 4 else "")


def _called_an_id(name: str) -> bool:
    words = re.findall(r"[A-Z]?[a-z0-9äöüß]+|[A-Z]+", name)
    return bool(words) and words[-1].lower() in ("id", "uuid", "key", "nr", "no", "number", "code") and len(words) > 1
