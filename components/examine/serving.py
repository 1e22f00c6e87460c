"""Logged requests, described as the training data is: what serving sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.findings import Finding, as_warnings
from headrace.artifacts.schema import SERVING
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.components.examine.words import findings
from headrace.components.statistics.encode import encode

INSTANCE = "instance"  # a request may stand in a field of its own, beside its time and its prediction
_ROWS = 100_000
_TYPES = {"timestamp[us]": pa.timestamp("us"), "date32": pa.date32(), "bool": pa.bool_(), "string": pa.string()}


def describe_requests(folder: Path, columns: list[DescribedColumn]) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics of logged requests, batch by batch.

    Args:
        folder: with `.jsonl` or `.parquet` files, a request a row: the features by name, or in a field `instance`.
        columns: the snapshot's. What is no feature is not looked at, and a request may lack a feature.

    Raises:
        HeadraceError: no such file, or a value of another type than the feature's.
    """
    wanted = [column for column in columns if column.role == "feature" and column.described]
    options = tfdv.StatsOptions()
    generators = stats_impl.get_generators(options, in_memory=True)
    partials = [generator.create_accumulator() for generator in generators]
    with np.errstate(all="ignore"):
        for file in request_files(folder):
            for batch in _read(file):
                encoded = encode(_as_snapshot(batch, wanted, file))
                partials = [g.add_input(p, encoded) for g, p in zip(generators, partials, strict=True)]
        return stats_impl.extract_statistics_output(partials, generators).datasets[0]


def request_files(folder: Path) -> list[Path]:
    """The files of logged requests below a folder, sorted."""
    files = [folder] if folder.is_file() else sorted(f for f in folder.rglob("*") if f.suffix in (".jsonl", ".parquet"))
    if not files:
        raise HeadraceError(f"{folder}: expected .jsonl or .parquet files of logged requests. Received: none")
    return files


def find_in_requests(
    requests: statistics_pb2.DatasetFeatureStatistics, statistics: Statistics, schema: schema_pb2.Schema
) -> list[Finding]:
    """What departs from the schema in the logs, which have no label: warnings, as the training data may be right."""
    alone = statistics_pb2.DatasetFeatureStatisticsList(datasets=[requests])
    alone.datasets[0].name = ""
    others = {column.name for column in statistics.columns if column.role != "feature" or not column.described}
    serving = schema_pb2.Schema()
    serving.CopyFrom(schema)
    for feature in serving.feature:
        for comparator in ("drift_comparator", "skew_comparator"):
            feature.ClearField(comparator)
        if feature.name in others and SERVING not in feature.not_in_environment:
            feature.not_in_environment.append(SERVING)
    environment = SERVING if SERVING in serving.default_environment else None
    anomalies = tfdv.validate_statistics(alone, serving, environment)
    for info in anomalies.anomaly_info.values():
        for reason in info.reason:
            reason.description = f"logged requests: {reason.description}"
    real = [name for name, info in anomalies.anomaly_info.items() if name not in others and info.reason]
    kept = anomalies_pb2.Anomalies()
    for name in real:
        kept.anomaly_info[name].CopyFrom(anomalies.anomaly_info[name])
    return as_warnings(findings(kept, schema))


def _read(file: Path) -> Iterator[pa.RecordBatch]:
    try:
        if file.suffix == ".parquet":
            yield from pq.ParquetFile(file).iter_batches(batch_size=_ROWS)
        elif file.stat().st_size:
            yield from pj.read_json(file).to_batches(max_chunksize=_ROWS)
    except (pa.ArrowInvalid, OSError) as error:
        raise HeadraceError(f"{file}: expected logged requests. Received: {error}") from None


def _as_snapshot(batch: pa.RecordBatch, columns: list[DescribedColumn], file: Path) -> pa.RecordBatch:
    fields: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
    if INSTANCE in fields and pa.types.is_struct(fields[INSTANCE].type):
        struct = fields[INSTANCE]
        fields = {field.name: child for field, child in zip(struct.type, struct.flatten(), strict=True)}
    arrays = [
        _cast(fields[c.name], c, file) if c.name in fields else pa.nulls(batch.num_rows, _type(c)) for c in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _type(column: DescribedColumn) -> Any:
    return _TYPES.get(column.type, pa.float64() if column.type == "float64" else pa.int64())


def _cast(values: Any, column: DescribedColumn, file: Path) -> Any:
    try:
        return values.cast(_type(column))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise HeadraceError(
            f"{file}: expected {column.type} in `{column.name}`, as in training. Received: {error}"
        ) from None
