"""The objects of a bucket in their order, a page at a time.

https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import binascii
import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.emulator.refusals import Refusal
from headrace.emulator.storage import places

MOST = 5000  # on one page


@dataclass(frozen=True)
class Asked:
    """What a list has.

    Attributes:
        prefix: of the names.
        delimiter: names with one behind the prefix are told as their beginning up to it, once; empty for none.
        start, end: the first name, and the one behind the last; empty for all.
        trailing: whether names that end with their only delimiter are told as objects too.
    """

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    trailing: bool = False


@dataclass(frozen=True)
class Page:
    """Names of objects, the prefixes in place of others, and the token of the next page; empty for the last one."""

    names: list[str]
    prefixes: list[str]
    token: str


def page(root: Path, bucket: str, asked: Asked, size: int, token: str) -> Page:
    """One page.

    Args:
        root: of all buckets.
        bucket: which.
        asked: what it has.
        size: how many names and prefixes at most.
        token: as the page before gave it; empty for the first.

    Raises:
        Refusal: the token is no page's.
    """
    after = _decode(token) if token else ""
    names: list[str] = []
    prefixes: list[str] = []
    last = ""
    shallow = asked.delimiter == "/" and not asked.start and not asked.end
    for name in _merged(root, bucket, asked.prefix, max(asked.start, after), shallow):
        if asked.end and name >= asked.end:
            break
        beginning = _collapsed(name, asked)
        shown = beginning or name
        if name < asked.start or (after and shown <= after):
            continue
        if len(names) + len(prefixes) >= size and shown != last:
            return Page(names, prefixes, base64.urlsafe_b64encode(last.encode()).decode())
        if beginning and (not prefixes or prefixes[-1] != beginning):
            prefixes.append(beginning)
        if not beginning or (asked.trailing and name == beginning and not _is_folder(root, bucket, name)):
            names.append(name)
        last = shown
    return Page(names, prefixes, "")


def names(root: Path, bucket: str, prefix: str = "") -> Iterator[str]:
    """All names of objects with a prefix, in the order of their UTF-8 bytes."""
    return _merged(root, bucket, prefix, "", shallow=False)


def _decode(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise Refusal("INVALID_ARGUMENT", f"Invalid page token: {token!r:.80}") from None


def _collapsed(name: str, asked: Asked) -> str:
    """The beginning of a name up to the delimiter; empty where it has none."""
    if not asked.delimiter:
        return ""
    rest = name[len(asked.prefix) :]
    at = rest.find(asked.delimiter)
    return asked.prefix + rest[: at + len(asked.delimiter)] if at >= 0 else ""


def _is_folder(root: Path, bucket: str, name: str) -> bool:
    """Whether a name with a delimiter at its end is a folder of the walk, and no object."""
    return not places.odd_place(root, bucket, name).is_file()


def _merged(root: Path, bucket: str, prefix: str, start: str, shallow: bool) -> Iterator[str]:
    before = None
    for name in heapq.merge(_plain(root / bucket, prefix, start, shallow), _odd(root, bucket, prefix)):
        if name != before:
            yield name
        before = name


def _plain(folder: Path, prefix: str, start: str, shallow: bool) -> Iterator[str]:
    head = prefix.rpartition("/")[0]
    if not head:
        return _walk(str(folder), "", prefix, start, shallow)
    if not places.ordinary(head):
        return iter(())
    return _walk(str(folder.joinpath(*head.split("/"))), f"{head}/", prefix, start, shallow)


def _walk(folder: str, base: str, prefix: str, start: str, shallow: bool) -> Iterator[str]:
    """The names below a folder; where `shallow`, folders behind the prefix are told as `name/` if they have a file."""
    for name, is_folder in _entries(folder):
        full = base + name + ("/" if is_folder else "")
        inside = full.startswith(prefix)
        if full < start and not start.startswith(full):
            continue
        if not is_folder:
            if inside:
                yield full
        elif inside and shallow and full != prefix:
            if next(_walk(f"{folder}/{name}", full, "", "", False), None) is not None:
                yield full
        elif inside or prefix.startswith(full):
            yield from _walk(f"{folder}/{name}", full, prefix, start, shallow)


def _entries(folder: str) -> list[tuple[str, bool]]:
    """What lies in a folder, in the order of the objects' names; links to folders are not followed."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if (is_folder or entry.is_file()) and _is_text(entry.name):
                    found.append((entry.name, is_folder))
    except (FileNotFoundError, NotADirectoryError):
        return []  # removed meanwhile
    return sorted(found, key=lambda one: one[0] + "/" * one[1])


def _is_text(name: str) -> bool:
    """Whether a job gave a file a name that an object can have."""
    return not any("\ud800" <= letter <= "\udfff" or letter in "\r\n" for letter in name)


def _odd(root: Path, bucket: str, prefix: str) -> list[str]:
    top = root / places.NAMES / bucket
    found = []
    for folder, _, files in os.walk(top):
        parts = Path(folder).relative_to(top).parts
        found += [places.named((*parts, file)) for file in files]
    return sorted(name for name in found if name.startswith(prefix))
