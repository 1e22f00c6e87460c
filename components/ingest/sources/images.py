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
| others | | of a CSV: its further columns, typed by their values, such as the camera or the thing that is shown |

Where `data.split` is by group of one of these, images with the same value are one group as well.

Every file is decoded once, on all cores or by Apache Beam, when the source is opened; then its bytes alone are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.fingerprint.images import ImageFile, Listing, list_images
from headrace.components.fingerprint.url import public
from headrace.components.ingest.infer import infer_column
from headrace.components.ingest.normalise import PICTURE
from headrace.components.ingest.opened import Opened, Rejections
from headrace.components.ingest.sources.near import groups, linked
from headrace.components.ingest.sources.scan import Seen, ahead, scan

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec
    from headrace.components.statistics.spec import BeamSpec

_BATCH_BYTES = 32 << 20
_BATCH_ROWS = 1_024
_SHOWN = 3  # examples in a note
_FACTS = {"width": pa.int64(), "height": pa.int64(), "format": pa.string(), "mode": pa.string(), "sha256": pa.string()}


def open_images(source: str, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens a folder with a folder of images for each class, or a CSV of paths and labels.

    With `rows`, no more than the first so many files are looked at and given.

    Raises:
        HeadraceError: there is no such folder, it has no images in it, or none of them can be read.
    """
    listing = list_images(source, data.images.path, data.label.name)
    files = listing.images[:rows]
    rejections = Rejections()
    seen = list(_scanned(files, rejections, data.images.beam if rows is None else None))
    if not seen:
        first = rejections.first[0]
        raise HeadraceError(
            f"{public(source)}: expected images that can be read. Received: none; {first.place}: {first.why}"
        )
    seen, grouped = group(seen, data.images.near, _keys(listing, seen, data, source))
    schema = pa.schema(
        [
            ("path", pa.string()),
            (data.label.name, pa.string()),
            pa.field("image", pa.binary(), metadata=PICTURE),
            *_FACTS.items(),
            ("phash", pa.string()),
            ("group", pa.string()),
        ]
    )
    taken = [name for name in listing.further if name in schema.names]
    further = _further(listing, seen, data, taken)
    notes = [*_notes(seen, grouped, data.images.smallest), *_left_aside(listing.others, taken)]
    return Opened(
        public(source),
        pa.schema([*schema, *further.schema]),
        lambda: _batches(seen, schema, further),
        text=False,
        notes=notes,
        left_out=dict.fromkeys(taken, "a name that ingestion gives"),
        rejected=lambda: rejections,
    )


def _scanned(files: list[ImageFile], rejections: Rejections, beam: BeamSpec | None) -> Iterator[Seen]:
    if beam is None:
        return scan(files, rejections)
    from headrace.components.ingest.sources.scan_beam import scan_by_beam

    return scan_by_beam(files, rejections, beam)


def _keys(listing: Listing, seen: list[Seen], data: DataSpec, source: str) -> list[str | None]:
    """What each image shares with others beside its looks, by the column that `data.split` groups by."""
    column = data.split.column
    if data.split.by != "group" or column is None or (column == "group" and column not in listing.further):
        return [None] * len(seen)
    if column not in listing.further:
        raise HeadraceError(
            f"{public(source)}: expected `group`, or a column of a CSV of images, as data.split.column. "
            f"Received: `{column}`; {nearest_column(column, ['group', *listing.further])}"
        )
    place = listing.further.index(column)
    return [one.file.cells[place] or None for one in seen]


def _further(listing: Listing, seen: list[Seen], data: DataSpec, taken: list[str]) -> pa.Table:
    """The further columns of a CSV, in the narrowest types that hold all their values."""
    columns: dict[str, pa.ChunkedArray] = {}
    for place, name in enumerate(listing.further):
        if name in taken:
            continue
        cells = (one.file.cells[place] for one in seen)
        texts = pa.chunked_array([pa.array([None if c in data.null_values else c or None for c in cells], pa.string())])
        columns[name] = texts if name in data.types else infer_column(texts, data.decimal)
    return pa.table(columns)


def group(seen: list[Seen], near: int, keys: Sequence[str | None] | None = None) -> tuple[list[Seen], list[list[Seen]]]:
    """Names each image's group, after its first member's content.

    Args:
        seen: the images.
        near: as `groups` takes it.
        keys: images with the same one are a group, however they look.

    Returns:
        the images with their groups' names, and those groups of images that look alike, with more than one.
    """
    hashes = np.array([one.decoded.phash for one in seen], dtype=np.uint64)
    small = np.stack([one.decoded.small.reshape(-1) for one in seen])
    alike = groups(hashes, small, near)
    firsts = alike if keys is None else linked(alike, keys)
    # Named by the least content, and not by the first file: so names do not change with the files' names.
    names: dict[int, str] = {}
    for one, first in zip(seen, firsts, strict=True):
        names[first] = min(names.get(first, one.decoded.sha256), one.decoded.sha256)
    named = [  # without the small pictures, which have done their work
        Seen(one.file, replace(one.decoded, small=small[0, :0]), names[first][:16])
        for one, first in zip(seen, firsts, strict=True)
    ]
    members: dict[int, list[Seen]] = {}
    for one, first in zip(named, alike, strict=True):
        members.setdefault(first, []).append(one)
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


def _left_aside(others: list[str], taken: list[str]) -> list[str]:
    notes = [f"`{name}` is left out: ingestion gives a column of this name itself" for name in taken]
    if others:
        notes.append(f"files that are no images by their names: {len(others):,}, such as {', '.join(others[:_SHOWN])}")
    return notes


def _batches(seen: list[Seen], schema: pa.Schema, further: pa.Table) -> Iterator[pa.RecordBatch]:
    """The images with their bytes, in batches of some 32 MiB.

    Raises:
        HeadraceError: a file is not what it was when it was looked at.
    """
    begin, contents, size = 0, list[bytes](), 0
    for end, (_, content) in enumerate(ahead(_unchanged, seen), start=1):
        contents.append(content)
        size += len(contents[-1])
        if size >= _BATCH_BYTES or len(contents) >= _BATCH_ROWS or end == len(seen):
            yield _batch(seen[begin:end], contents, schema, further[begin:end])
            begin, contents, size = end, [], 0


def _unchanged(one: Seen) -> bytes:
    try:
        with one.file.open() as stream:
            content = stream.read()
    except OSError as error:
        raise HeadraceError(f"{one.file.place}: expected an image. Received: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != one.decoded.sha256:
        raise HeadraceError(f"{one.file.place}: expected a file at rest. Received: one that changed while it was read")
    return content


def _batch(rows: list[Seen], contents: list[bytes], schema: pa.Schema, further: pa.Table) -> pa.RecordBatch:
    columns: list[list[object]] = [
        [one.file.path for one in rows],
        [one.file.label for one in rows],
        list(contents),
        *([getattr(one.decoded, name) for one in rows] for name in _FACTS),
        [f"{one.decoded.phash:016x}" for one in rows],
        [one.group for one in rows],
    ]
    arrays = [pa.array(values, one.type) for values, one in zip(columns, schema, strict=True)]
    arrays += [column.combine_chunks() for column in further.columns]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*schema, *further.schema]))
