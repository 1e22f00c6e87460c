"""Digests of artifacts by content, and the key under which a task's outputs are cached."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY_VERSION = 1  # of the cache keys; another one makes all tasks run again
MUCH = 64 * 2**20  # bytes from which on threads pay
ABSENT = "absent"  # an artifact of which nothing was written: all it says is in its metadata


@dataclass(frozen=True)
class Contents:
    """What lies in a folder, read once: the hash of every file and the target of every link, by relative name."""

    hashes: Mapping[str, str]  # "sha256" in hex, "link TARGET", or "folder" for one in which there is nothing
    bytes: int

    @property
    def digest(self) -> str:
        """Of names and contents, in hex: the same for the same folder on any machine."""
        digest = hashlib.sha256()
        for name, content in sorted(self.hashes.items()):
            digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def below(self, place: str) -> Contents:
        """What lies below a place within the folder."""
        start = f"{place}/"
        return Contents({n.removeprefix(start): h for n, h in self.hashes.items() if n.startswith(start)}, 0)


def contents(folder: Path) -> Contents:
    """Reads everything below a folder. Big files are hashed side by side."""
    hashes, files = {}, {}
    total = 0
    for name, place in _entries(folder):
        if os.path.islink(place):  # noqa: PTH114
            hashes[name] = "link " + os.readlink(place)  # noqa: PTH115
            continue
        status = os.stat(place)  # noqa: PTH116
        if stat.S_ISREG(status.st_mode):
            files[name] = place
            total += status.st_size
        else:  # a pipe or a socket has no content, and opening one may wait for ever
            hashes[name] = "folder" if stat.S_ISDIR(status.st_mode) else "special"
    if total < MUCH or len(files) < 2:
        hashes.update((name, _file_hash(place)) for name, place in files.items())
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            hashes.update(zip(files, pool.map(_file_hash, files.values()), strict=True))
    return Contents(hashes, total)


def artifact_digest(path: Path) -> str:
    """The digest of what lies at `path`: a sealed folder's own, a file's, or a tree's names and contents."""
    if path.is_dir():
        return sealed_digest(path) or "sha256:" + _without_empty(contents(path)).digest
    return f"sha256:{_file_hash(str(path))}" if path.is_file() else ABSENT


def digest_within(found: Contents, folder: Path, place: str) -> str:
    """The same for a place within a folder of which the contents are known."""
    if place in found.hashes and not (folder / place).is_dir():
        return f"sha256:{found.hashes[place]}"
    if (folder / place).is_dir():
        return sealed_digest(folder / place) or "sha256:" + _without_empty(found.below(place)).digest
    return ABSENT


def _without_empty(found: Contents) -> Contents:
    return Contents({name: content for name, content in found.hashes.items() if content != "folder"}, found.bytes)


def sealed_digest(folder: Path) -> str | None:
    """The digest in the manifest of one of our sealed folders; None for any other folder."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        if str(manifest["format"]).startswith("headrace/"):
            return str(manifest["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def extent(path: Path) -> tuple[int, int]:
    """(number of files, bytes in them) at `path`: what a look without reading tells."""
    files, size, _ = look(path)
    return files, size


def look(path: Path) -> tuple[int, int, int]:
    """(number of files, bytes in them, latest change in ns): enough to notice that somebody has written there."""
    if not path.is_dir():
        status = path.stat() if path.exists() else None
        return (1, status.st_size, status.st_mtime_ns) if status else (0, 0, 0)
    files = size = latest = 0
    for _, place in _entries(path):
        status = os.lstat(place)
        if not stat.S_ISDIR(status.st_mode):
            files, size, latest = files + 1, size + status.st_size, max(latest, status.st_mtime_ns)
    return files, size, latest


def cache_key(
    *,
    environment: str,
    command: Sequence[str],
    args: Sequence[str],
    env: Mapping[str, str],
    code: str,
    parameters: Mapping[str, Any],
    artifacts: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]],
    outputs: Sequence[str],
) -> str:
    """What decides a task's outputs, in one hash. The paths of artifacts, times and image tags are no part of it.

    Args:
        environment: digest of the environment that stands in for the image.
        code: digest of the source and everything of ours that it imports.
        artifacts: for each input, the (digest, metadata) of each artifact.
        outputs: names of the output parameters and artifacts, with their types.
    """
    inputs = {name: [[digest, metadata] for digest, metadata in items] for name, items in artifacts.items()}
    covered = [
        KEY_VERSION,
        environment,
        list(command),
        list(args),
        sorted(env.items()),
        code,
        parameters,
        inputs,
    ]
    covered.append(sorted(outputs))
    text = json.dumps(covered, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def text_digest(value: Any) -> str:
    """The digest of a value as JSON."""
    return "sha256:" + hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _file_hash(place: str) -> str:
    with open(place, "rb") as stream:  # noqa: PTH123
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _entries(folder: Path) -> list[tuple[str, str]]:
    """(name, place) of every file, link and empty folder below a folder."""
    found = []
    base = str(folder)
    for here, folders, names in os.walk(base):
        links = [d for d in folders if os.path.islink(os.path.join(here, d))]  # noqa: PTH114, PTH118
        found += [os.path.join(here, name) for name in (*names, *links)]  # noqa: PTH118
        if not folders and not names and here != base:
            found.append(here)
    return [(os.path.relpath(place, base), place) for place in found]
