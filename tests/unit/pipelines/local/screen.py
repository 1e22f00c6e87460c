"""A terminal for tests: draws what a program writes, as far as our live view goes, and refuses the rest."""

import io
import os
import re

_CODES = re.compile(r"\x1b\[(\d*(?:;\d+)*)([A-Za-z])")


class Screen:
    """`lines` is what is to be seen, `history` what has scrolled away, `colours` the colours that were used."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.lines = [""]
        self.history: list[str] = []
        self.colours: set[str] = set()
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        while text:
            if match := _CODES.match(text):
                self._code(match.group(1), match.group(2))
                text = text[match.end() :]
                continue
            self._character(text[0])
            text = text[1:]

    def _code(self, number: str, letter: str) -> None:
        if letter == "m":
            self.colours.add(number)
        elif letter == "A":
            self.row = max(0, self.row - int(number or 1))
        elif letter == "K" and not number:
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif letter == "J" and not number:
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        else:
            raise AssertionError(f"the screen does not know \\x1b[{number}{letter}")

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
            if len(self.lines) > self.rows:
                self.history.append(self.lines.pop(0))
                self.row -= 1
        elif character.isprintable():
            assert self.column < self.columns, f"wider than {self.columns} columns: {self.lines[self.row]}{character}"
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1
        else:
            raise AssertionError(f"the screen does not know {character!r}")

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


class Terminal(io.StringIO):
    """A stream with a screen behind it. Its size is told through the file number that it pretends to have."""

    def __init__(self, screen: Screen, encoding: str = "utf-8") -> None:
        super().__init__()
        self.screen, self._encoding = screen, encoding
        self.writes = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        text.encode(self._encoding)  # as a strict stream does
        self.writes += 1
        self.screen.feed(text)
        return len(text)


def size_of(screen: Screen) -> os.terminal_size:
    return os.terminal_size((screen.columns, screen.rows))
