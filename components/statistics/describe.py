"""Describes batches of rows: what is done with them is the same in process and under Beam.

A description of rows is a `Partial` for all of them and one for each slice. Descriptions of consecutive rows are merged
in the rows' order, in a tree whose shape follows from the number of rows and row groups alone (`Fold`), so that who
computed what, and in which order, does not change a bit of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.errors import HeadraceError
from headrace.components.statistics import basic
from headrace.components.statistics.encode import Column, plain
from headrace.components.statistics.slices import ALL, Slices, count, keys, split_rows
from headrace.components.statistics.top_values import ValueCounts

STRETCH_ROWS = 1_000_000  # at least so many rows, in whole row groups, are described in one go
_BATCH_ROWS = 100_000
_BATCH_CELLS = 4_000_000  # a wide table gets shorter batches


@dataclass(frozen=True)
class Task:
    """What is described of each row, and how: with the rows it decides the statistics."""

    columns: list[str]
    id: str | None = None  # its values are not counted: each is there once
    weight: str | None = None
    slices: Slices = field(default_factory=dict)

    @property
    def batch_rows(self) -> int:
        """Rows in a batch. The sketches' figures depend on it, so it may only depend on the table."""
        return max(1_000, min(_BATCH_ROWS, _BATCH_CELLS // max(len(self.columns), 1)))


@dataclass
class Partial:
    """What was seen so far of some rows."""

    basic: basic.Accumulator = field(default_factory=basic.accumulator)
    values: dict[str, ValueCounts] = field(default_factory=dict)


Partials = dict[str, Partial]  # by slice; ALL are all rows


def stretches(metadata: pq.FileMetaData) -> list[list[int]]:
    """The row groups of a file in runs of at least `STRETCH_ROWS` rows; a file without rows has one empty run."""
    runs: list[list[int]] = [[]]
    rows = 0
    for index in range(metadata.num_row_groups):
        if rows >= STRETCH_ROWS:
            runs.append([])
            rows = 0
        runs[-1].append(index)
        rows += metadata.row_group(index).num_rows
    return runs


def describe_stretch(
    source: pq.ParquetFile, groups: list[int], task: Task, columns: list[str] | None = None, batch_rows: int = 0
) -> Partials:
    """Describes the rows of some row groups.

    Args:
        source: the Parquet file.
        groups: consecutive row groups; none for a file without rows.
        task: what is described.
        columns: describe these of the task's columns only.
        batch_rows: instead of `task.batch_rows`.

    Raises:
        HeadraceError: a weight is missing, negative or not finite.
    """
    columns = task.columns if columns is None else columns
    wanted = list(dict.fromkeys([*columns, *([task.weight] if task.weight else []), *task.slices]))
    partials: Partials = {ALL: Partial()}
    with np.errstate(all="ignore"):  # infinities are described, not warned about
        for batch in _batches(source, groups, wanted, batch_rows or task.batch_rows):
            add_batch(partials, {name: plain(batch[name]) for name in wanted}, columns, task)
    return partials


def slice_counts(
    source: pq.ParquetFile, runs: Iterable[list[int]], columns: list[str], task: Task
) -> dict[str, ValueCounts]:
    """How often each value of the columns to slice by is there, in the rows of some runs of row groups."""
    counts: dict[str, ValueCounts] = {}
    for groups in runs:
        for batch in _batches(source, groups, columns, task.batch_rows):
            count(counts, {name: plain(batch[name]) for name in columns})
    return counts


def add_batch(partials: Partials, values: dict[str, Column], columns: list[str], task: Task) -> None:
    """Adds a batch of plain columns to the descriptions, of all rows and of each slice."""
    weights = _weights(values[task.weight], task.weight) if task.weight else None
    _add(partials[ALL], values, columns, weights, task.id)
    for key, part, its_weights in split_rows(values, columns, weights, task.slices):
        _add(partials.setdefault(key, Partial()), part, columns, its_weights, task.id)


def _add(
    partial: Partial, values: dict[str, Column], columns: list[str], weights: basic.Weights, id: str | None
) -> None:
    basic.add_rows(partial.basic, len(next(iter(values.values()))) if values else 0, weights)
    for name in columns:
        column, texts = values[name], None
        if name != id and _is_text(column.type) and column.null_count < len(column):
            present, its_weights = basic.present(column, weights)
            texts = partial.values.setdefault(name, ValueCounts()).add(present, its_weights)
        basic.add_column(partial.basic, name, column, weights, texts)


def _is_text(type: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type) or pa.types.is_large_binary(type))


def _weights(column: Column, name: str) -> basic.Weights:
    """The rows' weights.

    Raises:
        HeadraceError: they are not numbers that can be weights.
    """
    if column.null_count:
        raise HeadraceError(
            f"statistics.weight: expected a weight in every row. Received: {column.null_count:,} "
            f"of {len(column):,} rows without `{name}`"
        )
    weights = np.asarray(column).astype(np.float64, copy=False)
    wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
    if wrong.size:
        raise HeadraceError(
            f"statistics.weight: expected finite weights of 0 or more in `{name}`. Received: {wrong[0]:g}"
        )
    return weights


def _batches(source: pq.ParquetFile, groups: list[int], names: list[str], rows: int) -> Iterator[dict[str, Column]]:
    if not groups:
        empty = source.schema_arrow.empty_table()
        yield {name: empty[name].combine_chunks() for name in names}
        return
    for batch in source.iter_batches(batch_size=rows, row_groups=groups, columns=names, use_threads=False):
        yield {name: batch.column(batch.schema.get_field_index(name)) for name in names}


def merge(one: Partials, other: Partials) -> Partials:
    """The description of the rows of both, the first's before the other's. The first is changed."""
    for key, partial in other.items():
        if key not in one:
            one[key] = partial
            continue
        one[key].basic = basic.generator(None).merge_accumulators([one[key].basic, partial.basic])
        for name, counts in partial.values.items():
            one[key].values.setdefault(name, ValueCounts()).merge(counts)
    return one


def extract(split: str, partials: Partials, task: Task) -> list[statistics_pb2.DatasetFeatureStatistics]:
    """The statistics of a split, followed by those of its slices, which are named `<split>/<slice>`."""
    order = [ALL, *(key for key in keys(task.slices) if key in partials)]
    return [_extract(f"{split}/{key}" if key else split, partials[key], task) for key in order]


def _extract(name: str, partial: Partial, task: Task) -> statistics_pb2.DatasetFeatureStatistics:
    generator = basic.generator(task.weight)
    described = generator.extract_output(generator.compact(partial.basic))
    features = {feature.path.step[0]: feature for feature in described.features}
    for column, counts in partial.values.items():
        features[column].MergeFrom(counts.describe(column))
    result = statistics_pb2.DatasetFeatureStatistics(name=name, num_examples=described.num_examples)
    result.weighted_num_examples = described.weighted_num_examples
    result.features.extend(features[column] for column in task.columns if column in features)
    return result
