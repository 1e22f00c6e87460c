"""Which images a source names: a folder with a folder for each class, or a CSV with a path and a label in each row."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from headrace.artifacts.csv_text import column_names, repeated, separator_of
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.fingerprint.files import source_files
from headrace.components.fingerprint.url import kind_of, local_path, public

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
LISTS = (".csv", ".tsv")


@dataclass(frozen=True)
class ImageFile:
    """An image that a source names."""

    path: str  # relative to the folder, or as the CSV has it: what identifies it
    label: str | None
    place: str  # for messages
    open: Callable[[], BinaryIO]
    version: str | None = None  # names the content where a store keeps something that does
    cells: tuple[str, ...] = ()  # of the listing's further columns


@dataclass(frozen=True)
class Listing:
    """All images that a source names, sorted by path in a folder, in the order of the rows in a CSV."""

    images: list[ImageFile]
    others: list[str]  # files in the folder that are no images by their names
    further: list[str] = field(default_factory=list)  # columns of the CSV beside path and label


def list_images(source: str, path_column: str = "path", label_column: str = "label", labelled: bool = True) -> Listing:
    """The images of a source.

    Args:
        source: a folder or a CSV (`.csv`, `.tsv`), on this machine or by URL.
        path_column: where the CSV has the path of each image, relative to the CSV.
        label_column: where the CSV has each image's class.
        labelled: images that are to be learned from. Others may lie beside the folders, and need no class in a CSV.

    Raises:
        HeadraceError: no such folder or CSV, no images in it, or images beside the folders of the classes.
    """
    if PurePosixPath(source.partition("?")[0]).suffix.lower() in LISTS:
        return _listed(source, path_column, label_column, labelled)
    found, others = [], []
    for path, open, version in _files_below(source):
        name = PurePosixPath(path)
        if name.suffix.lower() not in SUFFIXES:
            others.append(path)
            continue
        if len(name.parts) == 1 and labelled:
            raise HeadraceError(
                f"{public(source)}: expected a folder for each class, with its images in it. Received: {path} beside "
                "them; move it, or name a CSV with a path and a label in each row as data.source"
            )
        label = name.parts[0] if len(name.parts) > 1 else None
        found.append(ImageFile(path, label, f"{public(source)}/{path}", open, version))
    if not found:
        shown = f"{len(others):,} other files" if others else "no files"
        raise HeadraceError(f"{public(source)}: expected images ({', '.join(SUFFIXES)}). Received: {shown}")
    return Listing(sorted(found, key=lambda image: image.path), sorted(others))


def _files_below(source: str) -> Iterator[tuple[str, Callable[[], BinaryIO], str | None]]:
    """Every file below a folder but hidden ones: its path in it, what opens it, and its version."""
    if kind_of(source):
        from headrace.components.fingerprint.remote import remote_tree

        for path, file in remote_tree(source):
            if not any(part.startswith(".") for part in PurePosixPath(path).parts):
                yield path, file.read, file.version
        return
    folder = Path(local_path(source))
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no such folder"
        raise HeadraceError(f"{source}: expected a folder of images, or a CSV that lists them. Received: {what}")
    for below, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            there = Path(below, name)
            if not name.startswith(".") and there.is_file():
                yield there.relative_to(folder).as_posix(), partial(_open, there), None


def _listed(source: str, path_column: str, label_column: str, labelled: bool) -> Listing:
    """The images that a CSV lists; whether they are there shows when they are opened."""
    place, stream, opener = _list_file(source)
    with stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            rows = csv.reader(text, delimiter=separator_of(place), strict=True)
            names = column_names(next(rows, []))
            for name, key in ((path_column, "data.images.path"), (label_column, "data.label")):
                if name not in names and (labelled or name == path_column):
                    raise HeadraceError(
                        f"{place}: expected the column `{name}`, which {key} names. "
                        f"Received: {nearest_column(name, names)}"
                    )
            if twice := repeated(names):
                raise HeadraceError(f"{place}: expected each column name once. Received: {', '.join(twice)} twice")
            path_at, label_at = names.index(path_column), names.index(label_column) if label_column in names else None
            further = [name for name in names if name not in (path_column, label_column)]
            places = [names.index(name) for name in further]
            images = []
            for row in rows:
                if not row:
                    continue
                where = f"{place}, line {rows.line_num}"
                if len(row) != len(names) or not row[path_at].strip():
                    what = f"{len(row)} fields" if len(row) != len(names) else f"no `{path_column}`"
                    raise HeadraceError(f"{where}: expected {len(names)} fields with a path. Received: {what}")
                path = row[path_at].strip()
                cells = tuple(row[place].strip() for place in places)
                label = None if label_at is None else row[label_at].strip() or None
                images.append(ImageFile(path, label, where, partial(opener, path), cells=cells))
        except (csv.Error, UnicodeDecodeError) as error:
            raise HeadraceError(f"{place}: expected UTF-8 CSV text. Received: {error}") from None
    _refuse_twice(images, place)
    return Listing(images, [], further)


def _refuse_twice(images: list[ImageFile], place: str) -> None:
    seen: dict[str, str] = {}
    for image in images:
        if image.path in seen:
            raise HeadraceError(
                f"{image.place}: expected every image once. Received: {image.path!r} again, as in {seen[image.path]}"
            )
        seen[image.path] = image.place
    if not images:
        raise HeadraceError(f"{place}: expected rows below the header. Received: only a header")


def _list_file(source: str) -> tuple[str, BinaryIO, Callable[[str], BinaryIO]]:
    """A CSV's name, its content, and what opens a path in it."""
    if kind_of(source):
        from headrace.components.fingerprint.remote import remote_files

        file = remote_files(source)[0]
        return file.url, file.open(), file.beside
    path = source_files(local_path(source))[0]
    return str(path), path.open("rb"), partial(_open_beside, path.parent)


def _open_beside(folder: Path, name: str) -> BinaryIO:  # and no lambda: Beam sends it to its workers
    return _open(folder / name)


def _open(file: Path) -> BinaryIO:
    return file.open("rb")
