"""Lines of JSON: a file or standard input as a source, a file or standard output as a sink. For trying things out.

A line's number is its id. Nothing is remembered from one process to the next. Dead letters are lines
{"id": ..., "reason": ..., "message": the line as it was}, on standard error or in a file beside the sink.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Message, Record

_PIECE = 1 << 18
_LONGEST = 64 << 20  # bytes of a line: more is no message


class LinesSource:
    """The lines of a file, or of standard input."""

    def __init__(self, name: str) -> None:
        """Opens it.

        Raises:
            HeadraceError: there is no such file.
        """
        self.name = "standard input" if name == "-" else name
        try:
            self._file = sys.stdin.fileno() if name == "-" else os.open(name, os.O_RDONLY)
            if not os.isatty(self._file):
                os.read(self._file, 0)  # a folder is no file
        except OSError as error:
            raise HeadraceError(f"{name}: expected a file of lines of JSON. Received: {error.strerror}") from None
        self._lines: list[bytes] = []
        self._rest = b""
        self._count = 0
        self._ended = False

    def read(self, most: int, seconds: float) -> list[Message]:
        """See `Source.read`; blank lines are passed over."""
        if not self._lines:
            self._fill(seconds)
        found: list[Message] = []
        while self._lines and len(found) < most:
            line = self._lines.pop()
            self._count += 1
            if line.strip():
                found.append(Message(str(self._count), line))
        if not found and self._ended and not self._lines:
            raise EOFError
        return found

    def _fill(self, seconds: float) -> None:
        if self._ended or not select.select([self._file], [], [], seconds)[0]:
            return
        piece = os.read(self._file, _PIECE)
        self._ended = not piece
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if self._ended and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        if len(self._rest) > _LONGEST:
            raise HeadraceError(f"{self.name}: expected lines of at most {_LONGEST} bytes. Received: a longer one")
        self._lines = lines[::-1]

    def done(self, messages: Sequence[Message]) -> None:
        """Nothing is remembered."""

    def keep(self, messages: Sequence[Message]) -> None:
        """Nobody else has them."""

    def waiting(self) -> int | None:
        """Nobody knows."""
        return None

    def close(self) -> None:
        """Closes the file."""
        if self.name != "standard input":
            os.close(self._file)


class LinesSink:
    """A file that is added to, or standard output; and a file or standard error for dead letters."""

    def __init__(self, name: str, dead: str) -> None:
        """Opens both; `-` stands for standard output and standard error.

        Raises:
            HeadraceError: a file cannot be written.
        """
        self.name = "standard output" if name == "-" else name
        self._answers, self._dead = _opened(name, sys.stdout), _opened(dead, sys.stderr)

    def write(self, records: Sequence[Record]) -> int:
        """See `Sink.write`."""
        for file, lines in (
            (self._answers, [record.value for record in records if not record.reason]),
            (self._dead, [_letter(record) for record in records if record.reason]),
        ):
            try:
                if lines:
                    file.write(b"\n".join(lines) + b"\n")
                    file.flush()
            except BrokenPipeError:  # who read our output has enough: no error of ours
                raise
            except OSError as error:
                raise HeadraceError(f"{self.name}: expected to be written to. Received: {error.strerror}") from None
        return 0

    def close(self) -> None:
        """Closes the files."""
        for file in (self._answers, self._dead):
            if file not in (sys.stdout.buffer, sys.stderr.buffer):
                file.close()


def _letter(record: Record) -> bytes:
    told = {
        "id": record.message.id,
        "reason": record.reason,
        "message": record.message.body.decode(errors="replace"),
    }
    return msgspec.json.encode(told)


def _opened(name: str, standard: IO[str]) -> IO[bytes]:
    if name == "-":
        return standard.buffer  # type: ignore[attr-defined, no-any-return]
    try:
        return Path(name).open("ab")
    except OSError as error:
        raise HeadraceError(f"{name}: expected a file that can be written. Received: {error.strerror}") from None
