"""Where an object of Cloud Storage lies on this machine: as a file of its name, below a folder for each bucket.

An object `gs://BUCKET/a/b.csv` is the file `BUCKET/a/b.csv`, so that jobs read and write objects as files. A name that
no file can have (`a//b`, `a/`, `../x`, a part of more than 255 bytes), and one whose place is taken because `a` and
`a/b` are both objects, lies below `.names/BUCKET/`, where the file's name says the object's.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

from headrace.emulator.refusals import Refusal

NAMES = ".names"  # no bucket's name begins with a dot
PARTIAL = ".partial"  # beside the buckets: what is being written
MOST_NAME = 1024  # bytes of an object's name
_PART = 255  # bytes of a file's name
_CHUNK = 240
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_FORBIDDEN = re.compile(r"[\r\n]")


def split(uri: str) -> tuple[str, str]:
    """The bucket and the object's name of `gs://BUCKET/NAME`; the name may be empty.

    Raises:
        Refusal: INVALID_ARGUMENT: it is none.
    """
    scheme, found, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if scheme != "gs" or not found or not bucket:
        raise Refusal("INVALID_ARGUMENT", f"expected gs://BUCKET/OBJECT. Received: {uri!r:.200}")
    check_bucket(bucket)
    if name:
        check_name(name)
    return bucket, name


def path(root: Path, uri: str) -> Path:
    """The file of an object, or the folder of a prefix, whether it is there or not.

    Args:
        root: of all buckets, `STATE/gcs`.
        uri: `gs://BUCKET`, `gs://BUCKET/NAME`, or `gs://BUCKET/FOLDER/`.

    Raises:
        Refusal: INVALID_ARGUMENT: the name is none of Cloud Storage's.
    """
    bucket, name = split(uri)
    folder = name.rstrip("/")
    if not folder:
        return root / bucket
    odd = odd_place(root, bucket, folder)
    if not ordinary(folder) or (folder == name and odd.is_file()):
        return odd
    return root.joinpath(bucket, *folder.split("/"))


def uri(root: Path, file: Path) -> str:
    """The other way: what a file or folder below `root` is called.

    Raises:
        ValueError: it lies elsewhere.
    """
    bucket, *parts = file.absolute().relative_to(root.absolute()).parts
    if bucket == NAMES and len(parts) > 1:
        return f"gs://{parts[0]}/{named(parts[1:])}"
    return "/".join((f"gs://{bucket}", *parts))


def place(root: Path, bucket: str, name: str) -> Path:
    """Where an object lies, or where it would be made."""
    odd = odd_place(root, bucket, name)
    if not ordinary(name) or odd.is_file():
        return odd
    plain = root.joinpath(bucket, *name.split("/"))
    return odd if _taken(root / bucket, plain) else plain


def odd_place(root: Path, bucket: str, name: str) -> Path:
    """The file of an object that cannot lie at its name."""
    text = base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    return root.joinpath(NAMES, bucket, *(f"+{chunk}" for chunk in chunks[:-1]), f"={chunks[-1]}")


def named(parts: tuple[str, ...] | list[str]) -> str:
    """The object's name of a file below `.names/BUCKET`."""
    text = "".join(part[1:] for part in parts)
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def ordinary(name: str) -> bool:
    """Whether a file can have an object's name."""
    return "\0" not in name and all(
        part not in ("", ".", "..") and len(part.encode()) <= _PART for part in name.split("/")
    )


def check_bucket(bucket: str) -> None:
    """https://cloud.google.com/storage/docs/buckets#naming

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    if not _BUCKET.fullmatch(bucket) or any(len(part) > 63 for part in bucket.split(".")):
        raise Refusal("INVALID_ARGUMENT", f"Invalid bucket name: '{bucket:.230}'")


def check_name(name: str) -> None:
    """https://cloud.google.com/storage/docs/objects#naming

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MOST_NAME:
        told = f"expected 1 to {MOST_NAME} bytes of UTF-8"
    elif _FORBIDDEN.search(name):
        told = "it has a carriage return or a line feed"
    elif name in (".", "..") or name.startswith(".well-known/acme-challenge/"):
        told = "this name is not allowed"
    else:
        return
    raise Refusal("INVALID_ARGUMENT", f"Invalid object name {name!r:.80}: {told}.")


def _taken(bucket: Path, plain: Path) -> bool:
    """Whether a folder has the file's place, or a file the place of one of its folders."""
    if plain.is_dir():
        return True
    for above in plain.parents:
        if above == bucket or above.is_dir():
            return False
        if above.is_file():
            return True
    return False
