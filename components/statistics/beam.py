"""The same statistics under Apache Beam, for data beyond one machine.

Work is cut as in process: into stretches of row groups, which are described apart and merged in their order. So the
result is the same to the last bit, on one worker or a thousand.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any, TypeAlias

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.dataset import SPLITS
from headrace.components.beam import pipeline_options, runner, temporary
from headrace.components.fold import FAN, fold
from headrace.components.statistics import slices
from headrace.components.statistics.describe import (
    Partials,
    Task,
    describe_stretch,
    extract,
    merge,
    slice_counts,
    stretches,
)
from headrace.components.statistics.spec import BeamSpec
from headrace.components.statistics.top_values import ValueCounts

_SECTION = "statistics.beam"  # of the spec, for messages
Work = tuple[str, int, str, list[int]]  # split, position in it, file, row groups
Described = tuple[tuple[str, int], Partials]  # of (split, position in it)
DatasetList: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def generate_by_beam(
    dataset: str, task: Task, slice_by: list[str], slice_values: int, settings: BeamSpec
) -> tuple[DatasetList, Task]:
    """The statistics of each split of a snapshot and of its slices, and the task with the slices that were chosen.

    Args:
        dataset: the snapshot's folder, as Beam's file systems name it: a path, or `gs://...` and the like.
        task: which columns are described.
        slice_by: columns for each value of which the rows are described by themselves.
        slice_values: at most so many values of each.
        settings: runner and options.

    Raises:
        HeadraceError: an unknown option or one that is missing, or a weight that is none.
    """
    options = pipeline_options(settings, _SECTION)
    work = list(plan(dataset))
    place = f"{temporary(options, settings.runner, _SECTION)}/headrace-statistics-{uuid.uuid4().hex}"
    FileSystems.mkdirs(place)
    try:
        _run(settings, options, work, task, slice_by, slice_values, place)
        with FileSystems.open(f"{place}/task") as file:
            task = Task(**json.loads(file.read()))
        return _read(place), task
    finally:
        FileSystems.delete([place])


def _run(
    settings: BeamSpec,
    options: PipelineOptions,
    work: list[Work],
    task: Task,
    slice_by: list[str],
    slice_values: int,
    place: str,
) -> None:
    pipeline = beam.Pipeline(runner=runner(settings.runner), options=options)
    stretches_ = pipeline | "Stretches" >> beam.Create(work)
    if slice_by:
        chosen = (
            stretches_
            | "OfTrain" >> beam.Filter(lambda item: item[0] == "train")
            | "Spread values" >> beam.Reshuffle()
            | "CountValues" >> beam.Map(_count, task, slice_by)
            | "GatherCounts" >> beam.combiners.ToList()
            | "ChooseSlices" >> beam.Map(_choose, task, slice_by, slice_values)
        )
    else:
        chosen = pipeline | "Task" >> beam.Create([task])
    described = (
        stretches_
        | "Spread" >> beam.Reshuffle()
        | "Describe" >> beam.Map(_describe, beam.pvalue.AsSingleton(chosen))
        | MergeInOrder(max(index for _, index, _, _ in work) + 1)
    )
    _ = described | "Write" >> beam.Map(_write, beam.pvalue.AsSingleton(chosen), place)
    _ = chosen | "WriteTask" >> beam.Map(_write_task, place)
    pipeline.run().wait_until_finish()


class MergeInOrder(beam.PTransform):  # type: ignore[misc]
    """Merges the descriptions of each split in the rows' order, `FAN` at a time, as `Fold` does."""

    def __init__(self, stretches: int) -> None:
        super().__init__()
        self.levels = 1
        while FAN**self.levels < stretches:
            self.levels += 1

    def expand(self, described: Any) -> Any:
        """From ((split, stretch), description) to one (split, description) each."""
        for level in range(self.levels):
            described = (
                described
                | f"Neighbours{level}" >> beam.MapTuple(_with_neighbours)
                | f"Group{level}" >> beam.GroupByKey()
                | f"Merge{level}" >> beam.MapTuple(_merged)
            )
        return described


def plan(dataset: str) -> Iterator[Work]:
    """The stretches of all splits of a snapshot; of the files only their footers are read."""
    for split in SPLITS:
        file = FileSystems.join(dataset, split, "data.parquet")
        with FileSystems.open(file) as opened:
            for index, groups in enumerate(stretches(pq.ParquetFile(opened).metadata)):
                yield split, index, file, groups


def _describe(work: Work, task: Task) -> Described:
    split, index, file, groups = work
    with FileSystems.open(file) as opened:
        return (split, index), describe_stretch(pq.ParquetFile(opened), groups, task)


def _with_neighbours(key: tuple[str, int], described: Partials) -> tuple[tuple[str, int], tuple[int, Partials]]:
    split, index = key
    return (split, index // FAN), (index, described)


def _merged(key: tuple[str, int], items: Iterable[tuple[int, Partials]]) -> Described:
    ordered = sorted(items, key=lambda item: item[0])
    return key, fold((described for _, described in ordered), merge)


def _count(work: Work, task: Task, columns: list[str]) -> dict[str, ValueCounts]:
    _, _, file, groups = work
    with FileSystems.open(file) as opened:
        return slice_counts(pq.ParquetFile(opened), [groups], columns, task)


def _choose(counted: list[dict[str, ValueCounts]], task: Task, columns: list[str], most: int) -> Task:
    total: dict[str, ValueCounts] = {}
    for counts in counted:
        for name, values in counts.items():
            total.setdefault(name, ValueCounts()).merge(values)
    return replace(task, slices=slices.choose(total, columns, most))


def _write(described: Described, task: Task, place: str) -> None:
    (split, _), partials = described
    result = DatasetList(datasets=extract(split, partials, task))
    with FileSystems.create(f"{place}/{split}") as file:
        file.write(result.SerializeToString(deterministic=True))


def _write_task(task: Task, place: str) -> None:
    with FileSystems.create(f"{place}/task") as file:
        file.write(json.dumps(asdict(task)).encode())


def _read(place: str) -> DatasetList:
    """What the workers wrote as one list: splits first, then the slices of each."""
    lists = []
    for split in SPLITS:
        with FileSystems.open(f"{place}/{split}") as file:
            lists.append(DatasetList.FromString(file.read()))
    datasets = [dataset for described in lists for dataset in described.datasets]
    return DatasetList(datasets=sorted(datasets, key=lambda dataset: "/" in dataset.name))
