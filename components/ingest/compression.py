"""Compressed text files: told by their suffix, held against their first bytes, and read as a stream."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.opened import SourceFile

SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".xz": "xz"}
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
}


def bare_name(name: str) -> str:
    """A file's name without the suffix of its compression.

    >>> bare_name("data/rows.csv.gz")
    'data/rows.csv'
    """
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in SUFFIXES else name


def compression_of(name: str) -> str | None:
    """The compression that a file's name promises."""
    return SUFFIXES.get(PurePosixPath(name).suffix.lower())


def open_text(file: SourceFile) -> BinaryIO:
    """The bytes of a file's text, decompressed as its name says.

    Raises:
        HeadraceError: its content is not so compressed. Damage further on shows while reading: see `DAMAGE`.
    """
    raw = file.open()
    kind = compression_of(file.name)
    if kind is None:
        return raw
    start = raw.read(6)
    raw.seek(0)
    if start and not any(start.startswith(magic) for magic, name in MAGIC.items() if name == kind):
        raw.close()
        raise HeadraceError(f"{file.name}: expected {kind} data, as its name says. Received: other data; rename it")
    if kind == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
    if kind == "bzip2":
        return cast(BinaryIO, bz2.BZ2File(raw))
    if kind == "xz":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))


# What reading damaged or cut compressed data raises.
DAMAGE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, OSError)
