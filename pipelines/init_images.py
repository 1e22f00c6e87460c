"""`headrace init` of pictures: a look at a folder, or at a CSV that lists them, and a spec with what was seen."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from headrace.artifacts.csv_text import column_names, separator_of
from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.images import LISTS, SUFFIXES, ImageFile, Listing, list_images
from headrace.components.fingerprint.url import is_url, public
from headrace.components.gate.spec import default_gates
from headrace.components.ingest.opened import Rejections
from headrace.components.ingest.sources.scan import Seen, scan
from headrace.pipelines.image_task import IMAGES
from headrace.pipelines.spec_words import gate_words, model_name, quoted, source_name, source_path, spec_text_of

LABEL, PATH = "label", "path"
_LOOKED_AT = 200  # pictures that are decoded, evenly over all
_FIRST_LINES = 50
_FEW = 30  # pictures of a class, which may leave a split without any
_GROUPED = 0.2, 0.999  # a column with so many values for each picture holds together those that show the same thing


@dataclass(frozen=True)
class Look:
    """What the pictures show.

    Attributes:
        path: the CSV's column of paths; None for a folder.
        label: the column of the classes.
        listing: all pictures.
        seen: those that were decoded.
        unreadable: those of them that could not be: file and reason.
    """

    path: str | None
    label: str
    listing: Listing
    seen: list[Seen]
    unreadable: list[str]


def holds_images(source: Path) -> bool:
    """Whether a source is pictures: a folder, or a CSV with a column of their paths."""
    return source.is_dir() or path_column(source) is not None


def path_column(source: Path) -> str | None:
    """The column of a CSV whose first values all name pictures; None where there is none."""
    if source.suffix.lower() not in LISTS or not source.is_file():
        return None
    with source.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            rows = csv.reader(file, delimiter=separator_of(source))
            names = column_names(next(rows, []))
            first = list(itertools.islice(rows, _FIRST_LINES))
        except csv.Error:
            return None
    for place, name in enumerate(names):
        cells = [row[place].strip() for row in first if place < len(row)]
        if cells and all(PurePosixPath(cell).suffix.lower() in SUFFIXES for cell in cells):
            return name
    return None


def inspect_images(source: str, label: str | None) -> Look:
    """Lists the pictures, and decodes some.

    Raises:
        HeadraceError: there are none, or no such label.
    """
    path = None if is_url(source) else path_column(Path(source))
    label = label or LABEL
    listing = list_images(source, path or PATH, label)
    step = max(1, len(listing.images) // _LOOKED_AT)
    rejections = Rejections()
    seen = list(scan(listing.images[::step][:_LOOKED_AT], rejections))
    unreadable = [f"{one.place}: {one.why.removeprefix('expected an image. Received: ')}" for one in rejections.first]
    if not seen:
        raise HeadraceError(f"{public(source)}: expected images that can be read. Received: none; {unreadable[0]}")
    return Look(path, label, listing, seen, unreadable)


def image_spec_text(folder: Path, source: str, look: Look) -> str:
    """The spec as YAML, with what was seen in comments."""
    images = look.listing.images
    grouping = _grouping(look.listing)
    lines = [
        f"# Written by `headrace init` from {source_name(source)}: {len(images):,} pictures, of which "
        f"{len(look.seen):,} were looked at.",
        "# Check it with `headrace validate`, run it with `headrace run`.",
        f"name: {model_name(folder, source)}",
        f"task: {IMAGES}  # {_classes(images)}",
        "data:",
        f"  source: {quoted(source_path(folder, source))}",
        "  format: images",
        f"  label: {quoted(look.label)}",
        *([f"  images: {{path: {quoted(look.path)}}}"] if look.path not in (None, PATH) else []),
        *_rejects(look),
        f"  # Copies and near-duplicates always share a split{_by(grouping)}",
        f"  split: {{by: group, column: {quoted(grouping or 'group')}, eval: 0.15, test: 0.15}}",
        *[f"  #   {name}: {words}" for name, words in _further(look.listing)],
        *[f"  # Note: {note}" for note in _notes(look)],
        "train:",
        "  model: cnn",
        f"  # The pictures: {_sizes(look.seen)}. `size` is what the network sees: docs/images.md.",
        "evaluate:",
        "  gates:  # all must hold, or the model is not pushed",
        *[f"    - {gate_words(gate)}" for gate in default_gates("classification")],
    ]
    return spec_text_of(lines)


def _classes(images: Sequence[ImageFile]) -> str:
    counts = Counter(image.label for image in images if image.label is not None).most_common()
    shown = ", ".join(f"{name} ({count:,})" for name, count in counts[:8])
    return f"{len(counts)} classes: {shown}{', ...' if len(counts) > 8 else ''}"


def _rejects(look: Look) -> list[str]:
    """How many files may be unreadable: three times as many as the look suggests."""
    if not look.unreadable:
        return []
    looked = len(look.seen) + len(look.unreadable)
    most = max(10, round(3 * len(look.unreadable) / looked * len(look.listing.images)))
    return [f"  rejects: {{at_most: {most}}}  # files that cannot be read, such as {look.unreadable[0]}"]


def _grouping(listing: Listing) -> str | None:
    """The column that says which pictures show the same thing, if one looks like it."""
    for place, name in enumerate(listing.further):
        values = [image.cells[place] for image in listing.images]
        if all(values) and _GROUPED[0] <= len(set(values)) / len(values) <= _GROUPED[1]:
            return name
    return None


def _by(grouping: str | None) -> str:
    return f"; so do pictures with the same `{grouping}`, of which some have several." if grouping else "."


def _further(listing: Listing) -> list[tuple[str, str]]:
    """The further columns, of which some may be good for slices."""
    found = []
    for place, name in enumerate(listing.further):
        values = Counter(image.cells[place] for image in listing.images)
        shown = f": {', '.join(value or 'none' for value, _ in values.most_common(5))}" if len(values) <= 5 else ""
        found.append((name, f"{len(values):,} values{shown}"))
    return found


def _notes(look: Look) -> list[str]:
    counts = Counter(image.label for image in look.listing.images)
    notes = [f"{count:,} pictures have no `{look.label}`" for name, count in counts.items() if name is None]
    rare = [f"{name} ({count})" for name, count in counts.items() if name is not None and count < _FEW]
    if rare:
        notes.append(f"classes with few pictures, which every split needs: {', '.join(rare[:8])}")
    if others := look.listing.others:
        notes.append(f"{len(others):,} files are no pictures by their names, such as {others[0]}")
    return notes


def _sizes(seen: Sequence[Seen]) -> str:
    sizes = Counter((one.decoded.width, one.decoded.height) for one in seen)
    (width, height), most = sizes.most_common(1)[0]
    if most == len(seen):
        return f"{width} x {height} pixels"
    widths, heights = ([size[axis] for size in sizes] for axis in (0, 1))
    return f"{min(widths)} to {max(widths)} pixels wide, {min(heights)} to {max(heights)} high"
