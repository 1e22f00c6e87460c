"""Columns that stayed text although they look like numbers: why, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.written import COMMA_NUMBER
from headrace.components.ingest.kinds import text_buffers
from headrace.components.ingest.patterns import CODE, GROUPED, INTEGER, MOST, NUMBER, NUMBER_LIKE

_NUMBERS, _UNSURE = np.zeros(256, bool), np.zeros(256, bool)
_NUMBERS[list(b"0123456789.,")] = True
_UNSURE[list(b"+- \t\n\v\f\r")] = True


def number_like(values: pa.Array) -> int:
    """How many texts begin like a number; values without nulls."""
    starts, lengths, data = text_buffers(values)
    if not len(data):
        return 0
    first = data[np.minimum(starts, len(data) - 1)]
    if (_UNSURE[first] & (lengths > 0)).any():
        return int(pc.sum(pc.match_substring_regex(values, NUMBER_LIKE)).as_py() or 0)
    return int((_NUMBERS[first] & (lengths > 0)).sum())


def text_note(name: str, parts: Callable[[], Iterable[pa.Array]], decimal: str) -> tuple[str, int] | None:
    """Why a column stayed text, and how many of its values are no numbers, where over nine tenths look like some.

    Args:
        name: the column's.
        parts: its values, in parts without nulls; called twice.
        decimal: what stands before a number's fraction.
    """
    values = like = 0
    for part in parts():
        values, like = values + len(part), like + number_like(part)
    if not values or like < MOST * values:  # most texts are done with here, cheaply
        return None
    found = _Look(decimal)
    for part in parts():
        found.add(part)
    note = found.note(name)
    return None if note is None else (note, found.values - found.numeric)


class _Look:
    """What the values of a text column look like; the first examples are kept."""

    def __init__(self, decimal: str) -> None:
        self._decimal = decimal
        self.values = self.numeric = self._commas = self._integers = self._grouped_or_numeric = 0
        self._codes = self._only_comma = False
        self._others: dict[str, None] = {}
        self._with_comma: str | None = None
        self._grouped: str | None = None

    def add(self, values: pa.Array) -> None:
        def match(pattern: str) -> pa.Array:
            return pc.match_substring_regex(values, pattern)

        numeric, grouped, comma = match(COMMA_NUMBER if self._decimal == "," else NUMBER), match(GROUPED), match(",")
        comma_number = match(COMMA_NUMBER)
        self.values += len(values)
        self.numeric += _count(numeric)
        self._integers += _count(match(INTEGER))
        self._commas += _count(comma_number)
        self._grouped_or_numeric += _count(pc.or_(grouped, numeric))
        self._codes = self._codes or _count(match(CODE)) > 0
        self._only_comma = self._only_comma or _count(pc.and_(comma, pc.and_not(comma_number, grouped))) > 0
        if len(self._others) < 3:
            self._others.update(dict.fromkeys(pc.unique(values.filter(pc.invert(numeric))).slice(0, 3).to_pylist()))
        self._with_comma = self._with_comma or _first(values, comma)
        self._grouped = self._grouped or _first(values, grouped)

    def note(self, name: str) -> str | None:
        if self._codes:
            return None
        if self._integers == self.values:
            return f"`{name}` stays text: its whole numbers do not all fit 64 bits"
        if MOST * self.values <= self.numeric < self.values:
            others = ", ".join(map(repr, list(self._others)[:3]))
            few = self.values - self.numeric
            share = f"{few / self.values:.2%}" if few >= 1e-4 * self.values else f"{few:,}"
            return (
                f"`{name}` stays text: {share} of its values are no numbers ({others}); "
                "list them in data.null_values if they mean missing"
            )
        if self._decimal == "." and self._with_comma and self._commas >= MOST * self.values and self._only_comma:
            return (
                f"`{name}` stays text: its values have a decimal comma ({self._with_comma!r}); "
                "set data.decimal to ',' if so"
            )
        if self._grouped and self._grouped_or_numeric >= MOST * self.values:
            return (
                f"`{name}` stays text: its numbers have thousands separators ({self._grouped!r}); "
                f"set data.types, e.g. `{{{name}: amount}}`"
            )
        return None


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _first(values: pa.Array, mask: pa.Array) -> str | None:
    place = pc.index(mask, True).as_py()
    return None if place < 0 else values[place].as_py()
