"""Describes a snapshot without Beam: stretch by stretch, the columns shared among processes.

Sharing columns and not rows makes the result independent of the number of processes: each column's sketches
see the same batches in the same order. Memory is bounded by a batch and the sketches.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.components.fold import fold
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

MOST_WORKERS = 2
_FEWEST_COLUMNS = 6  # with fewer, a process costs more than it brings (some 10 ms a column and split)

DatasetList: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def generate(
    snapshot: Dataset,
    task: Task,
    slice_by: list[str],
    slice_values: int,
    workers: int | None = None,
    batch_rows: int = 0,
) -> tuple[DatasetList, Task]:
    """The statistics of each split and of its slices, and the task with the slices that were chosen.

    Features keep the task's order. The options are TFDV's own defaults, so that the figures are the ones that
    `tfdv.generate_statistics_from_*` gives.

    Args:
        snapshot: what to describe.
        task: which columns.
        slice_by: columns for each value of which the rows are described by themselves.
        slice_values: at most so many values of each.
        workers: processes; by default as many as pay.
        batch_rows: rows described at a time; by default what the task says.

    Raises:
        HeadraceError: a weight is missing, negative or not finite.
    """
    files = {split: snapshot.file(split) for split in SPLITS}
    if slice_by:
        with pq.ParquetFile(files["train"]) as source:
            counts = slice_counts(source, stretches(source.metadata), slice_by, task)
        task = replace(task, slices=slices.choose(counts, slice_by, slice_values))
    parts = share(files["train"], task.columns, workers or _workers(len(task.columns)))
    described = _run(parts, files, task, batch_rows)
    return join(described, task), task


def _workers(columns: int) -> int:
    return 1 if columns < _FEWEST_COLUMNS else min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def share(file: Path, columns: list[str], workers: int) -> list[list[str]]:
    """Columns for each worker: the dearest first, each to the one with the least to do.

    What a column costs follows from its size before compression: reading, and how seldom its values repeat.
    """
    metadata = pq.read_metadata(file)
    size = dict.fromkeys(columns, 0)
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            if chunk.path_in_schema in size:
                size[chunk.path_in_schema] += chunk.total_uncompressed_size
    cost = {name: size[name] + 2 * metadata.num_rows + 100_000 for name in columns}
    parts: list[list[str]] = [[] for _ in range(max(1, min(workers, len(columns))))]
    load = [0] * len(parts)
    for name in sorted(columns, key=lambda name: -cost[name]):
        lightest = load.index(min(load))
        parts[lightest].append(name)
        load[lightest] += cost[name]
    return parts


def _run(parts: list[list[str]], files: Mapping[str, Path], task: Task, batch_rows: int) -> list[bytes]:
    """One part in this process, the others each in a fork of it (which has TFDV imported already)."""
    if len(parts) == 1:
        return [_describe(parts[0], files, task, batch_rows)]
    with ProcessPoolExecutor(len(parts) - 1, multiprocessing.get_context("fork")) as pool:
        others = [pool.submit(_describe, part, files, task, batch_rows) for part in parts[1:]]
        return [_describe(parts[0], files, task, batch_rows), *(other.result() for other in others)]


def _describe(columns: list[str], files: Mapping[str, Path], task: Task, batch_rows: int) -> bytes:
    """A serialized DatasetFeatureStatisticsList of some columns."""
    result = DatasetList()
    for split, file in files.items():
        result.datasets.extend(extract(split, fold(_stretches(file, columns, task, batch_rows), merge), task))
    return bytes(result.SerializeToString(deterministic=True))


def _stretches(file: Path, columns: list[str], task: Task, batch_rows: int) -> Iterator[Partials]:
    with pq.ParquetFile(file) as source:
        for groups in stretches(source.metadata):
            yield describe_stretch(source, groups, task, columns, batch_rows)


def join(parts: list[bytes], task: Task) -> DatasetList:
    """Lists that describe different columns of the same rows as one: splits first, then the slices of each."""
    lists = [DatasetList.FromString(part) for part in parts]
    result = DatasetList()
    names = [dataset.name for dataset in lists[0].datasets]
    for name in sorted(names, key=lambda name: "/" in name):  # the sort is stable
        pieces = [dataset for part in lists for dataset in part.datasets if dataset.name == name]
        features = {feature.path.step[0]: feature for piece in pieces for feature in piece.features}
        merged = result.datasets.add(
            name=name, num_examples=pieces[0].num_examples, weighted_num_examples=pieces[0].weighted_num_examples
        )
        merged.features.extend(features[column] for column in task.columns if column in features)
    return result
