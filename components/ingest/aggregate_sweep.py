"""Sorts data rows and child rows by key, and goes over both at once: memory holds some keys' rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.components.ingest.aggregate_chunk import ID, NO_KEY, ROW, TIME, Chunk
from headrace.components.ingest.aggregate_plan import Plan
from headrace.components.ingest.merge import ROW_NUMBER, database, literal, numbered, quoted, write_rows
from headrace.components.ingest.opened import ROWS

if TYPE_CHECKING:
    import duckdb

_MOST = 1 << 18  # child rows of a chunk, or those of one key where it has more
_MOMENT = "moment"


@dataclass
class Found:
    """What was counted on the way."""

    rows: int = 0  # of the data
    without_key: int = 0
    alone: int = 0  # rows that have a key, and found no child row before their time


def sweep(plan: Plan, rows: Path, child: Path, output: Path, scratch: Path) -> Found:
    """Computes the aggregates of every data row.

    Args:
        plan: what is computed.
        rows: Parquet file of the data, every row with a time.
        child: Parquet file of the child rows: keys `k0`, `k1`, ..., `time` and `x0`, `x1`, ...; none of them missing
            but in the `x`.
        output: where the aggregates go: Parquet, a row for each of the data's, in their order.
        scratch: a folder for what does not fit into memory.
    """
    unsorted = output.with_suffix(".unsorted.parquet")
    found = Found()
    with database(scratch) as connection:
        _number_keys(connection, plan, rows)
        schema = pa.schema([pa.field(ROW, pa.int64()), *plan.fields])
        write_rows(unsorted, schema, _computed(connection, plan, rows, child, schema, found))
    with database(scratch) as connection:
        names = ", ".join(quoted(field.name) for field in plan.fields)
        result = connection.sql(f"SELECT {names} FROM read_parquet({literal(unsorted)}) ORDER BY {quoted(ROW)}")
        schema = pa.schema(plan.fields)
        write_rows(output, schema, (batch.cast(schema) for batch in result.to_arrow_reader(ROWS)))
    unsorted.unlink()
    return found


def _number_keys(connection: duckdb.DuckDBPyConnection, plan: Plan, rows: Path) -> None:
    """A table of the data's keys, each with a number."""
    names = [quoted(name) for name in plan.keys]
    keys = ", ".join(f"{name} AS k{position}" for position, name in enumerate(names))
    there = " AND ".join(f"{name} IS NOT NULL" for name in names)
    connection.execute(
        f"CREATE TABLE keys AS SELECT *, row_number() OVER () AS {ID} "
        f"FROM (SELECT DISTINCT {keys} FROM read_parquet({literal(rows)}) WHERE {there})"
    )


def _computed(
    connection: duckdb.DuckDBPyConnection, plan: Plan, rows: Path, child: Path, schema: pa.Schema, found: Found
) -> Iterator[pa.RecordBatch]:
    # A cursor each: a connection has one result at a time that is not all in memory.
    data = _Upto(_sorted_rows(connection.cursor(), plan, rows))
    for children, last in _whole_keys(_sorted_children(connection.cursor(), plan, child)):
        chunk = Chunk(plan, children)
        for batch in data.upto(last):
            ids, moments = batch.column(ID).to_numpy(), batch.column(_MOMENT).to_numpy()
            arrays, met = chunk.compute(ids, moments)
            found.rows += len(ids)
            found.without_key += int((ids == NO_KEY).sum())
            found.alone += int((~met & (ids != NO_KEY)).sum())
            yield pa.record_batch([batch.column(ROW), *arrays], schema=schema)


def _sorted_rows(connection: duckdb.DuckDBPyConnection, plan: Plan, rows: Path) -> pa.RecordBatchReader:
    if plan.moment is not None:
        moment = f"epoch_us(r.{quoted(plan.moment)}::TIMESTAMP)"
    else:
        assert plan.at is not None
        moment = str(int(plan.at.replace(tzinfo=UTC).timestamp()) * 1_000_000 + plan.at.microsecond)
    on = " AND ".join(f"k.k{position} = r.{quoted(name)}" for position, name in enumerate(plan.keys))
    return connection.sql(
        f"SELECT coalesce(k.{ID}, {NO_KEY})::BIGINT AS {ID}, ({moment})::BIGINT AS {_MOMENT}, "
        f"r.{quoted(ROW_NUMBER)}::BIGINT AS {ROW} FROM {numbered(rows)} r "
        f"LEFT JOIN keys k ON {on} ORDER BY ALL"
    ).to_arrow_reader(ROWS)


def _sorted_children(connection: duckdb.DuckDBPyConnection, plan: Plan, child: Path) -> pa.RecordBatchReader:
    keys = ", ".join(f"k{position}" for position in range(len(plan.keys)))
    drawn = ", ".join(f"x{position}" for position in range(len(plan.drawn)))
    return connection.sql(
        f"SELECT {ID}::BIGINT AS {ID}, {quoted(TIME)}, {drawn} "
        f"FROM read_parquet({literal(child)}, file_row_number = true) JOIN keys USING ({keys}) "
        f"ORDER BY {ID}, {quoted(TIME)}, file_row_number"  # of equal times the row that stands first is the first
    ).to_arrow_reader(ROWS)


def _whole_keys(reader: pa.RecordBatchReader) -> Iterator[tuple[pa.Table, int | None]]:
    """Child rows in tables that hold all rows of their keys, each with its last key; None for the last of all."""
    pending: list[pa.RecordBatch] = []
    count = 0
    for batch in reader:
        ids = batch.column(0).to_numpy()
        if not len(ids):
            continue
        cut = int(np.searchsorted(ids, ids[-1]))  # where the last key's rows begin in this batch
        is_new = bool(pending) and pending[-1].column(0)[-1].as_py() != ids[-1]
        if count + cut >= _MOST and (cut or is_new):
            whole = pa.Table.from_batches([*pending, batch.slice(0, cut)])
            yield whole, whole[ID][-1].as_py()
            pending, count = [batch.slice(cut)], len(ids) - cut
        else:
            pending.append(batch)
            count += len(ids)
    yield pa.Table.from_batches(pending, reader.schema), None


class _Upto:
    """Sorted rows, taken up to one key after another."""

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        self._batches = iter(reader)
        self._rest: pa.RecordBatch | None = None

    def upto(self, last: int | None) -> Iterator[pa.RecordBatch]:
        """The next rows whose key is not above this one; with None all that are left."""
        while (batch := self._rest if self._rest is not None else next(self._batches, None)) is not None:
            ids = batch.column(0).to_numpy()
            end = len(ids) if last is None else int(np.searchsorted(ids, last, side="right"))
            self._rest = batch.slice(end) if end < len(ids) else None
            if end:
                yield batch.slice(0, end)
            if self._rest is not None:
                return
