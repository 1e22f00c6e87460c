"""Logged requests, described as the training data is: what serving sees."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.findings import DATASET, Finding, as_warnings
from headrace.artifacts.schema import SERVING
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.components.examine.validator import validate_statistics
from headrace.components.examine.words import findings

INSTANCE = "instance"  # a request may stand in a field of its own, beside its time and its prediction
_ROWS = 100_000
_BLOCK_BYTES = 16 << 20
_TYPES = {"timestamp[us]": pa.timestamp("us"), "date32": pa.date32(), "bool": pa.bool_(), "string": pa.string()}


@dataclass(frozen=True)
class Requests:
    """Logged requests, described."""

    statistics: statistics_pb2.DatasetFeatureStatistics
    absent: list[str]  # features of the training data that no request has: the model does not ask for them


def describe_requests(folder: Path, columns: list[DescribedColumn]) -> Requests:
    """The statistics of logged requests, batch by batch.

    Args:
        folder: with `.jsonl` or `.parquet` files, a request a row: the features by name, or in a field `instance`.
        columns: the snapshot's. What is no feature is not looked at.

    Raises:
        HeadraceError: there are no requests, or a value is of another type than the feature's.
    """
    wanted = [column for column in columns if column.role == "feature" and column.described]
    texts = {column.name for column in wanted if column.type == "string"}
    seen: set[str] = set()

    def batches() -> Iterator[pa.RecordBatch]:
        for file in request_files(folder):
            name = file.relative_to(folder).as_posix() if file != folder else file.name
            for fields, count in _read(file, name, texts):
                seen.update(fields)
                yield _as_snapshot(fields, count, wanted, name)

    first = next(rows := batches(), None)
    if first is None:
        raise HeadraceError("none in .jsonl or .parquet files")
    describe = importlib.import_module("headrace.components.examine.request_statistics").describe
    found = describe(chain([first], rows))
    absent = [column.name for column in wanted if column.name not in seen]
    kept = [feature for feature in found.features if feature.path.step[0] not in absent]
    del found.features[:]
    found.features.extend(kept)
    return Requests(found, absent)


def request_files(folder: Path) -> list[Path]:
    """The files of logged requests below a folder, sorted; a file alone is one."""
    return [folder] if folder.is_file() else sorted(f for f in folder.rglob("*") if f.suffix in (".jsonl", ".parquet"))


def unread(why: str, level: str) -> Finding:
    """That there was nothing to hold the training data against, where that was asked for."""
    todo = "Name a folder of logged requests as validate.requests, or leave it out until there are some"
    expected = "logged requests like the training data's rows"
    return Finding("skew", "error" if level == "error" else "warn", DATASET, expected, why, todo)


def find_in_requests(requests: Requests, statistics: Statistics, schema: schema_pb2.Schema) -> list[Finding]:
    """What departs from the schema in the logs, which have no label: warnings, as the training data may be right."""
    alone = statistics_pb2.DatasetFeatureStatisticsList(datasets=[requests.statistics])
    alone.datasets[0].name = ""
    others = {column.name for column in statistics.columns if column.role != "feature" or not column.described}
    others.update(requests.absent)
    serving = schema_pb2.Schema()
    serving.CopyFrom(schema)
    for feature in serving.feature:
        for comparator in ("drift_comparator", "skew_comparator"):
            feature.ClearField(comparator)
        if feature.name in others and SERVING not in feature.not_in_environment:
            feature.not_in_environment.append(SERVING)
    environment = SERVING if SERVING in serving.default_environment else None
    anomalies = validate_statistics(alone, serving, environment)
    for info in anomalies.anomaly_info.values():
        for reason in info.reason:
            reason.description = f"logged requests: {reason.description}"
    real = [name for name, info in anomalies.anomaly_info.items() if name not in others and info.reason]
    kept = anomalies_pb2.Anomalies()
    for name in real:
        kept.anomaly_info[name].CopyFrom(anomalies.anomaly_info[name])
    return as_warnings(findings(kept, schema))


def _read(file: Path, name: str, texts: set[str]) -> Iterator[tuple[dict[str, Any], int]]:
    """The fields of requests, by name, and their number, some 16 MiB at a time."""
    try:
        if file.suffix == ".parquet":
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS):
                yield _fields(batch), batch.num_rows
            return
        for block in _blocks(file):
            table = pj.read_json(io.BytesIO(block), pj.ReadOptions(block_size=len(block)), _as_texts(block, texts))
            for batch in table.combine_chunks().to_batches():
                yield _fields(batch), batch.num_rows
    except (pa.ArrowInvalid, ValueError, OSError) as error:
        raise HeadraceError(f"{name}, which is no log of requests: {error}") from None


def _blocks(file: Path) -> Iterator[bytes]:
    """A file of objects, one a line, in blocks of whole lines.

    Raises:
        ValueError: a line is no object. Arrow would die of a `null` that stands alone.
    """
    with file.open("rb") as stream:
        while lines := stream.readlines(_BLOCK_BYTES):
            objects = [line for line in lines if not line.isspace()]
            for line in objects:
                if not (line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}")):
                    raise ValueError(f"expected an object a line, not {line[:40].decode(errors='replace').strip()}")
            if objects:
                yield b"".join(objects)


def _as_texts(block: bytes, texts: set[str]) -> pj.ParseOptions:
    """What keeps Arrow from reading texts that look like dates as dates: the first request tells where they stand."""
    first = json.loads(block[: block.find(b"\n") if b"\n" in block else len(block)])
    inner = first.get(INSTANCE)
    fields = [(name, pa.string()) for name in (inner if isinstance(inner, dict) else first) if name in texts]
    schema = pa.schema([(INSTANCE, pa.struct(fields))] if isinstance(inner, dict) else fields)
    return pj.ParseOptions(explicit_schema=schema)


def _fields(batch: pa.RecordBatch) -> dict[str, Any]:
    fields: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
    if INSTANCE in fields and pa.types.is_struct(fields[INSTANCE].type):
        struct = fields[INSTANCE]
        return {field.name: child for field, child in zip(struct.type, struct.flatten(), strict=True)}
    return fields


def _as_snapshot(fields: dict[str, Any], rows: int, columns: list[DescribedColumn], name: str) -> pa.RecordBatch:
    arrays = [_cast(fields[c.name], c, name) if c.name in fields else pa.nulls(rows, _type(c)) for c in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def _type(column: DescribedColumn) -> Any:
    return _TYPES.get(column.type, pa.float64() if column.type == "float64" else pa.int64())


def _cast(values: Any, column: DescribedColumn, name: str) -> Any:
    try:
        return values.cast(_type(column))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise HeadraceError(f"{name} with `{column.name}` of another type than {column.type}: {error}") from None
