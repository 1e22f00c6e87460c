"""Streams a CSV file as text, strictly: what is ragged, mis-encoded or not CSV at all is refused with its place."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from headrace.artifacts.csv_text import BLANKS, column_names, repeated, separator_of
from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names
from headrace.components.ingest.compression import DAMAGE, bare_name, compression_of, open_text
from headrace.components.ingest.csv_quotes import Quotes
from headrace.components.ingest.opened import SHOWN, NoRows, Opened, Rejection, Rejections, SourceFile

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_SEPARATORS = (",", ";", "\t", "|")
BLOCK_BYTES = 8 << 20  # parsed at once: a row must fit, and about a gigabyte a second needs no more
HEAD_BYTES = 1 << 20  # looked at where only the columns are of interest
MOST_HEADER = 1 << 20  # bytes of the longest header
_BOM = b"\xef\xbb\xbf"
_FROM_UTF16 = "Convert it first, e.g. `iconv -f utf-16 -t utf-8`."
_MAGIC = {  # what a file begins with -> what it is, and what to do
    b"\x1f\x8b": ("gzip data", "Name it .csv.gz, or unpack it first."),
    b"PK\x03\x04": ("a zip archive (or a spreadsheet)", "Unpack it (or save the sheet as CSV) first."),
    b"PAR1": ("Parquet data", "Name it .parquet, or set data.format: parquet."),
    b"\xff\xfe": ("UTF-16 text", _FROM_UTF16),
    b"\xfe\xff": ("UTF-16 text", _FROM_UTF16),
    b"\x28\xb5\x2f\xfd": ("zstd data", "Name it .csv.zst, or unpack it first."),
    b"BZh": ("bzip2 data", "Name it .csv.bz2, or unpack it first."),
}


def open_csv(file: SourceFile, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens a UTF-8 CSV (or, by its suffix, TSV) file with a header; every column is string, null where missing.

    Without a `separator`, fields are separated by commas, and in a `.tsv` file by tabs. With `rows`, no more than the
    first so many are given, and only the first megabyte is looked at.

    Raises:
        HeadraceError: empty, not UTF-8, another separator, column names that are duplicate or cannot be served, or not
            a CSV file; while reading: only a header, not UTF-8, NUL bytes, more ragged rows than may be rejected.
    """
    separator = separator_of(bare_name(file.name), data.separator or ("\t" if data.format == "tsv" else None))
    names = read_header(file, separator)
    reader = _Reader(file, names, separator, data)
    schema = pa.schema([(name, pa.string()) for name in names])
    batches = reader.batches if rows is None else lambda: reader.head(rows)
    return Opened(file.name, schema, batches, text=True, rejected=reader.rejected)


class _Reader:
    """Streams one file's rows, and counts the ragged ones."""

    def __init__(self, file: SourceFile, names: list[str], separator: str, data: DataSpec) -> None:
        self._file, self._names, self._at_most = file, names, data.rejects.at_most
        self._separator = separator
        self._trim, self._nulls = data.trim, pa.array(data.null_values, pa.string())
        self._convert = pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=data.null_values,
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        )
        self._ragged = Rejections()
        self._first_ragged: list[Any] = []

    def rejected(self) -> Rejections:
        return self._ragged

    def head(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The first rows, of those within the first megabyte."""
        with contextlib.closing(open_text(self._file)) as stream:
            start = self._read_start(stream)
        if len(start) == HEAD_BYTES and start.count(b"\n") > 2:  # a row that was cut is none
            quotes = Quotes(self._file.name, self._separator)
            quotes.add(start.removeprefix(_BOM))
            start = start[: start.rindex(b"\n", 0, quotes.whole) + 1]
        for batch in self._stream(io.BytesIO(start)):
            yield batch[:rows]
            rows -= batch.num_rows
            if rows <= 0:
                return

    def _read_start(self, stream: BinaryIO) -> bytes:
        try:
            start = b""
            while len(start) < HEAD_BYTES and (more := stream.read(HEAD_BYTES - len(start))):
                start += more
            return start
        except DAMAGE as error:
            raise damaged(self._file, error) from None

    def batches(self) -> Iterator[pa.RecordBatch]:
        with contextlib.closing(open_text(self._file)) as stream:
            yield from self._stream(stream)

    def _stream(self, stream: BinaryIO) -> Iterator[pa.RecordBatch]:
        self._ragged, self._first_ragged = Rejections(), []
        rows = 0
        try:
            for batch in self._open(_Checked(stream, self._file.name, self._separator)):
                rows += batch.num_rows
                if batch.num_rows and self._ragged.count <= self._at_most:
                    yield self._trimmed(batch) if self._trim else batch
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error) or "UTF-8" in str(error):
                raise HeadraceError(_encoding_message(self._file)) from None
            raise HeadraceError(
                f"{self._file.name}: expected CSV rows of {len(self._names)} fields. Received: {error}"
            ) from None
        except DAMAGE as error:
            raise damaged(self._file, error) from None
        if self._ragged.count > self._at_most:
            raise HeadraceError(self._ragged_message())
        if rows == 0:
            raise NoRows(
                f"{self._file.name}: expected rows below the header. "
                f"Received: only a header of {len(self._names)} columns"
            )

    def _trimmed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [pc.utf8_trim(column, BLANKS) for column in batch.columns]
        none = pa.scalar(None, pa.string())
        kept = [pc.if_else(pc.is_in(column, self._nulls), none, column) for column in columns]
        return pa.record_batch(kept, batch.schema)

    def _open(self, stream: io.RawIOBase) -> Any:
        return pacsv.open_csv(
            pa.PythonFile(stream, mode="r"),
            # One thread, because only then does a malformed row come with its number; columns convert elsewhere.
            read_options=pacsv.ReadOptions(
                use_threads=False, column_names=self._names, skip_rows=1, block_size=BLOCK_BYTES
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self._separator, newlines_in_values=True, invalid_row_handler=self._note
            ),
            convert_options=self._convert,
        )

    def _note(self, row: Any) -> str:
        if not self._first_ragged:
            self._first_ragged.append(row)
        why = f"expected {row.expected_columns} fields. Received: {row.actual_columns}"
        self._ragged.add(Rejection(f"row {_number(row)}", why, row.text[:SHOWN], row=_number(row)))
        return "skip"

    def _ragged_message(self) -> str:
        row = self._first_ragged[0]
        more = f" ({self._ragged.count:,} such rows)" if self._ragged.count > 1 else ""
        allowed = f"; data.rejects.at_most is {self._at_most:,}" if self._at_most else ""
        return (
            f"{self._file.name}, row {_number(row)}: expected {row.expected_columns} fields, as in the header. "
            f"Received: {row.actual_columns}{more}: {row.text[:SHOWN]!r}{allowed}. "
            "Quote fields that contain the separator."
        )


def _number(row: Any) -> int:
    """Which row below the header a malformed one is, as rows are counted in every other message."""
    return int(row.number) - 1  # Arrow counts the header


class _Checked(io.RawIOBase):
    """A file whose quotes have to be in order, and whose NUL bytes are refused.

    Many tools show nothing behind a NUL byte, and nobody means one.
    """

    def __init__(self, stream: BinaryIO, name: str, separator: str) -> None:
        self._stream, self._name = stream, name
        self._quotes = Quotes(name, separator)
        self._lines = 0
        self._begun = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self._stream.read(size)
        place = block.find(b"\0")
        if place >= 0:
            line = self._lines + block.count(b"\n", 0, place) + 1
            raise HeadraceError(
                f"{self._name}, line {line}: expected text. Received: a NUL byte; "
                "remove it, or convert the file to UTF-8 if it is UTF-16"
            )
        self._lines += block.count(b"\n")
        if block:
            self._quotes.add(block if self._begun else block.removeprefix(_BOM))
            self._begun = True
        elif size:
            self._quotes.end()
        return block


def read_header(file: SourceFile, separator: str) -> list[str]:
    """The column names of a CSV file; an unnamed column becomes `unnamed_<position>`.

    Raises:
        HeadraceError: the file is empty, not text, not UTF-8, has another separator, names a column twice, or
            by a name that cannot be served.
    """
    names = _header_fields(file, separator)
    if other := _other_separator(names, separator):
        raise HeadraceError(
            f"{file.name}, line 1: expected fields separated by {separator!r}. "
            f"Received: a header separated by {other!r}; set data.separator (--separator)"
        )
    if apart := next((name for name in names if name != name.strip() and name.strip().startswith('"')), None):
        raise HeadraceError(
            f"{file.name}, line 1: expected quotes next to the separators. Received: {apart!r}, whose quotes are part "
            "of it because of the spaces; remove the spaces between separators and quotes"
        )
    names = column_names(names)
    check_names(names, f"{file.name}, line 1")
    twice = repeated(names)
    if twice:
        raise HeadraceError(
            f"{file.name}, line 1: expected each column name once. "
            f"Received: {', '.join(map(repr, twice))} more than once"
        )
    return names


def detect_separator(file: SourceFile) -> str | None:
    """The separator that a file's header shows where it is not the one that the suffix promises, else None.

    Raises:
        HeadraceError: the file is empty, not text or not UTF-8.
    """
    separator = separator_of(bare_name(file.name))
    return _other_separator(_header_fields(file, separator), separator)


def _other_separator(fields: list[str], separator: str) -> str | None:
    """The separator most frequent in a header that came as a single field."""
    if len(fields) != 1:
        return None
    other = max((one for one in _SEPARATORS if one != separator), key=fields[0].count)
    return other if other in fields[0] else None


def _header_fields(file: SourceFile, separator: str) -> list[str]:
    try:
        with contextlib.closing(open_text(file)) as stream:
            start = stream.read(MOST_HEADER)
    except DAMAGE as error:
        raise damaged(file, error) from None
    _check_start(start, file.name)
    try:
        # Lines as they are decoded: bytes further on, perhaps cut in half, are none of the header's business.
        lines = (line.decode("utf-8-sig" if number == 0 else "utf-8") for number, line in enumerate(io.BytesIO(start)))
        return next(csv.reader(lines, delimiter=separator), [])
    except UnicodeDecodeError:
        raise HeadraceError(_encoding_message(file)) from None
    except csv.Error as error:
        raise HeadraceError(f"{file.name}, line 1: expected a CSV header. Received: {error}") from None


def _check_start(start: bytes, name: str) -> None:
    """Refuses what is no CSV text at all, by the first bytes of it."""
    for magic, (what, remedy) in _MAGIC.items():
        if start.startswith(magic):
            raise HeadraceError(f"{name}: expected UTF-8 CSV text. Received: {what}. {remedy}")
    if b"\0" in start[:2] and len(start.strip(b"\0")) > 1:
        raise HeadraceError(
            f"{name}: expected UTF-8 CSV text. Received: text with a NUL byte among its first two, such as UTF-16. "
            f"{_FROM_UTF16}"
        )
    start = start.removeprefix(_BOM)
    if not start.strip():
        raise HeadraceError(f"{name}: expected CSV text with a header. Received: an empty file")
    if not start[: start.find(b"\n") + 1 or None].strip():
        raise HeadraceError(
            f"{name}, line 1: expected the names of the columns. Received: an empty line; remove it, and others below"
        )
    if b"\r" in start.rstrip() and b"\n" not in start:
        raise HeadraceError(
            f"{name}: expected lines that end with a line feed. Received: only carriage returns; "
            "convert it first, e.g. `tr '\\r' '\\n'`"
        )


def _encoding_message(file: SourceFile) -> str:
    """Names the first line that is not UTF-8."""
    with contextlib.closing(open_text(file)) as stream:
        for number, line in enumerate(io.BufferedReader(RawStream(stream)), start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"{file.name}, line {number}, byte {error.start + 1}: expected UTF-8 text. Received: byte "
                    f"0x{line[error.start]:02x}. Convert it first, e.g. `iconv -f cp1252 -t utf-8`."
                )
    return f"{file.name}: expected UTF-8 text. Received: bytes that are not"


class RawStream(io.RawIOBase):
    """Any stream of bytes as one whose lines can be read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def damaged(file: SourceFile, error: BaseException) -> HeadraceError:
    """What is said of compressed data that cannot be read to its end; other errors are raised as they are."""
    if compression_of(file.name) is None or isinstance(error, PermissionError | FileNotFoundError):
        raise error
    return HeadraceError(f"{file.name}: expected whole {compression_of(file.name)} data. Received: {error}")
