"""Logged requests, described as the training data is: what serving sees."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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
    unfit: dict[str, str]  # features of another type than in the training data, which are not described, and where


def describe_requests(folder: Path, columns: list[DescribedColumn]) -> Requests:
    """The statistics of logged requests, batch by batch.

    Args:
        folder: with `.jsonl` or `.parquet` files, a request a row: the features by name, or in a field `instance`.
        columns: the snapshot's. What is no feature is not looked at.

    Raises:
        HeadraceError: there are no requests, or a file is no log of them.
    """
    seen = _Seen([column for column in columns if column.role == "feature" and column.described])

    def batches() -> Iterator[pa.RecordBatch]:
        for file in request_files(folder):
            name = file.relative_to(folder).as_posix() if file != folder else file.name
            for fields, count in _read(file, name, seen.columns):
                yield seen.as_snapshot(fields, count, name)

    first = next(rows := batches(), None)
    if first is None:
        raise HeadraceError("none in .jsonl or .parquet files")
    describe = importlib.import_module("headrace.components.examine.request_statistics").describe
    found = describe(chain([first], rows))
    absent = [column.name for column in seen.columns if column.name not in seen.present]
    whole = {column.name for column in seen.columns if column.type == "int64"} - seen.fractions
    kept = [feature for feature in found.features if feature.path.step[0] not in {*absent, *seen.unfit}]
    for feature in kept:
        if feature.path.step[0] in whole:
            feature.type = feature.INT
    del found.features[:]
    found.features.extend(kept)
    return Requests(found, absent, seen.unfit)


@dataclass
class _Seen:
    """What was met in requests so far.

    Attributes:
        columns: the features of the training data.
        present: those that a request has.
        fractions: those of whole numbers in training that have others here.
        unfit: those with a value of another type, and where.
    """

    columns: list[DescribedColumn]
    present: set[str] = field(default_factory=set)
    fractions: set[str] = field(default_factory=set)
    unfit: dict[str, str] = field(default_factory=dict)

    def as_snapshot(self, fields: dict[str, Any], rows: int, name: str) -> pa.RecordBatch:
        """Some requests with the columns and the types of the training data; whole numbers as any others."""
        self.present.update(fields)
        arrays = [self._cast(fields.get(column.name), column, rows, name) for column in self.columns]
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self.columns])

    def _cast(self, values: Any, column: DescribedColumn, rows: int, name: str) -> Any:
        # A number is a number to the server, and all batches of a column must be of one type: no batch knows the next.
        kind = _TYPES.get(column.type, pa.float64())
        if values is None or column.name in self.unfit:
            return pa.nulls(rows, kind)
        try:
            cast = values.cast(kind, safe=kind != pa.float64())  # of 2^53 + 1, the last digit does not matter here
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            self.unfit[column.name] = f"{name} with `{column.name}` of another type than {column.type}: {error}"
            return pa.nulls(rows, kind)
        if column.type == "int64" and pc.any(pc.not_equal(cast, pc.trunc(cast))).as_py():
            self.fractions.add(column.name)
        return cast


def request_files(folder: Path) -> list[Path]:
    """The files of logged requests below a folder, sorted; a file alone is one."""
    return [folder] if folder.is_file() else sorted(f for f in folder.rglob("*") if f.suffix in (".jsonl", ".parquet"))


def unread(why: str, level: str) -> Finding:
    """That there was nothing to hold the training data against, where that was asked for."""
    todo = "Name a folder of logged requests as validate.requests, or leave it out until there are some"
    expected = "logged requests like the training data's rows"
    return Finding("skew", "error" if level == "error" else "warn", DATASET, expected, why, todo)


def find_unfit(requests: Requests, level: str, dropped: Collection[str]) -> list[Finding]:
    """The features that could not be held against the training data for what they are in requests."""
    expected = "values of the training data's type in the logged requests"
    todo = "Look at what sends such requests; until then this column is not held against any of them"
    return [
        Finding("skew", "error" if level == "error" else "warn", name, expected, why, todo, [name])
        for name, why in requests.unfit.items()
        if name not in dropped
    ]


def find_in_requests(requests: Requests, statistics: Statistics, schema: schema_pb2.Schema) -> list[Finding]:
    """What departs from the schema in the logs, which have no label: warnings, as the training data may be right."""
    alone = statistics_pb2.DatasetFeatureStatisticsList(datasets=[requests.statistics])
    alone.datasets[0].name = ""
    others = {column.name for column in statistics.columns if column.role != "feature" or not column.described}
    others.update(requests.absent, requests.unfit)
    serving = schema_pb2.Schema()
    serving.CopyFrom(schema)
    for feature in serving.feature:
        for comparator in ("drift_comparator", "skew_comparator"):
            feature.ClearField(comparator)
        if feature.name in others and SERVING not in feature.not_in_environment:
            feature.not_in_environment.append(SERVING)
    reals = {feature.name for feature in schema.feature if feature.type == schema_pb2.FLOAT}
    for described in alone.datasets[0].features:
        if described.type == described.INT and described.path.step[0] in reals:  # whole numbers pass, as in training
            described.type = described.FLOAT
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


def _read(file: Path, name: str, columns: list[DescribedColumn]) -> Iterator[tuple[dict[str, Any], int]]:
    """The fields of requests, by name, and their number, some 16 MiB at a time."""
    try:
        if file.suffix == ".parquet":
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS):
                yield _fields(batch), batch.num_rows
            return
        for block in _blocks(file):
            for batch in _parsed(block, columns).combine_chunks().to_batches():
                yield _with_values(_fields(batch), block), batch.num_rows
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


def _parsed(block: bytes, columns: list[DescribedColumn]) -> pa.Table:
    """Arrow's table of a block; one value of another type, at which Arrow gives up, is no reason to."""
    texts = {column.name for column in columns if column.type == "string"}
    try:
        return _as_texts(block, texts, _nested(block))
    except pa.ArrowInvalid:
        block, mixed = _levelled(block, [column.name for column in columns], texts)
        return _as_texts(block, texts | mixed, False)


def _as_texts(block: bytes, texts: set[str], nested: bool) -> pa.Table:
    """What Arrow reads in a block; it is told what is a text, as it would read those that look like dates as dates."""
    fields = [(name, pa.string()) for name in sorted(texts)]
    schema = pa.schema([(INSTANCE, pa.struct(fields))] if nested else fields)
    options = pj.ReadOptions(block_size=len(block))
    return pj.read_json(io.BytesIO(block), options, pj.ParseOptions(explicit_schema=schema))


def _nested(block: bytes) -> bool:
    """Whether requests stand in a field of their own."""
    lines = (line for line in block.split(b"\n") if f'"{INSTANCE}"'.encode() in line)
    return any(isinstance(json.loads(line).get(INSTANCE), dict) for line in lines)


def _levelled(block: bytes, names: list[str], texts: set[str]) -> tuple[bytes, set[str]]:
    """A block that Arrow can read, and the columns that are texts in it: those with values of several types."""
    objects = [json.loads(line) for line in block.split(b"\n") if line]
    objects = [inner if isinstance(inner := row.get(INSTANCE), dict) else row for row in objects]
    rows = [{name: row[name] for name in names if row.get(name) is not None} for row in objects]
    kinds: dict[str, set[type]] = {name: {str} if name in texts else set() for name in names}
    for row in rows:
        for name, value in row.items():
            kinds[name].add(float if type(value) is int else type(value))
    mixed = {name for name, found in kinds.items() if len(found) > 1 or found & {list, dict}}
    for row in rows:
        row.update({n: json.dumps(row[n]) for n in mixed & row.keys() if not isinstance(row[n], str)})
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows), mixed


def _with_values(fields: dict[str, Any], block: bytes) -> dict[str, Any]:
    """Without the texts that only we have named: no request has them."""
    return {
        name: values
        for name, values in fields.items()
        if values.null_count < len(values)
        or any(json.dumps(name, ensure_ascii=ascii).encode() in block for ascii in (True, False))
    }


def _fields(batch: pa.RecordBatch) -> dict[str, Any]:
    fields: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
    if INSTANCE in fields and pa.types.is_struct(fields[INSTANCE].type):
        struct = fields[INSTANCE]
        return {field.name: child for field, child in zip(struct.type, struct.flatten(), strict=True)}
    return fields
