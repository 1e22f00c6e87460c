"""The digest of a source's content: the same content gives the same digest, wherever it lies.

| source | what is digested | what it costs |
| --- | --- | --- |
| files of this machine | names and contents | they are read once |
| files by URL | names, and what Google's storage or S3 keeps as checksum; else contents | a request; else a reading |
| SQLite, PostgreSQL | the columns and all rows of the query's result | one run of the query |
| BigQuery | the schema and time of change of each table that the query reads, and the query | requests without charge |
| images | paths, labels, further columns and contents | as for files |
| logged requests | paths and contents, as far as they are written | as for files |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.files import source_files
from headrace.components.fingerprint.url import kind_of, local_path

BLOCK_BYTES = 1 << 20
LOGS = "logs"  # the format by which a folder of logged requests is named


def fingerprint(
    source: str | Sequence[str], data: Mapping[str, Any] | None = None, aggregate: Mapping[str, Any] | None = None
) -> str:
    """Digests what a source, or a list of them, holds now, what is joined to it, and child tables; `sha256:<hex>`.

    A file counts by its content and its own name (which tells its format), below the folder that all files
    of the source share. Reading stops where a file changes meanwhile: no digest would describe it.

    Args:
        source: a path, a glob or a URL, or several.
        data: the `data` section as plain values, of which `format`, `query`, `label`, `images`, `bigquery` and `join`
            say what of the source is read; none for files alone.
        aggregate: the section `features.aggregate` as plain values: child tables with a `source` count too.

    Raises:
        HeadraceError: a source is not there, cannot be read, or changed while it was being read.
    """
    settings = dict(data or {})
    sources = [source] if isinstance(source, str) else list(source)
    parts = [_describe(one, settings) for one in sources]
    children = [child for child in (aggregate or {}).values() if child.get("source")]
    for other in [*(settings.get("join") or []), *children]:
        own = {key: other.get(key) for key in ("format", "query")}
        parts.append(_describe(other["source"], {**settings, **own}))
    # One source is described as it always was, so that its digest is the one of earlier versions.
    described = parts[0] if len(parts) == 1 else parts
    return "sha256:" + hashlib.sha256(json.dumps(described).encode()).hexdigest()


def _describe(source: str, settings: dict[str, Any]) -> Any:
    """What is digested of one source: plain values that name its content."""
    if settings.get("format") == "images":
        return _images(source, settings)
    if settings.get("format") == LOGS:
        return _logs(source)
    match kind_of(source):
        case "":
            return _local_files(local_path(source))
        case "sqlite":
            from headrace.components.ingest.sources.sqlite import content_digest as sqlite_digest

            return ["sqlite", sqlite_digest(source, settings.get("query"))]
        case "postgresql":
            from headrace.components.ingest.sources.postgres import content_digest as postgres_digest

            return ["postgresql", postgres_digest(source, settings.get("query"))]
        case "bigquery":
            from headrace.components.ingest.sources.bigquery_tables import content_digest as bigquery_digest

            return ["bigquery", bigquery_digest(source, settings)]
    return _remote_files(source)


def _local_files(source: str) -> list[list[str]]:
    files = source_files(source)
    root = _common_folder(files)
    return sorted([file.relative_to(root).as_posix(), _content_digest(file)] for file in files)


def _remote_files(source: str) -> list[list[str]]:
    from headrace.components.fingerprint.remote import remote_files

    files = remote_files(source)
    root = _common_folder([Path(file.path) for file in files])
    return sorted(
        [
            Path(file.path).relative_to(root).as_posix(),
            f"{file.version} {file.size}" if file.version else _stream_digest(file.open()),
        ]
        for file in files
    )


def _images(source: str, settings: dict[str, Any]) -> list[Any]:
    from headrace.components.fingerprint.images import list_images

    label = settings.get("label") or {}
    label = label if isinstance(label, str) else label.get("name", "label")
    path = (settings.get("images") or {}).get("path", "path")
    listing = list_images(source, path, label, settings.get("labelled", True))
    rows = [[one.path, one.label, one.version or _image_digest(one), *one.cells] for one in listing.images]
    return ["images", rows, *([listing.further] if listing.further else [])]


def _logs(source: str) -> list[Any]:
    """Paths and contents of logged requests. A file that a server is writing to counts as it is now."""
    from headrace.components.fingerprint.logs import log_files

    return [LOGS, [[one.path, one.version or _log_digest(one)] for one in log_files(source)]]


def _log_digest(file: Any) -> str:
    try:
        return _stream_digest(file.open())
    except OSError as error:
        raise HeadraceError(f"{file.name}: expected a readable file. Received: {error.strerror}") from None


def _image_digest(image: Any) -> str:
    """An image's content; one that cannot be opened counts as that: ingestion rejects it, with the reason."""
    try:
        stream = image.open()
    except (OSError, HeadraceError):
        return "cannot be opened"
    return _stream_digest(stream)


def _stream_digest(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    with stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _common_folder(files: list[Path]) -> Path:
    folder = files[0].parent
    while not all(file.is_relative_to(folder) for file in files):
        folder = folder.parent
    return folder


def _content_digest(file: Path) -> str:
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    try:
        before = file.stat()
        with file.open("rb", buffering=0) as stream:
            read = 0
            while read <= before.st_size and (count := stream.readinto(block)):  # a growing file has no end
                digest.update(block[:count])
                read += count
        after = file.stat()
    except PermissionError:
        raise HeadraceError(f"{file}: expected a readable file. Received: permission denied") from None
    except OSError as error:
        raise HeadraceError(f"{file}: expected a readable file. Received: {error.strerror}") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise HeadraceError(f"{file}: expected a file at rest. Received: one that changed while it was read")
    return digest.hexdigest()
