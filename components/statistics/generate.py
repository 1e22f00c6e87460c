"""Runs TFDV's generators over a snapshot without Beam: batch by batch, the columns shared among processes.

Sharing columns and not rows makes the result independent of the number of processes: each column's sketches
see the same batches in the same order. Memory is bounded by a batch and the sketches.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.statistics.generators.stats_generator import CombinerStatsGenerator
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.components.statistics.encode import describable, encode
from headrace.components.statistics.top_values import TopValuesGenerator

MOST_WORKERS = 2
_BATCH_ROWS = 100_000
_BATCH_CELLS = 4_000_000  # a wide table gets shorter batches
_FEWEST_COLUMNS = 6  # with fewer, a process costs more than it brings (some 10 ms a column and split)


def generate(
    snapshot: Dataset, workers: int | None = None, batch_rows: int | None = None
) -> tuple[statistics_pb2.DatasetFeatureStatisticsList, list[str]]:
    """The statistics of each split, and the names of columns that cannot be described.

    Features keep the snapshot's order. The id's values are not counted: each is there once. The options are
    TFDV's own defaults, so that the figures are the ones that `tfdv.generate_statistics_from_*` gives.
    """
    types = {column.name: column.type for column in snapshot.info.columns}
    omitted = _omitted(snapshot, list(types))
    kept = [name for name in types if name not in omitted]
    rows = batch_rows or max(1_000, min(_BATCH_ROWS, _BATCH_CELLS // max(len(types), 1)))
    files = {split: str(snapshot.file(split)) for split in SPLITS}
    parts = _share(types, kept, workers or _workers(len(kept)))
    described = _run(parts, files, rows, snapshot.info.id)
    return _merge(described, kept), omitted


def _workers(columns: int) -> int:
    return 1 if columns < _FEWEST_COLUMNS else min(MOST_WORKERS, len(os.sched_getaffinity(0)))


def _omitted(snapshot: Dataset, names: list[str]) -> list[str]:
    # Only the six types of a snapshot are promised to be there; the file's own schema has the last word.
    schema = pq.read_schema(snapshot.file("train"))
    return [name for name in names if not describable(schema.field(name).type)]


def _share(types: dict[str, str], names: list[str], workers: int) -> list[list[str]]:
    """Columns for each worker: the dearest first, each to the one with the least to do."""
    cost = {"string": 1.1, "bool": 0.6, "date32": 0.7, "int64": 0.9}
    parts: list[list[str]] = [[] for _ in range(max(1, min(workers, len(names))))]
    load = [0.0] * len(parts)
    for name in sorted(names, key=lambda name: -cost.get(types[name], 1.0)):
        lightest = load.index(min(load))
        parts[lightest].append(name)
        load[lightest] += cost.get(types[name], 1.0)
    return parts


def _run(parts: list[list[str]], files: dict[str, str], rows: int, id: str | None) -> list[bytes]:
    """One part in this process, the others each in a fork of it (which has TFDV imported already)."""
    if len(parts) == 1:
        return [_describe(parts[0], files, rows, id)]
    with ProcessPoolExecutor(len(parts) - 1, multiprocessing.get_context("fork")) as pool:
        others = [pool.submit(_describe, part, files, rows, id) for part in parts[1:]]
        return [_describe(parts[0], files, rows, id), *(other.result() for other in others)]


def _describe(names: list[str], files: dict[str, str], rows: int, id: str | None) -> bytes:
    """A serialized DatasetFeatureStatisticsList of some columns, with a dataset per split."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    for split, file in files.items():
        generators = _generators(id)
        partials = [generator.create_accumulator() for generator in generators]
        with np.errstate(all="ignore"):  # infinities are described, not warned about
            for batch in _batches(file, names, rows):
                encoded = encode(batch)
                partials = [
                    generator.add_input(partial, encoded)
                    for generator, partial in zip(generators, partials, strict=True)
                ]
            described = stats_impl.extract_statistics_output(partials, generators).datasets[0]
        described.name = split
        result.datasets.append(described)
    return bytes(result.SerializeToString(deterministic=True))


def _generators(id: str | None) -> list[CombinerStatsGenerator]:
    chosen = [BasicStatsGenerator(), TopValuesGenerator(without=id)]
    options = tfdv.StatsOptions(generators=chosen, add_default_generators=False)
    return list(stats_impl.get_generators(options, in_memory=True))


def _batches(file: str, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    source = pq.ParquetFile(file)
    if source.metadata.num_rows == 0:
        empty = source.schema_arrow.empty_table().select(names)
        yield pa.RecordBatch.from_arrays([column.combine_chunks() for column in empty.columns], names=names)
        return
    for batch in source.iter_batches(batch_size=rows, columns=names, use_threads=False):
        yield _select(batch, names)


def _select(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    columns = [batch.column(batch.schema.get_field_index(name)) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _merge(parts: list[bytes], order: list[str]) -> statistics_pb2.DatasetFeatureStatisticsList:
    lists = [statistics_pb2.DatasetFeatureStatisticsList.FromString(part) for part in parts]
    result = statistics_pb2.DatasetFeatureStatisticsList()
    for split in SPLITS:
        pieces = [dataset for part in lists for dataset in part.datasets if dataset.name == split]
        features = {feature.path.step[0]: feature for piece in pieces for feature in piece.features}
        merged = result.datasets.add(name=split, num_examples=max(piece.num_examples for piece in pieces))
        merged.features.extend(features[name] for name in order)
    return result
