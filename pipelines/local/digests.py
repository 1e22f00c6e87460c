"""Digests of artifacts by content, and the key under which a task's outputs are cached."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KEY_VERSION = 1  # of the cache keys; another one makes all tasks run again
ABSENT = "absent"  # an artifact of which nothing was written: all it says is in its metadata


def artifact_digest(path: Path) -> str:
    """The digest of what lies at `path`: a sealed folder's own, a file's, or a tree's names and contents."""
    if path.is_dir():
        return sealed_digest(path) or _tree_digest(path)
    if path.is_file():
        with path.open("rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
    return ABSENT


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
    if path.is_dir():
        sizes = [os.lstat(file).st_size for file in _files(path)]
        return len(sizes), sum(sizes)
    return (1, path.stat().st_size) if path.exists() else (0, 0)


def unchanged(path: Path, digest: str, files: int, size: int) -> bool:
    """Whether an artifact is still there, as far as a look without reading its content tells."""
    try:
        if extent(path) != (files, size):
            return False
        sealed = sealed_digest(path) if path.is_dir() else None
    except OSError:
        return False
    return sealed is None or sealed == digest


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


def _tree_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(folder):
        name = os.path.relpath(file, folder)
        if os.path.islink(file):  # noqa: PTH114
            content = "link " + os.readlink(file)  # noqa: PTH115
        else:
            with open(file, "rb") as stream:  # noqa: PTH123
                content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))
    return "sha256:" + digest.hexdigest()


def _files(folder: Path) -> list[str]:
    """Every file and link below a folder, sorted by path."""
    found = []
    for base, folders, names in os.walk(folder):
        links = [d for d in folders if os.path.islink(os.path.join(base, d))]  # noqa: PTH114, PTH118
        found += [os.path.join(base, name) for name in (*names, *links)]  # noqa: PTH118
    return sorted(found)
