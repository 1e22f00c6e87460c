"""The digest of a source's content: the same files give the same digest, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.files import source_files

BLOCK_BYTES = 1 << 20


def fingerprint(source: str) -> str:
    """Digests the names and contents of the files that a source names, `sha256:<hex>`.

    A file counts by its content and its own name (which tells its format), below the folder that all files
    of the source share. Reading stops where a file changes meanwhile: no digest would describe it.

    Raises:
        HeadraceError: no such file, a folder, not readable, or changed while it was being read.
    """
    files = source_files(source)
    root = _common_folder(files)
    described = sorted([file.relative_to(root).as_posix(), _content_digest(file)] for file in files)
    return "sha256:" + hashlib.sha256(json.dumps(described).encode()).hexdigest()


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
