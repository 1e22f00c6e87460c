"""Rows of a folder of labelled images: one for each file, with its bytes as they are and what was seen in it.

| column | type | meaning |
| --- | --- | --- |
| `path` | string | the file, relative to the folder, or as the CSV has it: the row's id |
| the label's | string | its class |
| `image` | binary | the file's bytes; who decodes them applies the EXIF orientation |
| `width`, `height` | int64 | in pixels, after the EXIF orientation |
| `format`, `mode` | string | Pillow's names, such as JPEG and RGB |
| `sha256` | string | of the bytes |
| `phash` | string | 16 hexadecimal digits of the perceptual hash |
| `group` | string | the same for copies and near-duplicates: split by it, and none of them is in two splits |

Every file is decoded once, on all cores, when the source is opened; then its bytes alone are read.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.images import ImageFile, list_images
from headrace.components.fingerprint.url import public
from headrace.components.ingest.opened import Opened, Rejection, Rejections
from headrace.components.ingest.sources.decode import Decoded, decode
from headrace.components.ingest.sources.near import groups

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_BATCH_BYTES = 32 << 20
_BATCH_ROWS = 1_024
_WAITING = 32  # files that are being read or wait for it, so that memory stays bounded
_SHOWN = 3  # examples in a note
_FACTS = {"width": pa.int64(), "height": pa.int64(), "format": pa.string(), "mode": pa.string(), "sha256": pa.string()}


@dataclass(frozen=True)
class Seen:
    """An image file that could be read."""

    file: ImageFile
    decoded: Decoded
    group: str = ""


def open_images(source: str, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens a folder with a folder of images for each class, or a CSV of paths and labels.

    With `rows`, no more than the first so many files are looked at and given.

    Raises:
        HeadraceError: there is no such folder, it has no images in it, or none of them can be read.
    """
    listing = list_images(source, data.images.path, data.label.name)
    files = listing.images[:rows]
    rejections = Rejections()
    seen = list(scan(files, rejections))
    if not seen:
        first = rejections.first[0]
        raise HeadraceError(
            f"{public(source)}: expected images that can be read. Received: none; {first.place}: {first.why}"
        )
    seen, grouped = group(seen, data.images.near)
    notes = [*_notes(seen, grouped, data.images.smallest), *_left_aside(listing.others, listing.unread)]
    schema = pa.schema(
        [
            ("path", pa.string()),
            (data.label.name, pa.string()),
            pa.field("image", pa.binary(), metadata={"headrace": "image"}),
            *_FACTS.items(),
            ("phash", pa.string()),
            ("group", pa.string()),
        ]
    )
    return Opened(
        public(source),
        schema,
        lambda: _batches(seen, schema),
        text=False,
        notes=notes,
        left_out=dict.fromkeys(listing.unread, "not read"),
        rejected=lambda: rejections,
    )


def scan(files: Iterable[ImageFile], rejections: Rejections) -> Iterator[Seen]:
    """Decodes every file, in order; those that cannot be decoded go to the rejections."""

    def look(file: ImageFile) -> Seen | str:
        try:
            with file.open() as stream:
                content = stream.read()
            return Seen(file, decode(content))
        except FileNotFoundError:
            return "no such file"
        except (OSError, HeadraceError) as error:
            return f"a file that cannot be opened ({error})"
        except ValueError as error:
            return str(error)

    with warnings.catch_warnings():  # of what Pillow finds odd; what it cannot read is an error
        warnings.simplefilter("ignore")
        for file, found in _ahead(look, files):
            if isinstance(found, Seen):
                yield found
            else:
                rejections.add(Rejection(file.place, f"expected an image. Received: {found}", file.path[:80]))


def _ahead(
    work: Callable[[ImageFile], Seen | str], files: Iterable[ImageFile]
) -> Iterator[tuple[ImageFile, Seen | str]]:
    """Works on several files at a time, on all cores (Pillow lets go of the interpreter); answers come in order."""
    waiting: deque[tuple[ImageFile, Future[Seen | str]]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for file in files:
            waiting.append((file, pool.submit(work, file)))
            if len(waiting) >= _WAITING:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()


def group(seen: list[Seen], near: int) -> tuple[list[Seen], list[list[Seen]]]:
    """Names each image's group, after its first member's content, and gives the groups with more than one."""
    hashes = np.array([one.decoded.phash for one in seen], dtype=np.uint64)
    small = np.stack([one.decoded.small.reshape(-1) for one in seen])
    firsts = groups(hashes, small, near)
    # Named by the least content, and not by the first file: so names do not change with the files' names.
    names: dict[int, str] = {}
    for one, first in zip(seen, firsts, strict=True):
        names[first] = min(names.get(first, one.decoded.sha256), one.decoded.sha256)
    named = [  # without the small pictures, which have done their work
        Seen(one.file, replace(one.decoded, small=small[0, :0]), names[first][:16])
        for one, first in zip(seen, firsts, strict=True)
    ]
    members: dict[str, list[Seen]] = {}
    for one in named:
        members.setdefault(one.group, []).append(one)
    return named, [several for several in members.values() if len(several) > 1]


def _notes(seen: list[Seen], grouped: list[list[Seen]], smallest: int) -> list[str]:
    """What a person should know of the images, with counts and examples."""
    notes = []

    def say(what: str, examples: list[str]) -> None:
        if examples:
            notes.append(f"{what}: {len(examples):,}, such as {', '.join(examples[:_SHOWN])}")

    same, alike, torn = [], [], []
    for several in grouped:
        first: dict[str, str] = {}  # content -> the first file that has it
        for one in several:
            if one.decoded.sha256 in first:
                same.append(f"{one.file.path} of {first[one.decoded.sha256]}")
                continue
            if first:
                alike.append(f"{one.file.path} of {next(iter(first.values()))}")
            first[one.decoded.sha256] = one.file.path
        if len({one.file.label for one in several}) > 1:
            torn.append(" and ".join(f"{one.file.path} ({one.file.label})" for one in _by_label(several)[:2]))
    say("copies of other images", same)
    say("near-duplicates of other images", alike)
    say("groups of copies and near-duplicates with different labels", torn)
    sizes = [(one, min(one.decoded.width, one.decoded.height)) for one in seen]
    say(
        f"images with a side of fewer than {smallest} pixels", [one.file.path for one, size in sizes if size < smallest]
    )
    say("images turned by their EXIF orientation", [one.file.path for one in seen if one.decoded.orientation != 1])
    moving = [one.file.path for one in seen if one.decoded.frames > 1 and one.decoded.format != "MPO"]
    say("images that move, of which the first frame counts", moving)
    return notes


def _by_label(several: list[Seen]) -> list[Seen]:
    """One image of each label."""
    return list({one.file.label: one for one in reversed(several)}.values())[::-1]


def _left_aside(others: list[str], unread: list[str]) -> list[str]:
    notes = [f"`{name}` is left out: of a list of images, only path and label are read" for name in unread]
    if others:
        notes.append(f"files that are no images by their names: {len(others):,}, such as {', '.join(others[:_SHOWN])}")
    return notes


def _batches(seen: list[Seen], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The images with their bytes, in batches of some 32 MiB.

    Raises:
        HeadraceError: a file is not what it was when it was looked at.
    """
    rows: list[Seen] = []
    contents: list[bytes] = []
    size = 0
    for one in seen:
        content = _unchanged(one)
        rows.append(one)
        contents.append(content)
        size += len(content)
        if size >= _BATCH_BYTES or len(rows) >= _BATCH_ROWS:
            yield _batch(rows, contents, schema)
            rows, contents, size = [], [], 0
    if rows:
        yield _batch(rows, contents, schema)


def _unchanged(one: Seen) -> bytes:
    try:
        with one.file.open() as stream:
            content = stream.read()
    except OSError as error:
        raise HeadraceError(f"{one.file.place}: expected an image. Received: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != one.decoded.sha256:
        raise HeadraceError(f"{one.file.place}: expected a file at rest. Received: one that changed while it was read")
    return content


def _batch(rows: list[Seen], contents: list[bytes], schema: pa.Schema) -> pa.RecordBatch:
    columns: list[list[object]] = [
        [one.file.path for one in rows],
        [one.file.label for one in rows],
        list(contents),
        *([getattr(one.decoded, name) for one in rows] for name in _FACTS),
        [f"{one.decoded.phash:016x}" for one in rows],
        [one.group for one in rows],
    ]
    arrays = [pa.array(values, one.type) for values, one in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
