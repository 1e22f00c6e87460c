"""What a text column's values are: evidence gathered batch by batch, and the conversion that it leads to.

Every rule is "all values are ..." or "no value is ...", so what holds for each batch holds for the column, however it
was cut into batches. A column's *kind* is the rule that won; a value converts under its kind, or shows that the kind
was a wrong guess.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.written import COMMA_NUMBER
from headrace.components.ingest.patterns import BOOLEAN, CODE, DATE, INTEGER, POINTED, TIME, with_points

Kind = Literal[
    "empty", "string", "boolean", "integer", "date", "timestamp", "zoned", "number", "comma integer", "comma number"
]
TYPES: dict[Kind, pa.DataType] = {
    "empty": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "zoned": pa.timestamp("us"),
    "number": pa.float64(),
    "comma integer": pa.int64(),
    "comma number": pa.float64(),
}
_PATTERNS: dict[Kind, str] = {"boolean": BOOLEAN, "integer": INTEGER, "date": DATE, "timestamp": TIME, "zoned": TIME}
_ZERO, _PLUS, _MINUS = b"0+-"
_SPACE = np.zeros(256, bool)
_SPACE[list(b" \t\n\v\f\r")] = True


class Evidence:
    """What the values seen so far still allow a column to be. Values come without nulls."""

    def __init__(self, decimal: str = ".") -> None:
        self.values = 0
        self._all: dict[Kind, bool] = dict.fromkeys(("boolean", "integer", "date", "timestamp"), True)
        self._convert: dict[Kind, bool] = dict.fromkeys(("integer", "date", "timestamp", "zoned", "number"), True)
        self._code, self._pointed = False, True
        self._comma = Evidence() if decimal == "," else None

    def add(self, values: pa.Array) -> None:
        """Narrows what is possible by more values."""
        if not len(values):
            return
        self.values += len(values)
        if all(self._all[kind] for kind in ("boolean", "date", "timestamp")):  # the first values settle most
            self._rule_out(values[:64])
        self._rule_out(values)
        if self._convert["number"]:
            self._convert["number"] = convert(values, "number") is not None
            self._code = self._code or bool(pc.any(pc.match_substring_regex(values, CODE)).as_py())
            self._pointed = self._pointed and _all_match(values, POINTED)
        if self._comma is not None:
            if _all_match(values, COMMA_NUMBER):
                self._comma.add(with_points(values))
            else:
                self._comma = None

    def _rule_out(self, values: pa.Array) -> None:
        for kind, possible in self._all.items():
            self._all[kind] = possible and _all_match(values, _PATTERNS[kind])
        for kind in ("integer", "date", "timestamp", "zoned"):
            if self._all["timestamp" if kind == "zoned" else kind] and self._convert[kind]:
                self._convert[kind] = convert(values, kind) is not None

    def may_turn(self) -> bool:
        """Whether the column is text now and may be something else with more values: 2^64, then 0.5, are numbers."""
        text = not self._convert["number"] or (self._code and not self._pointed)
        return self.kind() == "string" and not (text and self._comma is None)

    def may_be_times(self) -> bool:
        """Whether all values so far are dates, or all are times; where they are not, no more values make them so."""
        return self._all["date"] or self._all["timestamp"]

    def kind(self) -> Kind:
        """The kind of a column of just these values, by the rules' order."""
        if not self.values:
            return "empty"
        if self._all["boolean"]:
            return "boolean"
        for kind in ("integer", "date"):
            if self._all[kind]:
                return kind if self._convert[kind] else "string"  # a number beyond int64, or no such day
        if self._all["timestamp"]:
            return next((kind for kind in ("timestamp", "zoned") if self._convert[kind]), "string")
        if self._comma is not None:
            inner = self._comma.kind()
            return "comma integer" if inner == "integer" else "comma number" if inner == "number" else "string"
        if self._code and not self._pointed:
            return "string"
        return "number" if self._convert["number"] else "string"


def convert_strictly(values: pa.Array, kind: Kind) -> pa.Array | None:
    """The values under a kind that was guessed from others; None where they show that it may be wrong.

    Where it converts every batch of a column whose first batch has this kind, and `may_turn` does not say otherwise,
    the whole column has it.
    """
    if kind == "string":
        return values
    if kind == "empty":
        return pa.nulls(len(values), pa.float64()) if values.null_count == len(values) else None
    if kind == "integer" and not _zeros_lead(values, only_codes=False):
        try:  # what converts and begins with no zero is a whole number in plain digits: half the time of the pattern
            return values.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    if kind in _PATTERNS:
        return convert(values, kind) if _all_match(values, _PATTERNS[kind]) else None
    if kind in ("comma integer", "comma number"):
        if not _all_match(values, COMMA_NUMBER):
            return None
        return convert_strictly(with_points(values), "integer" if kind == "comma integer" else "number")
    if _zeros_lead(values, only_codes=True) and pc.any(pc.match_substring_regex(values, CODE)).as_py():
        return None
    return convert(values, "number")


def convert(values: pa.Array, kind: Kind) -> pa.Array | None:
    """The values under a kind; None where one of them does not convert."""
    try:
        if kind == "integer":
            return pc.utf8_ltrim(values, "+").cast(pa.int64())
        if kind == "boolean":
            return pc.utf8_lower(values).cast(pa.bool_())
        if kind == "zoned":
            return values.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
        if kind == "number":
            return _numbers(values)
        if kind in ("comma integer", "comma number"):
            return convert(with_points(values), "integer" if kind == "comma integer" else "number")
        return pa.nulls(len(values), pa.float64()) if kind == "empty" else values.cast(TYPES[kind])
    except pa.ArrowInvalid:
        return None


def _numbers(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.float64())
    except pa.ArrowInvalid:
        return pc.utf8_trim_whitespace(values).cast(pa.float64())


def _all_match(values: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(values, pattern)).as_py() is not False


def _zeros_lead(values: pa.Array, *, only_codes: bool) -> bool:
    """Whether a value may begin, after its sign, with a zero and more behind it (with `only_codes`: a digit)."""
    starts, lengths, data = text_buffers(values)
    if not len(data):
        return False
    last = len(data) - 1
    first = data[np.minimum(starts, last)]
    signed = ((first == _PLUS) | (first == _MINUS)) & (lengths > 1)
    if signed.any():
        starts, lengths = starts + signed, lengths - signed
        first = data[np.minimum(starts, last)]
    longer = (first == _ZERO) & (lengths > 1)
    if not only_codes or not longer.any():
        return bool(longer.any())
    second = data[np.minimum(starts[longer] + 1, last)]
    return bool(((second >= _ZERO) & (second <= _ZERO + 9)).any())


def spaced(values: pa.Array) -> int:
    """How many texts have a space before or behind them."""
    starts, lengths, data = text_buffers(values)
    if not len(data):
        return 0
    last = len(data) - 1
    ends = np.clip(starts + lengths - 1, 0, last)
    around = _SPACE[data[np.minimum(starts, last)]] | _SPACE[data[ends]]
    return int((around & (lengths > 0)).sum()) if around.any() else 0


def text_buffers(values: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each text of a string array starts, how many bytes it has, and all bytes."""
    _, offsets, data = values.buffers()
    if offsets is None or data is None:
        return np.zeros(len(values), np.int64), np.zeros(len(values), np.int64), np.zeros(0, np.uint8)
    places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return places[:-1], np.diff(places), np.frombuffer(data, np.uint8)
