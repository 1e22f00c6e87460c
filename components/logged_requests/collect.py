"""Copies files of logged requests into one folder, in bounded memory, and as far as they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.logs import LogFile, log_files
from headrace.components.ingest.compression import DAMAGE, compression_of, open_text
from headrace.components.ingest.opened import SourceFile

_BLOCK_BYTES = 1 << 20


def collect_requests(source: str, output: Path) -> int:
    """Copies what was logged to `output`, decompressed, each file under its path; returns the number of files.

    A server may be writing to a file at this very moment: a last line that is not whole is left out.

    Args:
        source: a folder, a file, a glob or a URL of `.jsonl` (compressed too) or `.parquet` files.
        output: a folder, which is made. It stays empty where nothing was logged yet.

    Raises:
        HeadraceError: there is no such source, or it cannot be read.
    """
    output.mkdir(parents=True, exist_ok=True)
    files = log_files(source)
    for file in files:
        target = output / file.path
        if compression_of(file.name):
            target = target.with_name(target.name + ".jsonl")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open_text(SourceFile(file.name, file.open)) as stream, target.open("wb") as copy:
                for block in _blocks(stream) if target.suffix == ".parquet" else _whole_lines(stream):
                    copy.write(block)
        except DAMAGE as error:
            raise HeadraceError(f"{file.name}: expected logged requests. Received: {_said(error)}") from None
    print(_summary(source, files))
    return len(files)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _whole_lines(stream: BinaryIO) -> Iterator[bytes]:
    """The stream up to its last line break; what follows only where it is a whole object."""
    rest = b""
    for block in _blocks(stream):
        lines, newline, rest = (rest + block).rpartition(b"\n")
        yield lines + newline
    try:
        msgspec.json.decode(rest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    yield rest + b"\n"


def _said(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or "data that ends too early"


def _summary(source: str, files: list[LogFile]) -> str:
    from headrace.components.fingerprint.url import public

    folders = len({PurePosixPath(file.path).parent for file in files})
    return f"{public(source)}: {len(files):,} files of logged requests" + (f" in {folders} folders" * (folders > 1))
