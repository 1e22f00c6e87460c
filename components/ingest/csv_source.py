"""Reads a CSV file as text, strictly: what is ragged, mis-encoded or not CSV at all is refused with its place."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from headrace.artifacts.csv_text import column_names, repeated, separator_of
from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names

_SEPARATORS = (",", ";", "\t", "|")
_BLOCK_BYTES = 1 << 20
_MAGIC = {
    b"\x1f\x8b": "gzip data",
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"PAR1": "Parquet data",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"BZh": "bzip2 data",
}


def read_csv(file: Path, null_values: list[str], separator: str | None = None) -> pa.Table:
    """Reads a UTF-8 CSV (or, by its suffix, TSV) file with a header; every column comes as string, null where missing.

    Without a `separator`, fields are separated by commas, and in a `.tsv` file by tabs.

    Raises:
        HeadraceError: empty, only a header, not UTF-8, ragged, NUL bytes, another separator, column names that
            are duplicate or cannot be served, or not a CSV file.
    """
    with file.open("rb") as stream:
        _refuse_nul(file, iter(lambda: stream.read(_BLOCK_BYTES), b""))
    return _read(file, file, null_values, separator)


def read_head(file: Path, null_values: list[str], separator: str | None = None, size: int = 1 << 20) -> pa.Table:
    """Reads the rows within the first `size` bytes the same way: enough for a look at the columns."""
    with file.open("rb") as stream:
        start = stream.read(size)
        whole = not stream.read(1)
    if not whole and start.count(b"\n") > 2:
        start = start[: start.rindex(b"\n") + 1]  # a row that was cut is none
    _refuse_nul(file, [start])
    return _read(file, pa.BufferReader(start), null_values, separator)


def _read(file: Path, content: Any, null_values: list[str], separator: str | None) -> pa.Table:
    names = read_header(file, separator)
    ragged: list[Any] = []

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = pacsv.read_csv(
            content,
            # One thread, because only then does a malformed row come with its number.
            read_options=pacsv.ReadOptions(use_threads=False, column_names=names, skip_rows=1),
            parse_options=pacsv.ParseOptions(
                delimiter=separator_of(file, separator), newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=null_values,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error) or "UTF-8" in str(error):
            raise HeadraceError(_encoding_message(file)) from None
        raise HeadraceError(f"{file}: expected CSV rows of {len(names)} fields. Received: {error}") from None
    if ragged:
        raise HeadraceError(_ragged_message(file, ragged))
    if table.num_rows == 0:
        raise HeadraceError(f"{file}: expected rows below the header. Received: only a header of {len(names)} columns")
    return table


def _ragged_message(file: Path, rows: list[Any]) -> str:
    row = rows[0]
    more = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
    return (
        f"{file}, row {row.number}: expected {row.expected_columns} fields, as in the header. "
        f"Received: {row.actual_columns}{more}: {row.text[:80]!r}. Quote fields that contain the separator."
    )


def _refuse_nul(file: Path, blocks: Iterable[bytes]) -> None:
    """Nothing behind a NUL is shown by many tools, and nobody means one: such a file is damaged."""
    line = 1
    for block in blocks:
        place = block.find(b"\0")
        if place >= 0 and not block.startswith(tuple(_MAGIC)):  # which has its own message
            line += block.count(b"\n", 0, place)
            raise HeadraceError(
                f"{file}, line {line}: expected text. Received: a NUL byte; "
                "remove it, or convert the file to UTF-8 if it is UTF-16"
            )
        line += block.count(b"\n")


def read_header(file: Path, separator: str | None = None) -> list[str]:
    """The column names of a CSV file; an unnamed column becomes `unnamed_<position>`.

    Raises:
        HeadraceError: the file is empty, not text, not UTF-8, has another separator, names a column twice, or
            by a name that cannot be served.
    """
    separator = separator_of(file, separator)
    names = _header_fields(file, separator)
    if other := _other_separator(names, separator):
        raise HeadraceError(
            f"{file}, line 1: expected fields separated by {separator!r}. "
            f"Received: a header separated by {other!r}; set data.separator"
        )
    names = column_names(names)
    check_names(names, f"{file}, line 1")
    twice = repeated(names)
    if twice:
        raise HeadraceError(
            f"{file}, line 1: expected each column name once. Received: {', '.join(map(repr, twice))} more than once"
        )
    return names


def detect_separator(file: Path) -> str | None:
    """The separator that a file's header shows where it is not the one that the suffix promises, else None.

    Raises:
        HeadraceError: the file is empty, not text or not UTF-8.
    """
    separator = separator_of(file)
    return _other_separator(_header_fields(file, separator), separator)


def _other_separator(fields: list[str], separator: str) -> str | None:
    """The separator most frequent in a header that came as a single field."""
    if len(fields) != 1:
        return None
    other = max((one for one in _SEPARATORS if one != separator), key=fields[0].count)
    return other if other in fields[0] else None


def _header_fields(file: Path, separator: str) -> list[str]:
    with file.open("rb") as stream:
        start = stream.read(4)
    if not start.strip():
        raise HeadraceError(f"{file}: expected CSV text with a header. Received: an empty file")
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise HeadraceError(
                f"{file}: expected UTF-8 CSV text. Received: {what}. Convert it to plain CSV or Parquet first."
            )
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return next(csv.reader(stream, delimiter=separator), [])
    except UnicodeDecodeError:
        raise HeadraceError(_encoding_message(file)) from None
    except csv.Error as error:
        raise HeadraceError(f"{file}, line 1: expected a CSV header. Received: {error}") from None


def _encoding_message(file: Path) -> str:
    """Names the first line that is not UTF-8."""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"{file}, line {number}, byte {error.start + 1}: expected UTF-8 text. Received: byte "
                    f"0x{line[error.start]:02x}. Convert it first, e.g. `iconv -f latin1 -t utf-8`."
                )
    return f"{file}: expected UTF-8 text. Received: bytes that are not"
