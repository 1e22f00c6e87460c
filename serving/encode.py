"""Raw values to the model's matrix, in Python: the rules of `artifacts/signature.py`, cell by cell.

It equals the encoder graph bit for bit, and is faster for few rows: one dictionary look-up per category and
one matrix into the graph, instead of one tensor per feature. Texts go into the graph as they are.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from headrace.artifacts.signature import DATE_PATTERN, Signature, text_inputs

Cell = float | int | str | None

_DATE = re.compile(DATE_PATTERN)
_EPOCH = date(1970, 1, 1).toordinal()
_MICROSECONDS_A_DAY = 86_400_000_000.0
_NAN = float("nan")
_MANY = 8  # rows from which on columns are faster


class _Presence:
    """Answers as a category's table of codes does: a text's cell says no more than whether there is one."""

    def get(self, text: Cell) -> float:
        return 1.0 if text else math.nan


class Encoder:
    """Turns rows of raw values, in the signature's order, into a float64 matrix, and the texts beside it."""

    def __init__(self, signature: Signature) -> None:
        self._width = len(signature.inputs)
        self._pack = struct.Struct(f"={self._width}d").pack
        self._shifted: list[tuple[int, float]] = []
        self._dates: list[tuple[int, float]] = []
        self._categories: list[tuple[int, dict[Cell, float] | _Presence]] = []
        self._texts = text_inputs(signature.inputs)
        for place, item in enumerate(signature.inputs):
            if item.type == "category":
                codes: dict[Cell, float] = {None: _NAN, "": _NAN}
                codes |= {value: 1.0 + index for index, value in enumerate(item.vocabulary)}
                self._categories.append((place, codes))
            elif item.type == "text":
                self._categories.append((place, _Presence()))
            elif item.type == "date":
                self._dates.append((place, item.offset))
            elif item.type == "number" and item.offset != 0:
                self._shifted.append((place, item.offset))

    def matrix(self, rows: Sequence[tuple[Cell, ...]]) -> tuple[npt.NDArray[np.float64], int]:
        """Encodes rows; returns the matrix [N, F] and how many categories were unseen in training.

        Numbers and booleans may be None (missing), strings None or "".

        Raises:
            ValueError: a date is not one; the message says what was expected.
        """
        if len(rows) >= _MANY:
            return self._by_columns(rows)
        unseen, packed = 0, []
        for row in rows:
            cells = list(row)
            for place, codes in self._categories:
                code = codes.get(cells[place])
                if code is None:
                    unseen += 1
                    code = 0.0
                cells[place] = code
            for place, offset in self._shifted:
                value = cells[place]
                if value is not None:
                    cells[place] = float(value) - offset
            for place, offset in self._dates:
                text = cells[place]
                cells[place] = days(text) - offset if text else None
            packed.append(self._pack(*[_NAN if cell is None else cell for cell in cells]))
        # What struct packs is an array at once; numpy would look at every cell for its type.
        return np.ndarray((len(packed), self._width), np.float64, b"".join(packed)), unseen

    def _by_columns(self, rows: Sequence[tuple[Cell, ...]]) -> tuple[npt.NDArray[np.float64], int]:
        """The same for many rows."""
        unseen = 0
        columns: list[Sequence[Cell]] = list(zip(*rows, strict=True))
        for place, table in self._categories:
            found = [table.get(cell) for cell in columns[place]]
            if None in found:
                unseen += found.count(None)
                found = [0.0 if code is None else code for code in found]
            columns[place] = found
        for place, offset in self._shifted:
            columns[place] = [None if cell is None else float(cell) - offset for cell in columns[place]]
        for place, offset in self._dates:
            columns[place] = [days(cell) - offset if cell else None for cell in columns[place]]
        matrix = np.empty((len(rows), self._width), np.float64)
        for place, column in enumerate(columns):
            matrix[:, place] = column
        return matrix, unseen

    def texts(self, rows: Sequence[tuple[Cell, ...]]) -> npt.NDArray[np.object_]:
        """The strings [N, T] of the inputs that are texts, "" where one is missing."""
        cells = [[row[place] or "" for place in self._texts] for row in rows]
        return np.array(cells, object).reshape(len(rows), len(self._texts))


@lru_cache(maxsize=8192)  # days repeat, and parsing costs as much as all else in a row
def days(text: Cell) -> float:
    """Days since 1970-01-01 UTC, with fraction, of a date or a date and time as in `DATE_PATTERN`.

    Raises:
        ValueError: it is none, or no such day exists.
    """
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z")
    year, month, day, hour, minute, second, sign, zone_hour, zone_minute = match.groups()
    try:
        whole = date(int(year), int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        raise ValueError("expected a day that exists, of the years 1 to 9999") from None
    if hour is None:
        return float(whole)
    minutes = whole * 1440 + int(hour) * 60 + int(minute)
    if sign is not None:
        zone = int(zone_hour) * 60 + int(zone_minute)
        minutes += -zone if sign == "+" else zone
    microseconds = minutes * 60_000_000 + round(float(second or 0) * 1_000_000.0)
    return microseconds / _MICROSECONDS_A_DAY
