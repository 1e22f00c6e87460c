"""Streams a JSON Lines file: an object a line, nested objects' fields as `outer.inner`.

Values are what JSON says they are: a text of digits stays a text. Only dates and times, for which JSON has no type, are
told from texts, where all of a column's are. A first pass over the file finds every column and its type.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names
from headrace.components.ingest.compression import DAMAGE, open_text
from headrace.components.ingest.csv_source import RawStream, damaged
from headrace.components.ingest.kinds import TYPES, Evidence, Kind, convert
from headrace.components.ingest.opened import SHOWN, Opened, Rejection, Rejections, SourceFile

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_ROWS = 16_384
_NAMES = {bool: "truth values", int: "whole numbers", float: "numbers", str: "texts"}
_LARGEST = 2**63
_Row = dict[str, Any]


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
    reader = _Reader(file, columns, rows)
    schema = pa.schema([(name, column.type) for name, column in columns.items()])
    return Opened(file.name, schema, reader.batches, False, notes, left_out, reader.rejected, coerced)


class _Reader:
    """Streams one file's rows, and counts the lines that are none."""

    def __init__(self, file: SourceFile, columns: dict[str, _Column], rows: int | None) -> None:
        self._file, self._columns, self._limit = file, columns, rows
        self._rejections = Rejections()

    def rejected(self) -> Rejections:
        return self._rejections

    def batches(self) -> Iterator[pa.RecordBatch]:
        self._rejections = Rejections()
        rows = _rows(self._file, self._rejections, self._limit)
        while some := list(islice(rows, _ROWS)):
            arrays = [_array(name, column, some) for name, column in self._columns.items()]
            yield pa.record_batch(arrays, names=list(self._columns))


def _look(file: SourceFile, limit: int | None) -> tuple[dict[str, _Seen], int]:
    """What each column's values are, and the number of rows."""
    seen: dict[str, _Seen] = {}
    count = 0
    rows = _rows(file, Rejections(), limit)
    while some := list(islice(rows, _ROWS)):
        texts: dict[str, list[str]] = {}
        for row in some:
            for name, value in row.items():
                one = seen.get(name)
                if one is None:
                    one = seen[name] = _Seen()
                type_ = type(value)
                if type_ is str:
                    texts.setdefault(name, []).append(value)
                elif type_ is int:
                    one.beyond = one.beyond or not -_LARGEST <= value < _LARGEST
                elif type_ is list or type_ is dict:
                    one.left_out = "list" if type_ is list else "object"
                if value is not None:
                    one.types[type_] += 1
        for name, values in texts.items():
            seen[name].texts.add(pa.array(values, pa.string()))
        count += len(some)
    return seen, count


def _column(seen: _Seen) -> _Column:
    types = set(seen.types)
    if not types:
        return _Column(pa.float64())
    if types == {bool}:
        return _Column(pa.bool_())
    if types == {str}:
        kind = seen.texts.kind()
        return _Column(TYPES[kind], kind) if kind in ("date", "timestamp", "zoned") else _Column(pa.string())
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


def _array(name: str, column: _Column, rows: list[_Row]) -> pa.Array:
    values = [row.get(name) for row in rows]
    if column.kind is not None:
        found = convert(pa.array(values, pa.string()), column.kind)
        if found is None:
            raise HeadraceError(f"`{name}`: expected the values of the first pass. Received: others; run again")
        return found
    if column.convert is not None:
        values = [None if value is None else column.convert(value) for value in values]
    return pa.array(values, column.type)


def _rows(file: SourceFile, rejections: Rejections, limit: int | None) -> Iterator[_Row]:
    """Every line's object, flattened by one level; lines that are none are rejected."""
    decoder = msgspec.json.Decoder()
    try:
        with contextlib.closing(open_text(file)) as stream:
            for number, line in enumerate(islice(io.BufferedReader(RawStream(stream), 1 << 20), limit), start=1):
                text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if text.isspace():
                    continue
                try:
                    value = decoder.decode(text)
                    row = _flat(value) if isinstance(value, dict) else None
                    why = f"expected a JSON object. Received: {_kind_of(value)}" if row is None else ""
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
                    row, why = None, f"expected a JSON object. Received: damaged JSON ({error})"
                if row is None:
                    rejections.add(Rejection(f"line {number}", why, text[:SHOWN].decode(errors="replace")))
                else:
                    yield row
    except DAMAGE as error:
        raise damaged(file, error) from None


def _flat(value: dict[str, Any]) -> _Row:
    """An object with the fields of the objects in it as `outer.inner`; what lies deeper stays as it is.

    Raises:
        ValueError: two fields have one name then.
    """
    if dict not in map(type, value.values()):
        return value
    row: _Row = {}
    for name, one in value.items():
        fields = {f"{name}.{inner}": deeper for inner, deeper in one.items()} if type(one) is dict else {name: one}
        if twice := row.keys() & fields.keys():
            raise ValueError(f"two fields named `{min(twice)}`, one of them nested")
        row |= fields
    return row


def _kind_of(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")


def _what_instead(file: SourceFile) -> str:
    rejections = Rejections()
    for _ in _rows(file, rejections, 1):
        pass
    return f"{rejections.first[0].why.split('Received: ')[1]} on line 1" if rejections.first else "no lines"
