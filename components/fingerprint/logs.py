"""Which files of logged requests a source names: those of a folder, a file, or those that a glob matches."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.files import source_files
from headrace.components.fingerprint.url import kind_of, local_path

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.bz2", ".jsonl.zst", ".jsonl.xz", ".parquet")


@dataclass(frozen=True)
class LogFile:
    """A file of logged requests."""

    path: str  # relative to the folder; the bare name where a file or a glob was named
    name: str  # for messages; no secrets
    open: Callable[[], BinaryIO]
    version: str | None = None  # names the content where a store keeps something that does


def log_files(source: str) -> list[LogFile]:
    """The files of logged requests that a source names, sorted by path. A folder may have none yet.

    Args:
        source: a path, a glob or a URL. Of a folder all files count whose names end as `ENDINGS` says, but hidden ones.

    Raises:
        HeadraceError: there is no such folder or file, no permission, or no connection.
    """
    found = list(_remote(source) if kind_of(source) else _local(local_path(source)))
    by_path: dict[str, LogFile] = {}
    for file in found:
        if (other := by_path.setdefault(file.path, file)) is not file:
            raise HeadraceError(
                f"{file.name}: expected files of different names. Received: the name of {other.name}; name their folder"
            )
    return [by_path[path] for path in sorted(by_path)]


def is_log(path: str) -> bool:
    """Whether a file is one of logged requests, by its path below the folder.

    >>> is_log("2026/11/21.jsonl.gz"), is_log(".tmp/21.jsonl"), is_log("notes.txt")
    (True, False, False)
    """
    return path.endswith(ENDINGS) and not any(part.startswith(".") for part in PurePosixPath(path).parts)


def _local(source: str) -> Iterator[LogFile]:
    folder = Path(source)
    if glob.has_magic(source) or not folder.is_dir():
        for file in source_files(source):
            yield LogFile(file.name, str(file), partial(_open, file))
        return
    for below, _, names in os.walk(folder):
        for name in names:
            file = Path(below, name)
            path = file.relative_to(folder).as_posix()
            if is_log(path) and file.is_file():
                yield LogFile(path, str(file), partial(_open, file))


def _open(file: Path) -> BinaryIO:
    return file.open("rb")


def _remote(source: str) -> Iterator[LogFile]:
    from headrace.components.fingerprint.remote import remote_files, remote_tree

    if glob.has_magic(source) or source.partition("?")[0].endswith(ENDINGS):
        for file in remote_files(source):
            yield LogFile(file.name, file.url, file.open, file.version)
        return
    for path, file in remote_tree(source, may_be_empty=True):  # in a bucket there is no folder before its first file
        if is_log(path):
            yield LogFile(path, file.url, file.open, file.version)
