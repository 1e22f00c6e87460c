"""From sources to numbered rows: whatever ingestion reads, cut to the columns that are needed, in bounded memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.images import ImageFile, list_images
from headrace.components.fingerprint.url import kind_of, public
from headrace.components.ingest.open import format_of, open_file, unreadable
from headrace.components.ingest.opened import (
    ROWS,
    NoRows,
    Opened,
    Rejection,
    Rejections,
    SourceFile,
    keeping,
    list_files,
    source_opener,
)
from headrace.components.ingest.spec import DataSpec

DATABASES = ("sqlite", "postgresql", "bigquery")  # schemes of sources that are asked a query
CHUNK_BYTES = 64 << 20  # of a file's rows at a time, about
CHUNK_CELLS = 4_000_000  # of the model's matrix at a time
_IMAGE_BYTES = 32 << 20


@dataclass(frozen=True)
class Source:
    """One source, opened: a stream of the needed columns."""

    opened: Opened
    format: str  # csv, tsv, jsonl, parquet, ...; the scheme of a database
    parses: bool  # whether its texts stand for numbers, dates and truth values, as in a text file
    file: SourceFile | None = None

    @property
    def schema(self) -> pa.Schema:
        """Its columns."""
        return self.opened.schema


@dataclass(frozen=True)
class Unreadable:
    """A row that the source could not give."""

    row: int  # its number among all rows of all sources, from 1
    source: str
    rejection: Rejection


@dataclass(frozen=True)
class Chunk:
    """Some rows of a source, with their numbers, and those between them that could not be read."""

    source: Source
    batch: pa.RecordBatch
    rows: npt.NDArray[np.int64]  # among all rows of all sources, from 1
    first: int  # how many rows there are in the sources before this one
    unreadable: list[Unreadable] = field(default_factory=list)


def open_rows(sources: Sequence[str], data: DataSpec) -> list[Source]:
    """Opens sources, in their order; the files of a glob in the order of their names.

    Raises:
        HeadraceError: a source cannot be opened, or its format is not known.
    """
    found: list[Source] = []
    for source in sources:
        scheme = kind_of(source)
        if data.format == "images":
            found.append(Source(_open_images(source, data), "images", parses=False))
            continue
        opener = source_opener(scheme, data.format)
        if opener is not None:
            found.append(Source(opener(source, data, None), scheme, parses=False))
            continue
        files = list_files(source, scheme)
        for file in files:
            format_of(file.name, data)  # of all, before the first is read
        try:
            found += [_open_file(file, format_of(file.name, data), data) for file in files]
        except (PermissionError, FileNotFoundError) as error:
            raise unreadable(error) from None
    return found


def _open_file(file: SourceFile, format: str, data: DataSpec) -> Source:
    if format == "parquet":
        with _parquet(file, ()) as opened:
            schema = opened.schema_arrow
        return Source(Opened(file.name, schema, no_batches, text=False), format, parses=False, file=file)
    opened = open_file(file, data)
    return Source(opened, format, parses=opened.text or format == "jsonl", file=file)


def no_batches() -> Iterator[pa.RecordBatch]:
    """Of a file that is read by its row groups."""
    raise AssertionError("a Parquet file is read by its row groups")


def chunks(sources: Sequence[Source], columns: Sequence[str], categories: Sequence[str], most: int) -> Iterator[Chunk]:
    """All rows of all sources, in their order.

    Args:
        sources: as `open_rows` gives them.
        columns: that are needed; a source has them all.
        categories: those of them whose values repeat.
        most: unreadable rows that are kept of a pass; with more the job has failed.
    """
    before = 0
    with keeping(most + 1):
        for source in sources:
            numbers = _Numbers(before)
            for batch in _batches(source, columns, categories):
                gone = numbers.gone(source)
                yield Chunk(source, batch, numbers.next(batch.num_rows), before, gone)
            if gone := numbers.gone(source):
                numbers.next(0)
                yield replace(empty_chunk(source, columns), first=before, unreadable=gone)
            before = numbers.end()


class _Numbers:
    """Numbers the rows of a source, those that it could not give among them."""

    def __init__(self, before: int) -> None:
        self._before = before
        self._next = 1  # in this source
        self._gone: list[int] = []  # numbers of unreadable rows that no readable one has passed yet

    def gone(self, source: Source) -> list[Unreadable]:
        """The rows that could not be read since it was asked last."""
        found = source.opened.rejected()
        taken = [Unreadable(self._number(one), source.opened.name, one) for one in found.first]
        found.first.clear()
        self._gone += [one.row - self._before for one in taken]
        return taken

    def _number(self, rejection: Rejection) -> int:
        """The row's number; its place is for people, and may be that of a line."""
        return self._before + (self._next if rejection.row is None else rejection.row)

    def next(self, rows: int) -> npt.NDArray[np.int64]:
        """The numbers of the next rows that were read."""
        gone = np.sort(np.array([one for one in self._gone if one >= self._next], np.int64))
        given = self._next + np.arange(rows, dtype=np.int64)
        given += np.searchsorted(gone - np.arange(len(gone)), given, side="right")
        if rows:
            self._next = int(given[-1]) + 1
            self._gone = [one for one in self._gone if one >= self._next]
        return self._before + given

    def end(self) -> int:
        """How many rows there are up to the end of the source."""
        return self._before + max([self._next - 1, *self._gone])


def _batches(source: Source, columns: Sequence[str], categories: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if source.format == "parquet":
        assert source.file is not None  # Parquet is always a file
        yield from _parquet_batches(source.file, columns, categories)
        return
    most = _rows_at_once(len(columns))
    try:
        for batch in source.opened.batches():
            needed = batch.select(list(columns))
            for start in range(0, needed.num_rows, most):
                yield needed.slice(start, most)
    except NoRows:
        return


def _parquet_batches(
    file: SourceFile, columns: Sequence[str], categories: Sequence[str], groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    with _parquet(file, categories) as opened:
        metadata = opened.metadata
        if not metadata.num_rows:
            return
        size = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
        rows = max(64, min(_rows_at_once(len(columns)), CHUNK_BYTES * metadata.num_rows // max(size, 1)))
        which = list(range(metadata.num_row_groups)) if groups is None else list(groups)
        for batch in opened.iter_batches(batch_size=rows, columns=list(columns), row_groups=which):
            yield batch.select(list(columns))


def _rows_at_once(columns: int) -> int:
    return max(256, min(ROWS, CHUNK_CELLS // max(columns, 1)))


@contextlib.contextmanager
def _parquet(file: SourceFile, categories: Sequence[str]) -> Iterator[pq.ParquetFile]:
    try:
        with (
            contextlib.closing(file.open()) as stream,
            pq.ParquetFile(stream, read_dictionary=list(categories) or None) as opened,
        ):
            yield opened
    except pa.ArrowInvalid as error:
        raise HeadraceError(f"{file.name}: expected a Parquet file. Received: {error}") from None


def row_groups(source: Source) -> list[int]:
    """How many rows each row group of a Parquet file has."""
    assert source.file is not None
    with _parquet(source.file, ()) as opened:
        metadata = opened.metadata
        return [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]


def group_chunks(
    source: Source,
    groups: Sequence[int],
    first: int,
    before: int,
    columns: Sequence[str],
    categories: Sequence[str],
) -> Iterator[Chunk]:
    """The rows of some row groups of a Parquet file.

    Args:
        source: the file.
        groups: which.
        first: how many rows of all sources come before them.
        before: how many rows there are in the sources before this one.
        columns: that are needed.
        categories: those of them whose values repeat.
    """
    assert source.file is not None
    for batch in _parquet_batches(source.file, columns, categories, groups):
        yield Chunk(source, batch, first + 1 + np.arange(batch.num_rows, dtype=np.int64), before)
        first += batch.num_rows


def empty_chunk(source: Source, columns: Sequence[str]) -> Chunk:
    """No rows, of these columns."""
    schema = pa.schema([source.schema.field(name) for name in columns])
    return Chunk(source, pa.RecordBatch.from_pylist([], schema=schema), np.zeros(0, np.int64), 0)


def _open_images(source: str, data: DataSpec) -> Opened:
    """A folder of images, at any depth, or a CSV that lists them: `path`, `image` (a file's bytes), the CSV's columns.

    Whether a picture can be decoded shows when it is scored.
    """
    listing = list_images(source, data.images.path, data.label.name, labelled=False)
    further = [name for name in listing.further if name not in ("path", "image")]
    schema = pa.schema([("path", pa.string()), ("image", pa.binary()), *((name, pa.string()) for name in further)])
    places = [listing.further.index(name) for name in further]
    rejections = Rejections()

    def batches() -> Iterator[pa.RecordBatch]:
        columns: list[list[Any]] = [[] for _ in schema]
        size = 0
        for file in listing.images:
            content = _content(file)
            size += len(content or b"")
            for column, value in zip(columns, (file.path, content, *(file.cells[p] for p in places)), strict=True):
                column.append(value)
            if size >= _IMAGE_BYTES or len(columns[0]) >= 1_024:
                yield pa.record_batch(
                    [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema
                )
                columns, size = [[] for _ in schema], 0
        if columns[0]:
            yield pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

    return Opened(public(source), schema, batches, text=False, rejected=lambda: rejections)


def _content(file: ImageFile) -> bytes | None:
    """A file's bytes; None where it cannot be opened, which rejects its row."""
    try:
        with file.open() as stream:
            return stream.read()
    except (OSError, HeadraceError):
        return None
