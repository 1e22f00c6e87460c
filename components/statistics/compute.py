"""The step as a whole: a snapshot in, its statistics out."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Dataset, DatasetInfo
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.statistics import DescribedColumn, Role, Statistics, write_statistics
from headrace.components.statistics import slices
from headrace.components.statistics.describe import Task
from headrace.components.statistics.encode import describable
from headrace.components.statistics.generate import generate
from headrace.components.statistics.spec import BeamSpec, StatisticsSpec


def compute_statistics(
    dataset: Path | str,
    output: Path | str,
    settings: StatisticsSpec | None = None,
    *,
    workers: int | None = None,
    uri: str | None = None,
) -> None:
    """Describes the three splits of a snapshot.

    The same snapshot and settings give the same bytes, whatever the number of workers, with Beam or without, and
    whenever it runs.

    Args:
        dataset: the snapshot's folder.
        output: where the statistics' folder goes.
        settings: weights, slices, and whether by Beam.
        workers: processes to share the columns among; by default as many as pay, at most two. Not for Beam.
        uri: the snapshot's folder as Beam's workers find it, such as `gs://...`; by default `dataset`.

    Raises:
        ArtifactError: the snapshot is damaged, or `output` is taken.
        HeadraceError: the settings name a column that is not there or not fit, or a row's weight is no weight.
    """
    settings = settings or StatisticsSpec()
    snapshot = Dataset.open(dataset)
    _check(settings, snapshot.info)
    task, omitted = task_of(snapshot, settings)
    if settings.beam is None:
        proto, task = generate(snapshot, task, settings.slices, settings.slice_values, workers)
    else:
        proto, task = _by_beam(snapshot, task, settings, settings.beam, uri)
    columns = [
        DescribedColumn(c.name, c.type, _role(c.name, snapshot.info), described=c.name not in omitted)
        for c in snapshot.info.columns
    ]
    for name in omitted:
        print(f"note: `{name}` is not described: TensorFlow Data Validation has no statistics for its type")
    found = slices.described_slices(task.slices, SPLITS, {described.name for described in proto.datasets})
    write_statistics(output, Statistics(proto, snapshot.digest, columns, found, settings.weight))


def task_of(snapshot: Dataset, settings: StatisticsSpec) -> tuple[Task, list[str]]:
    """What is described of a snapshot, and the names of the columns that cannot be."""
    # Only the types of a snapshot are promised to be there; the file's own schema has the last word.
    schema = pq.read_schema(snapshot.file("train"))
    names = [column.name for column in snapshot.info.columns]
    omitted = [name for name in names if not describable(schema.field(name).type)]
    task = Task([name for name in names if name not in omitted], snapshot.info.id, settings.weight)
    return task, omitted


def _by_beam(snapshot: Dataset, task: Task, settings: StatisticsSpec, beam: BeamSpec, uri: str | None) -> Any:
    from headrace.components.statistics.beam import generate_by_beam

    remote = uri is not None and urlsplit(uri).scheme not in ("", "file")
    return generate_by_beam(str(uri if remote else snapshot.path), task, settings.slices, settings.slice_values, beam)


def _check(settings: StatisticsSpec, info: DatasetInfo) -> None:
    """Refuses settings that name a column which is not there, or of a type that is not fit."""
    types = {column.name: column.type for column in info.columns}
    if settings.weight is not None and types.get(settings.weight) not in ("int64", "float64"):
        raise _unfit("weight", settings.weight, types, "a column of numbers")
    for name in settings.slices:
        if types.get(name) not in slices.TYPES:
            raise _unfit("slices", name, types, "columns of text, whole numbers or booleans")
    if settings.slices and info.id in settings.slices:
        raise HeadraceError(
            f"statistics.slices: expected columns with values that repeat. Received: the id, `{info.id}`"
        )


def _unfit(field: str, name: str, types: dict[str, str], expected: str) -> HeadraceError:
    received = f"`{name}`, which is {types[name]}" if name in types else f"`{name}`; {nearest_column(name, types)}"
    return HeadraceError(f"statistics.{field}: expected {expected}. Received: {received}")


def _role(name: str, info: DatasetInfo) -> Role:
    if name == info.label:
        return "label"
    if name == info.id:
        return "id"
    return "leak" if name in info.leaks else "feature"
