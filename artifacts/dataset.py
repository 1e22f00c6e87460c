"""The dataset snapshot: an immutable, versioned table in three splits.

    <snapshot>/
        train/data.parquet  eval/data.parquet  test/data.parquet
        manifest.json       details: columns, rows, label, id, source, query

Column types are the few that every later step agrees on: `int64`, `float64`, `bool`, `string`, `date32` and
`timestamp[us]` (UTC); `binary` only for encoded images. Rows lie in row groups of a size that follows from the columns
alone, so that the same rows are the same bytes. The manifest's digest names the data version; a model's lineage names
that digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import Manifest, read_manifest, write_folder

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "headrace/dataset"
VERSION = 2  # 1 had neither rejected, coerced, watermark, extends nor newest
SPLITS = ("train", "eval", "test")


def names_its_row(distinct: int, values: int) -> bool:
    """Whether a text with so many distinct among so many values identifies its row, as an e-mail does."""
    return distinct > max(100, 0.5 * values)


@dataclass(frozen=True)
class Column:
    """One column of a snapshot: its name and its Arrow type by name (`int64`, `string`, ...)."""

    name: str
    type: str


@dataclass(frozen=True)
class DatasetInfo:
    """What a snapshot says of itself."""

    task: str  # classification | regression
    columns: list[Column]
    label: str
    rows: dict[str, int]  # split -> number of rows
    classes: list[str] | None = None  # of the label, sorted, for classification
    positive: str | None = None  # the class whose probability is *the* score, where there are two
    id: str | None = None
    leaks: list[str] = field(default_factory=list)  # columns that the label is computed from
    source: dict[str, Any] = field(default_factory=dict)  # uri, format, digest
    query: dict[str, Any] = field(default_factory=dict)  # how rows were read and split
    rejected: dict[str, Any] = field(default_factory=dict)  # rows: number left out; first: [{source, place, why}]
    coerced: dict[str, dict[str, int]] = field(default_factory=dict)  # column -> what was changed -> number of values
    watermark: dict[str, Any] | None = None  # column, newest: of incremental ingestion
    extends: str | None = None  # digest of the snapshot that this one was added to
    newest: str | None = None  # of the time column that splits or is the watermark: ISO 8601, UTC


def holds_pictures(info: DatasetInfo) -> bool:
    """Whether the rows are pictures, and their columns only tell of those."""
    return any(column.type == "binary" for column in info.columns)


class Dataset:
    """Reads a sealed snapshot. `Dataset.open` checks it; the tables are read when asked for."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = Path(path)
        self.manifest = manifest
        details = dict(manifest.details)
        details["columns"] = [Column(**column) for column in details["columns"]]
        self.info = DatasetInfo(**details)

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = True) -> Dataset:
        """Opens a snapshot; with `verify`, every file is checked against its hash.

        Raises:
            ArtifactError: not a snapshot, damaged, or of a newer format version.
        """
        return cls(Path(path), read_manifest(Path(path), FORMAT, VERSION, verify=verify))

    @property
    def digest(self) -> str:
        """The data version."""
        return self.manifest.digest

    def file(self, split: str) -> Path:
        """The Parquet file of one split."""
        if split not in SPLITS:
            raise ArtifactError(f"expected one of the splits {', '.join(SPLITS)}. Received: {split}")
        return self.path / split / "data.parquet"

    def table(self, split: str, columns: list[str] | None = None) -> pa.Table:
        """One split as an Arrow table of shape (rows, columns)."""
        import pyarrow.parquet as pq

        return pq.read_table(self.file(split), columns=columns)

    def batches(self, split: str, rows: int = 100_000, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """One split in record batches of at most `rows` rows, so that memory stays bounded."""
        import pyarrow.parquet as pq

        yield from pq.ParquetFile(self.file(split)).iter_batches(batch_size=rows, columns=columns)


@contextmanager
def write_dataset(path: Path | str) -> Iterator[tuple[dict[str, Path], dict[str, Any]]]:
    """Yields the Parquet file to write for each split, and the details to fill (`details.update(describe(info))`)."""
    details: dict[str, Any] = {}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        files = {split: folder / split / "data.parquet" for split in SPLITS}
        for file in files.values():
            file.parent.mkdir()
        yield files, details


def describe(info: DatasetInfo) -> dict[str, Any]:
    """The details that a snapshot's manifest carries."""
    return asdict(info)
