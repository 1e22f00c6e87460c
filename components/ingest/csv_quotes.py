"""Whether a CSV text's quotes stand where they may, as RFC 4180 has it: a parser that has to guess loses rows.

A missing quote makes everything up to the next one part of its field, rows and all, and no row is ragged for it. What
shows it is a closing quote in the middle of a field, or the end of the text within one.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headrace.artifacts.errors import HeadraceError

LONGEST = 8 << 20  # bytes of a quoted field
_QUOTE = ord('"')
_SHOWN = 60  # bytes of a field in a message
_Marks: TypeAlias = npt.NDArray[np.intp]  # where quotes are


class Quotes:
    """Follows a text from block to block.

    A quote opens a field at its beginning and closes it at its end; within the two it is doubled. In a field that does
    not begin with one it is a character like others, such as the inch sign of `5" pipe`.
    """

    def __init__(self, name: str, separator: str) -> None:
        """`name` is the text's, for messages."""
        self._name = name
        self._is_between = np.zeros(256, bool)  # by byte: whether it stands between fields
        self._is_between[list(separator.encode() + b"\r\n")] = True
        self._before = b"\n"  # the byte before what is looked at
        self._held = b""  # quotes at the end of a block: what they mean is told by what follows
        self._lines = 0  # line feeds before what is looked at
        self._began: tuple[int, int] | None = None  # of the quoted field that is open: its line, and bytes before it
        self._bytes = 0
        self._start = b""  # of the open field

    def add(self, block: bytes) -> None:
        """Looks at the next bytes.

        Raises:
            HeadraceError: a field goes on behind its closing quote, or is longer than `LONGEST`.
        """
        text = self._held + block if self._held else block
        bare = text.rstrip(b'"')
        self._held = text[len(bare) :]
        if not bare:
            return
        if b'"' in bare:
            self._look(bare)
        self._lines += bare.count(b"\n")
        self._bytes += len(bare)
        self._before = bare[-1:]
        if self._began and self._bytes - self._began[1] > LONGEST:
            raise self._unclosed(f"none within {LONGEST >> 20} MiB")

    @property
    def whole(self) -> int:
        """How many bytes, of those looked at, lie before the quoted field that is open."""
        return self._began[1] if self._began else self._bytes + len(self._held)

    def end(self) -> None:
        """The text has ended.

        Raises:
            HeadraceError: within a quoted field, or a field goes on behind its closing quote.
        """
        self.add(b"\n")
        if self._began:
            raise self._unclosed("the end of the file")

    def _look(self, text: bytes) -> None:
        data = np.frombuffer(text, np.uint8)
        marks = np.flatnonzero(data == _QUOTE)
        before, after = data[marks - 1], data[marks + 1]  # quotes at the end are held back
        if marks[0] == 0:
            before[0] = self._before[0]
        begins, ends, doubled = self._is_between[before], self._is_between[after], after == _QUOTE
        first = 1 if self._began else 0
        opens = begins[first::2] | (before[first::2] == _QUOTE)
        closes = ends[1 - first :: 2] | doubled[1 - first :: 2]
        if not (opens.all() and closes.all()):  # quotes that mean nothing, or worse
            self._walk(text, marks, begins, ends, doubled)
        elif (len(marks) + first) % 2 == 0:
            self._began = None
        elif len(begun := marks[first::2][begins[first::2]]):
            self._open(text, int(begun[-1]))

    def _walk(self, text: bytes, marks: _Marks, *kinds: npt.NDArray[np.bool_]) -> None:
        """One after the other; `kinds`: whether a field begins with it, or ends, and whether another follows."""
        inside, opening, pair = self._began is not None, None, False
        for mark, begins, ends, doubled in zip(*(array.tolist() for array in (marks, *kinds)), strict=True):
            if pair:
                pair = False
            elif not inside:
                if begins:
                    inside, opening = True, mark
            elif doubled:
                pair = True
            elif ends:
                inside = False
            else:
                if opening is not None:
                    self._open(text, opening)
                raise self._goes_on(text, mark + 1)
        if not inside:
            self._began = None
        elif opening is not None:
            self._open(text, opening)

    def _open(self, text: bytes, place: int) -> None:
        self._began = self._lines + text.count(b"\n", 0, place) + 1, self._bytes + place
        self._start = text[place : place + _SHOWN]

    def _goes_on(self, text: bytes, place: int) -> HeadraceError:
        assert self._began is not None
        line = self._lines + text.count(b"\n", 0, place) + 1
        begun, began = self._began
        hint = "quotes within a quoted field are doubled"
        if begun != line:
            hint = f"the field began in line {begun}, is a quote missing there?"
        start = max(began - self._bytes, 0, place - _SHOWN)
        return HeadraceError(
            f"{self._name}, line {line}: expected the end of the field behind its closing quote. Received: "
            f"{_shown(text[start : place + 10])}; {hint}"
        )

    def _unclosed(self, received: str) -> HeadraceError:
        assert self._began is not None
        return HeadraceError(
            f"{self._name}, line {self._began[0]}: expected a closing quote of the field "
            f"{_shown(self._start)}. Received: {received}"
        )


def _shown(text: bytes) -> str:
    return repr(text.decode("utf-8", errors="replace"))
