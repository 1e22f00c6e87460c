"""The seam between sources and the ingestion engine: a source, opened, is a stream of record batches.

A source is a text. What it names is found in three ways, and each has its registry here:

- by a scheme that is no file (`sqlite://`, `postgresql://`, `bigquery://`), or by a format that is a folder
  (`data.format: images`): `source_opener` gives a function `(source, data, rows) -> Opened`;
- by a path, a glob, or a URL of files (`gs://`, `s3://`, ...): the files are listed, as `SourceFile`s, and
- each file is opened by its format (its suffix, or `data.format`): `file_opener` gives `(file, data, rows) -> Opened`.

Modules are imported when they are needed: most sources are one CSV file, and need none of the cloud's libraries.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from headrace.artifacts.errors import HeadraceError

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace.components.ingest.spec import DataSpec

SHOWN = 80  # characters of a rejected row that are kept
ROWS = 65_536  # rows of a batch, about: enough for vectorised work, few enough for bounded memory


@dataclass(frozen=True)
class Rejection:
    """A row that could not be read."""

    place: str  # `row 7` or `line 7` of its source
    why: str  # in the grammar of errors: "expected ... Received: ..."
    text: str = ""  # the beginning of the row as it stands in the source
    kept: str = ""  # what a snapshot keeps of `why`, where it has no value in it; else what was expected
    row: int | None = None  # its number among the source's rows, from 1, where that is known; blank lines are no rows


_KEPT: ContextVar[int] = ContextVar("rejections that are kept", default=20)


@contextlib.contextmanager
def keeping(most: int) -> Iterator[None]:
    """In this block so many rejections are kept of a pass, and not only a few as examples."""
    token = _KEPT.set(most)
    try:
        yield
    finally:
        _KEPT.reset(token)


@dataclass
class Rejections:
    """The rows that could not be read in one pass: all are counted, the first are kept."""

    count: int = 0
    first: list[Rejection] = field(default_factory=list)
    most: int = field(default_factory=_KEPT.get)  # taken here: Arrow reports rows from threads of its own

    def add(self, rejection: Rejection) -> None:
        """Counts a row, and keeps it where it is one of the first (see `keeping`)."""
        self.count += 1
        if len(self.first) < self.most:
            self.first.append(rejection)


class NoRows(HeadraceError):
    """A source that is well-formed, and has no rows."""


@dataclass(frozen=True)
class Opened:
    """One source, ready to be streamed: as often as wanted, each time the same rows in the same order.

    A source that cannot promise that (a query whose rows come in any order) is read to a local file once, by the
    opener or when `batches` is first called, and streamed from there.
    """

    name: str  # for messages; no secrets
    schema: pa.Schema  # of the batches
    batches: Callable[[], Iterator[pa.RecordBatch]]  # bounded in size: about `ROWS` rows, fewer where rows are large
    text: bool  # every column is a string as in a text file, and types are inferred from all values
    notes: list[str] = field(default_factory=list)  # what a person should know
    left_out: dict[str, str] = field(default_factory=dict)  # column -> type, which a snapshot does not have
    rejected: Callable[[], Rejections] = Rejections  # of the pass that has just ended
    coerced: dict[str, dict[str, int]] = field(default_factory=dict)  # column -> what was changed -> values


@dataclass(frozen=True)
class SourceFile:
    """One file of a source, wherever it lies."""

    name: str  # path or URL, for messages and for its suffix; no secrets
    open: Callable[[], BinaryIO]  # its raw bytes, seekable, from the beginning at each call
    path: Path | None = None  # where it lies on this machine


# The third argument: no more than the first so many rows are looked at and given; None for all.
SourceOpener = Callable[[str, "DataSpec", int | None], Opened]
FileOpener = Callable[[SourceFile, "DataSpec", int | None], Opened]


def file_opener(format: str) -> FileOpener:
    """The function that opens a file of a format."""
    match format:
        case "csv" | "tsv":
            from headrace.components.ingest.csv_source import open_csv

            return open_csv
        case "parquet":
            from headrace.components.ingest.parquet_source import open_parquet

            return open_parquet
        case "jsonl":
            from headrace.components.ingest.jsonl_source import open_jsonl

            return open_jsonl
        case "avro":
            from headrace.components.ingest.sources.avro import open_avro

            return open_avro
        case "tfrecord":
            from headrace.components.ingest.sources.tfrecord import open_tfrecord

            return open_tfrecord
    raise HeadraceError(f"data.format: expected the format of a file. Received: {format}")


def source_opener(scheme: str, format: str | None) -> SourceOpener | None:
    """The function that opens a source that is no file; None where it is one, or several."""
    if format == "images":
        from headrace.components.ingest.sources.images import open_images

        return open_images
    match scheme:
        case "sqlite" | "postgresql":
            from headrace.components.ingest.sources.sql import open_sql

            return open_sql
        case "bigquery":
            from headrace.components.ingest.sources.bigquery import open_bigquery

            return open_bigquery
    return None


def list_files(source: str, scheme: str) -> list[SourceFile]:
    """The files that a path, a glob or a URL of files names, sorted by name.

    Raises:
        HeadraceError: there is none, or one is no regular file.
    """
    if scheme:
        from headrace.components.fingerprint.remote import remote_files

        return [SourceFile(file.url, file.open) for file in remote_files(source)]
    from headrace.components.fingerprint.files import source_files
    from headrace.components.fingerprint.url import local_path

    return [local_file(file) for file in source_files(local_path(source))]


def local_file(path: Path) -> SourceFile:
    """A file of this machine."""
    return SourceFile(str(path), lambda: path.open("rb"), path)
