"""Streams a JSON Lines file: an object a line, nested objects' fields as `outer.inner`.

Values are what JSON says they are: a text of digits stays a text. Only dates and times, for which JSON has no type, are
told from texts, where all of a column's are. A first pass over the file finds every column and its type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names
from headrace.components.ingest.jsonl_rows import AnyRows, TypedRows, line_blocks, values_of
from headrace.components.ingest.kinds import TYPES, Evidence, Kind, convert
from headrace.components.ingest.opened import Opened, Rejections, SourceFile

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_NAMES = {bool: "truth values", int: "whole numbers", float: "numbers", str: "texts"}
_LARGEST = 2**63
_PLAIN = (bool, int, float, str, list)


@dataclass
class _Seen:
    """What a column's values were, in one pass."""

    types: Counter[type] = field(default_factory=Counter)
    beyond: bool = False  # a whole number that int64 has not
    texts: Evidence = field(default_factory=Evidence)
    left_out: str | None = None  # list or object: no value of a table


@dataclass(frozen=True)
class _Column:
    """A column's type, and how its values become of it."""

    type: pa.DataType
    kind: Kind | None = None  # of texts that are dates or times
    convert: Callable[[Any], Any] | None = None


def open_jsonl(file: SourceFile, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens a JSON Lines file, plain or compressed; with `rows`, no more than the first so many lines are looked at.

    Lists, and objects within nested objects, are left out with a note. A column of values of several kinds becomes
    text, which is noted and counted. Lines that are no JSON object are rejections.

    Raises:
        HeadraceError: no line is a JSON object, or fields have names that cannot be served.
    """
    seen, read = _look(file, rows)
    if not read:
        raise HeadraceError(f"{file.name}: expected a JSON object on every line. Received: {_what_instead(file)}")
    left_out = {name: one.left_out for name, one in seen.items() if one.left_out}
    columns = {name: _column(one) for name, one in seen.items() if not one.left_out}
    check_names(columns, file.name)
    notes = [f"`{name}` is left out: it has {what}s in it" for name, what in left_out.items()]
    coerced: dict[str, dict[str, int]] = {}
    for name, one in seen.items():
        if name in columns and (note := _mixture(name, one, coerced)):
            notes.append(note)
    reader = _Reader(file, columns, {name: _plain(one) for name, one in seen.items()}, rows)
    schema = pa.schema([(name, column.type) for name, column in columns.items()])
    return Opened(file.name, schema, reader.batches, False, notes, left_out, reader.rejected, coerced)


class _Reader:
    """Streams one file's rows, and counts the lines that are none."""

    def __init__(
        self, file: SourceFile, columns: dict[str, _Column], types: dict[str, type | None], rows: int | None
    ) -> None:
        self._file, self._columns, self._types, self._limit = file, columns, types, rows
        self._rejections = Rejections()

    def rejected(self) -> Rejections:
        return self._rejections

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._rejections = Rejections()
        typed = TypedRows.of(self._types)
        any_rows = AnyRows()
        for before, lines in line_blocks(self._file, self._limit):
            if typed is not None and (found := typed.decode(lines)) is not None:
                arrays = [_array(name, column, typed.values(found, name)) for name, column in self._columns.items()]
            else:
                rows = any_rows.decode(lines, before, self._rejections)
                if not rows:
                    continue
                arrays = [_array(name, column, values_of(rows, name)) for name, column in self._columns.items()]
            yield pa.record_batch(arrays, names=list(self._columns))


class _Mixed(Exception):
    """A column has values of several kinds after all: they all have to be counted."""


def _look(file: SourceFile, limit: int | None) -> tuple[dict[str, _Seen], int]:
    """What each column's values are, and the number of rows."""
    try:
        return _Look(trusting=True).at(file, limit)
    except _Mixed:
        return _Look(trusting=False).at(file, limit)


class _Look:
    """One pass over a file.

    Where it is trusting, lines whose values are of the types that were seen so far need no more than decoding: they
    tell nothing new, but what texts may be. Others are looked at value by value, and widen what is known.
    """

    def __init__(self, trusting: bool) -> None:
        self._trusting = trusting
        self._seen: dict[str, _Seen] = {}

    def at(self, file: SourceFile, limit: int | None) -> tuple[dict[str, _Seen], int]:
        """What each column's values are, and the number of rows."""
        any_rows, count = AnyRows(), 0
        typed: TypedRows | None = None
        for before, lines in line_blocks(file, limit):
            found = typed.decode(lines) if typed is not None else None
            if typed is not None and found is not None:
                self._add_texts(typed, found)
                count += len(found)
                continue
            rows = any_rows.decode(lines, before, Rejections())
            for name in dict.fromkeys(chain.from_iterable(rows)):  # in the order in which they come
                _look_at(values_of(rows, name), self._seen.setdefault(name, _Seen()))
            count += len(rows)
            typed = self._typed(typed is not None)
        return self._seen, count

    def _typed(self, trusted: bool) -> TypedRows | None:
        """A decoder for what was seen so far; none where a column has several kinds of values, or is beyond int64."""
        if not self._trusting or not self._seen:
            return None
        typed = TypedRows.of({name: _plain(one) for name, one in self._seen.items()})
        if typed is None and trusted:  # lines were decoded without counting what is in them
            raise _Mixed
        self._trusting = typed is not None
        return typed

    def _add_texts(self, typed: TypedRows, rows: list[Any]) -> None:
        for name, one in self._seen.items():
            if str in one.types and one.texts.may_be_times():
                one.texts.add(pa.array(typed.values(rows, name), pa.string()).drop_null())


def _look_at(values: list[Any], seen: _Seen) -> None:
    """Adds values of one column to what is known of it, a type at a time: most columns have one."""
    types = [type_ for type_ in dict.fromkeys(map(type, values)) if type_ is not type(None)]
    for type_ in types:
        mine = values if len(types) == 1 and None not in values else [v for v in values if type(v) is type_]
        seen.types[type_] += len(mine)
        if type_ is str:
            seen.texts.add(pa.array(mine, pa.string()))
        elif type_ is int:
            seen.beyond = seen.beyond or not -_LARGEST <= min(mine) <= max(mine) < _LARGEST
        elif type_ is list or type_ is dict:
            seen.left_out = "list" if type_ is list else "object"


def _plain(seen: _Seen) -> type | None:
    """The one type of a column's values, NoneType where it has none; None where they are of several kinds."""
    types = set(seen.types)
    if not types:
        return type(None)
    if types == {int, float}:
        return float
    first = next(iter(types))
    return first if len(types) == 1 and first in _PLAIN and not seen.beyond else None


def _column(seen: _Seen) -> _Column:
    types = set(seen.types)
    if not types:
        return _Column(pa.float64())
    if types == {bool}:
        return _Column(pa.bool_())
    if types == {str}:
        kind = seen.texts.kind()
        is_time = kind in ("date", "timestamp", "zoned")
        return _Column(TYPES[kind], kind) if is_time else _Column(pa.string())
    if types == {int} and not seen.beyond:
        return _Column(pa.int64())
    if types <= {int, float} and float in types:
        return _Column(pa.float64(), convert=float)
    return _Column(pa.string(), convert=_text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _mixture(name: str, seen: _Seen, coerced: dict[str, dict[str, int]]) -> str | None:
    """A note on a column whose values are of several kinds, or too large; they are counted in `coerced`."""
    types = set(seen.types)
    if types == {int} and seen.beyond:
        return f"`{name}` is read as text: its whole numbers do not all fit 64 bits"
    if len(types) < 2 or types == {int, float}:
        return None
    others = sum(count for type_, count in seen.types.items() if type_ is not str)
    coerced[name] = {"read as text": others}
    shown = ", ".join(f"{count:,} {_NAMES[type_]}" for type_, count in seen.types.most_common())
    return f"`{name}` is read as text: its values are {shown}; data.types can say what they should be"


def _array(name: str, column: _Column, values: list[Any]) -> pa.Array:
    if column.kind is not None:
        found = convert(pa.array(values, pa.string()), column.kind)
        if found is None:
            raise HeadraceError(f"`{name}`: expected the values of the first pass. Received: others; run again")
        return found
    if column.convert is float:
        try:
            return pa.array(values, column.type)
        except (pa.ArrowInvalid, OverflowError):  # a whole number that float64 has not: the nearest one is taken
            pass
    if column.convert is not None:
        values = [None if value is None else column.convert(value) for value in values]
    return pa.array(values, column.type)


def _what_instead(file: SourceFile) -> str:
    rejections = Rejections()
    for before, lines in line_blocks(file, 1):
        AnyRows().decode(lines, before, rejections)
    return f"{rejections.first[0].why.split('Received: ')[1]} on line 1" if rejections.first else "no lines"
