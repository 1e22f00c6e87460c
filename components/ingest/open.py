"""Opens what `data.source` names: one source or several, each a file, a glob, a URL, a database or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import kind_of
from headrace.components.ingest.compression import bare_name
from headrace.components.ingest.opened import Opened, SourceFile, file_opener, list_files, source_opener
from headrace.components.ingest.spec import DataSpec

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".avro": "avro",
    ".tfrecord": "tfrecord",
}
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
TEXT_FORMATS = ("csv", "tsv")
_COMPRESSIBLE = ("csv", "tsv", "jsonl", "tfrecord")


def open_sources(sources: Sequence[str], data: DataSpec, rows: int | None = None) -> list[Opened]:
    """Opens sources, in their order; the files of a glob in the order of their names.

    Args:
        sources: as they can be opened from here.
        data: their format, query and how texts are read.
        rows: a look at no more than the first so many rows, of the first file of each.

    Raises:
        HeadraceError: a source cannot be opened, or its format is not known.
    """
    opened: list[Opened] = []
    for source in sources:
        scheme = kind_of(source)
        opener = source_opener(scheme, data.format)
        if opener is not None:
            opened.append(opener(source, data, rows))
            continue
        files = list_files(source, scheme)
        for file in files:
            format_of(file.name, data)  # of all, before the first is read
        try:
            opened += [open_file(file, data, rows) for file in (files if rows is None else files[:1])]
        except (PermissionError, FileNotFoundError) as error:
            raise unreadable(error) from None
    return opened


def open_file(file: SourceFile, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens one file by its format."""
    return file_opener(format_of(file.name, data))(file, data, rows)


def first_text_file(sources: Sequence[str], data: DataSpec) -> SourceFile | None:
    """The first file of the first source, where it is CSV or TSV."""
    scheme = kind_of(sources[0])
    if source_opener(scheme, data.format) is not None:
        return None
    file = list_files(sources[0], scheme)[0]
    return file if format_of(file.name, data) in TEXT_FORMATS else None


def format_of(name: str, data: DataSpec) -> str:
    """A file's format: what the spec says, else what its name ends in, without the suffix of its compression.

    Raises:
        HeadraceError: the name tells none.
    """
    if data.format is not None:
        return data.format
    bare = bare_name(name)
    format = FORMATS.get(PurePosixPath(bare).suffix.lower())
    if format is None or (bare != name and format not in _COMPRESSIBLE):
        suffix = "".join(PurePosixPath(name).suffixes[-2:]) if bare != name else PurePosixPath(name).suffix
        if suffix.lower() in _SPREADSHEETS:
            raise HeadraceError(
                f"{name}: expected a file named {', '.join(FORMATS)}. Received: a spreadsheet; save its sheet as CSV"
            )
        raise HeadraceError(
            f"{name}: expected a file named {', '.join(FORMATS)}, or data.format (--source-format) to say what it is. "
            f"Received: {suffix or 'no suffix'}"
        )
    return format


def unreadable(error: OSError) -> HeadraceError:
    """What is said of a file that is not there, or not for us."""
    reason = "permission denied" if isinstance(error, PermissionError) else "none; it was there a moment ago"
    return HeadraceError(f"{error.filename}: expected a file that can be read. Received: {reason}")
