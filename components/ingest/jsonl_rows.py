"""Lines of JSON as rows: objects of any kind, or, where the columns are known and plain, values of just those types.

Decoding to given types takes half the time of decoding to dictionaries, and says at once where a value is of another
type: it is checking and reading in one.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from operator import attrgetter, itemgetter
from typing import Annotated, Any

import msgspec

from headrace.components.ingest.compression import DAMAGE, open_text
from headrace.components.ingest.csv_source import RawStream, damaged
from headrace.components.ingest.opened import SHOWN, Rejection, Rejections, SourceFile

Row = dict[str, Any]
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
_LINES = 4_096  # at a time: the objects of so many lines still lie in the processor's cache
_BLOCK_BYTES = 1 << 20
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_ODD = re.compile(r'[\\"\x00-\x1f]')  # what a decoder's field must not have in its name


def line_blocks(file: SourceFile, limit: int | None) -> Iterator[tuple[int, list[bytes]]]:
    """A file's lines, some thousands at a time, with the number of lines before them.

    Raises:
        HeadraceError: its compression is damaged.
    """
    before = 0
    try:
        with contextlib.closing(open_text(file)) as stream:
            whole = islice(io.BufferedReader(RawStream(stream), _BLOCK_BYTES), limit)
            while lines := list(islice(whole, _LINES)):
                if before == 0:
                    lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")
                yield before, lines
                before += len(lines)
    except DAMAGE as error:
        raise damaged(file, error) from None


class TypedRows:
    """Decodes lines that have plain values of known types, and no others."""

    @staticmethod
    def of(types: Mapping[str, type | None]) -> TypedRows | None:
        """Rows of these columns, any of whose values may be missing or null; None where they cannot be decoded so.

        Args:
            types: bool, int (of 64 bits), float (which takes whole numbers too), str, list, or NoneType for one without
                any value; None for a column with values of several types.
        """
        if None in types.values() or any(map(_ODD.search, types)):
            return None
        return TypedRows({name: type_ for name, type_ in types.items() if type_ is not None})

    def __init__(self, types: Mapping[str, type]) -> None:
        places = {name: f"c{index}" for index, name in enumerate(types)}
        fields: list[Any] = [
            (places[name], (_INT64 if type_ is int else type_) | None, None) for name, type_ in types.items()
        ]
        # A field that is not named would be skipped, and whether it is valid would not show.
        row = msgspec.defstruct(
            "Row", fields, rename={place: name for name, place in places.items()}, gc=False, forbid_unknown_fields=True
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)
        self._values = {name: attrgetter(place) for name, place in places.items()}

    def decode(self, lines: list[bytes]) -> list[Any] | None:
        """A row for each line; None where one of them is something else."""
        try:
            return list(map(self._decoder.decode, lines))
        except NO_JSON:
            return None

    def values(self, rows: list[Any], name: str) -> list[Any]:
        """One column's values, None where a row has none."""
        return list(map(self._values[name], rows))


class AnyRows:
    """Decodes lines of any objects, which are flattened by one level; what is none is rejected."""

    def __init__(self) -> None:
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
        self._blank = 0  # lines so far; only here they come by, as no decoder takes them

    def decode(self, lines: list[bytes], before: int, rejections: Rejections) -> list[Row]:
        """The lines' objects; blank lines have none.

        Args:
            lines: of a file.
            before: how many lines come before them.
            rejections: gets those that are no objects.
        """
        try:
            rows = list(map(self._decoder.decode, lines))
        except NO_JSON:
            return list(self._one_by_one(lines, before, rejections))
        if set(map(type, rows)) == {dict} and dict not in set(map(type, chain.from_iterable(map(dict.values, rows)))):
            return rows
        return list(self._one_by_one(lines, before, rejections))

    def _one_by_one(self, lines: list[bytes], before: int, rejections: Rejections) -> Iterator[Row]:
        for number, text in enumerate(lines, start=before + 1):
            if text.isspace():
                self._blank += 1
                continue
            try:
                value = self._decoder.decode(text)
                row = _flat(value) if isinstance(value, dict) else None
                why = f"expected a JSON object. Received: {_kind_of(value)}" if row is None else ""
            except NO_JSON as error:
                row, why = None, f"expected a JSON object. Received: damaged JSON ({error})"
            if row is None:
                shown, row_number = text[:SHOWN].decode(errors="replace"), number - self._blank
                rejections.add(Rejection(f"line {number}", why, shown, row=row_number))
            else:
                yield row


def values_of(rows: list[Row], name: str) -> list[Any]:
    """One column's values, None where a row has none."""
    try:
        return list(map(itemgetter(name), rows))
    except KeyError:
        return [row.get(name) for row in rows]


def _flat(value: Row) -> Row:
    """An object with the fields of the objects in it as `outer.inner`; what lies deeper stays as it is.

    Raises:
        ValueError: two fields have one name then.
    """
    if dict not in map(type, value.values()):
        return value
    row: Row = {}
    for name, one in value.items():
        fields = {f"{name}.{inner}": deeper for inner, deeper in one.items()} if type(one) is dict else {name: one}
        if twice := row.keys() & fields.keys():
            raise ValueError(f"two fields named `{min(twice)}`, one of them nested")
        row |= fields
    return row


def _kind_of(value: Any) -> str:
    kinds = {list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
