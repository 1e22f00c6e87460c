"""A snapshot in parts, one for each value of a column: every row lies in one part, and no part is a copy of the whole.

<segments>/
    0000/train.parquet ...     the rows of one segment; the columns of the whole, the segment's own too
    segments.json              the fields of `Segments`
    manifest.json              details: column, dataset_digest

A part is no snapshot yet: what stands in the whole's manifest is added when a segment is taken out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json

FORMAT = "headrace/segments"
VERSION = 1
FILE = "segments.json"


@dataclass(frozen=True)
class Segment:
    """One part: the rows with one value, and what its model is called."""

    part: str  # its folder's name
    value: str  # of the column, as text
    model: str
    endpoint: str
    rows: dict[str, int]  # split -> number of rows

    @property
    def total(self) -> int:
        """The rows of all splits."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class LeftOut:
    """A value that gets no model, and why."""

    value: str
    rows: int
    why: str
    asked: bool = False  # it was asked for by name, so that it is missed


@dataclass(frozen=True)
class Segments:
    """All parts of a snapshot."""

    column: str
    dataset_digest: str  # of the whole
    segments: tuple[Segment, ...]
    left_out: tuple[LeftOut, ...] = ()
    without_value: int = 0  # rows that belong to no segment, because the column is empty there
    whole: dict[str, Any] = field(default_factory=dict)  # what the whole's manifest says of itself (`DatasetInfo`)

    def one(self, part: str) -> Segment:
        """The segment of a part.

        Raises:
            ArtifactError: there is no such part.
        """
        found = next((segment for segment in self.segments if segment.part == part), None)
        if found is None:
            raise ArtifactError(f"segments: expected a part from 0000 to {len(self.segments) - 1:04}. Received: {part}")
        return found


def part_file(path: Path | str, part: str, split: str) -> Path:
    """The Parquet file of one split of one part."""
    return Path(path) / part / f"{split}.parquet"


@contextmanager
def write_segments(path: Path | str) -> Iterator[tuple[Path, list[Segments]]]:
    """Yields the folder to write the parts' files in, and a list that takes what there is to say of them."""
    details: dict[str, Any] = {}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        said: list[Segments] = []
        yield folder, said
        [segments] = said
        write_json(folder / FILE, asdict(segments))
        details.update(column=segments.column, dataset_digest=segments.dataset_digest)


def read_segments(path: Path | str, *, verify: bool = False) -> Segments:
    """Opens a snapshot in parts. The parts' files are only checked with `verify`: each is when it is taken out.

    Raises:
        ArtifactError: not a snapshot in parts, damaged, or of a newer format version.
    """
    path = Path(path)
    read_manifest(path, FORMAT, VERSION, verify=verify)
    value = read_json(path / FILE)
    try:
        return Segments(
            **{
                **value,
                "segments": tuple(Segment(**one) for one in value["segments"]),
                "left_out": tuple(LeftOut(**one) for one in value["left_out"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path / FILE}: expected segments. Received: {error!r}") from None
