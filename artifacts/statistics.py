"""The statistics of a snapshot: TFMD's `DatasetFeatureStatisticsList`, one dataset for each split.

    <statistics>/
        statistics.pb    datasets named train, eval and test, features in the snapshot's order; then those of slices
        manifest.json    details: the snapshot's digest, its columns with their types and roles, the slices, the weight

TFDV reads `statistics.pb` as it is. Snapshots know more types than TFMD: a boolean is an INT of 0 and 1, a
date an INT of days and a timestamp an INT of microseconds since 1970-01-01 (UTC); the column's `type` tells.
What the model treats as missing is missing here too: null, NaN, and the empty string.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_manifest, write_folder

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

FORMAT = "headrace/statistics"
VERSION = 1
FILE = "statistics.pb"

Role = Literal["feature", "label", "id", "leak"]


@dataclass(frozen=True)
class DescribedColumn:
    """A column of the snapshot. `role` says what it is to the model: only a `feature` may become an input."""

    name: str
    type: str  # as the snapshot names it: int64, float64, bool, string, date32, timestamp[us]
    role: Role = "feature"
    described: bool = True  # False: of a type that TFDV has no statistics for


@dataclass(frozen=True)
class Slice:
    """The rows of a split with one value in a column."""

    name: str  # the dataset's: `train/plan_basic`
    split: str
    column: str
    value: str | int  # a boolean is 0 or 1


@dataclass(frozen=True)
class Statistics:
    """The statistics of all splits of one snapshot."""

    proto: statistics_pb2.DatasetFeatureStatisticsList
    dataset: str  # digest of the snapshot that was described
    columns: list[DescribedColumn] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)  # those that have rows, split by split
    weight: str | None = None  # the column with the rows' weights, where statistics are weighted too

    def split(self, name: str) -> statistics_pb2.DatasetFeatureStatistics:
        """One split's statistics; a slice's by its name.

        Raises:
            ArtifactError: there is no such split.
        """
        for dataset in self.proto.datasets:
            if dataset.name == name:
                return dataset
        names = ", ".join(dataset.name for dataset in self.proto.datasets if "/" not in dataset.name)
        raise ArtifactError(f"expected one of the splits {names}. Received: {name}")


def write_statistics(path: Path | str, statistics: Statistics) -> None:
    """Writes statistics as a sealed folder; equal statistics give equal bytes."""
    details = {
        "dataset": statistics.dataset,
        "columns": [asdict(column) for column in statistics.columns],
        "slices": [asdict(slice) for slice in statistics.slices],
        "weight": statistics.weight,
    }
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        (folder / FILE).write_bytes(statistics.proto.SerializeToString(deterministic=True))


def read_statistics(path: Path | str) -> Statistics:
    """Reads statistics from their sealed folder.

    Raises:
        ArtifactError: not statistics, damaged, or of a newer format version.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_metadata.proto.v0 import statistics_pb2

    manifest = read_manifest(Path(path), FORMAT, VERSION)
    file = Path(path) / FILE
    try:
        proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes())
        columns = [DescribedColumn(**column) for column in manifest.details["columns"]]
        slices = [Slice(**slice) for slice in manifest.details.get("slices", ())]
        return Statistics(proto, manifest.details["dataset"], columns, slices, manifest.details.get("weight"))
    except FileNotFoundError:
        raise ArtifactError(f"{file}: expected serialized statistics. Received: no such file") from None
    except DecodeError as error:
        raise ArtifactError(f"{file}: expected serialized statistics. Received: damage ({error})") from None
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: expected details of dataset and columns. Received: damage ({error})") from None
