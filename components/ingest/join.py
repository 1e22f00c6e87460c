"""Joins: columns from other sources, found by key."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.fingerprint.url import public
from headrace.components.ingest.merge import (
    ROW_NUMBER,
    batch_rows,
    database,
    literal,
    numbered,
    opened_rows,
    quoted,
    write_rows,
)
from headrace.components.ingest.open import open_sources
from headrace.components.ingest.rows import Tally, typed_rows
from headrace.components.ingest.spec import DataSpec, Join
from headrace.components.ingest.table import Table, open_table

_FOUND = "\x1ffound"  # no column of a source can have such a name


def join_sources(table: Table, data: DataSpec, scratch: Path, tally: Tally) -> tuple[Table, list[str]]:
    """The table with the columns of every `data.join`, its rows in their order, and what a person should know.

    Raises:
        HeadraceError: a key is not there on both sides with one type, names several rows of the joined source, or both
            sides have another column of the same name.
    """
    notes: list[str] = []
    for number, join in enumerate(data.join):
        left, right = scratch / f"left-{number}.parquet", scratch / f"right-{number}.parquet"
        other = open_join(join, data)
        check_join(table.schema, other.schema, join)
        spool(table, left, tally)
        theirs = Tally(other.name, data.rejects.at_most)
        spool(other, right, theirs)
        notes += theirs.notes()
        _check_types(pq.read_schema(left), pq.read_schema(right), join)
        joined = scratch / f"joined-{number}.parquet"
        notes += _join(left, right, joined, join, scratch)
        left.unlink()
        right.unlink()
        rows = opened_rows(table.name, [joined], lambda batch, first_row: batch)
        # The types that were declared have been applied.
        table = open_table(table.name, [rows], data.model_copy(update={"types": {}}))
    return table, notes


def open_join(join: Join, data: DataSpec, rows: int | None = None) -> Table:
    """The joined source, or no more than its first so many rows."""
    settings = data.model_copy(update={"format": join.format, "query": join.query})
    return open_table(public(join.source), open_sources([join.source], settings, rows), settings)


def spool(table: Table, file: Path, tally: Tally) -> None:
    """Writes a table's rows with the types that all values have."""
    settled = table if table.settled else table.settle()
    write_rows(file, settled.schema, (kept.batch for kept in typed_rows(settled, tally)))


def check_join(left: pa.Schema, right: pa.Schema, join: Join) -> None:
    """Refuses keys that are not there on both sides, and other columns that are."""
    name = public(join.source)
    for key in join.on:
        for side, schema in (("data.source", left), (name, right)):
            if key not in schema.names:
                raise HeadraceError(
                    f"data.join: expected the key `{key}` in {side}. "
                    f"Received: no such column; {nearest_column(key, schema.names)}"
                )
    both = [column for column in right.names if column in left.names and column not in join.on]
    if both:
        raise HeadraceError(
            f"data.join: expected other columns than the keys on one side only. "
            f"Received: {', '.join(f'`{column}`' for column in both)} in data.source and in {name}; rename them"
        )


def _check_types(left: pa.Schema, right: pa.Schema, join: Join) -> None:
    for key in join.on:
        if left.field(key).type != right.field(key).type:
            raise HeadraceError(
                f"data.join: expected `{key}` of one type on both sides. Received: {left.field(key).type} in "
                f"data.source and {right.field(key).type} in {public(join.source)}; "
                f"set data.types, e.g. `{{{key}: string}}`"
            )


def _join(left: Path, right: Path, joined: Path, join: Join, scratch: Path) -> list[str]:
    keys = ", ".join(map(quoted, join.on))
    others = f"(SELECT *, true AS {quoted(_FOUND)} FROM read_parquet({literal(right)}))"
    schema = pq.read_schema(left)
    names = [*schema.names, *(name for name in pq.read_schema(right).names if name not in join.on)]
    full = pa.schema([*schema, *(field for field in pq.read_schema(right) if field.name not in join.on)])
    selected = ", ".join(f"{'l' if name in schema.names else 'r'}.{quoted(name)}" for name in names)
    condition = " AND ".join(f"l.{quoted(key)} = r.{quoted(key)}" for key in join.on)
    with database(scratch) as connection:
        twice = connection.execute(
            f"SELECT {keys} FROM read_parquet({literal(right)}) WHERE {_all_there(join)} "
            f"GROUP BY {keys} HAVING count(*) > 1 ORDER BY {keys} LIMIT 3"
        ).fetchall()
        if twice:
            shown = ", ".join(repr(one[0] if len(one) == 1 else one) for one in twice)
            raise HeadraceError(
                f"data.join: expected every {keys} once in {public(join.source)}. Received: {shown} more than once; "
                "a row would be there several times"
            )
        result = connection.sql(
            f"SELECT {selected}, r.{quoted(_FOUND)} FROM {numbered(left)} l "
            f"{join.how.upper()} JOIN {others} r ON {condition} "
            f"ORDER BY l.{quoted(ROW_NUMBER)}"
        )
        found = _Found(full)
        write_rows(joined, full, (found.count(batch) for batch in result.to_arrow_reader(batch_rows(full))))
    total = pq.read_metadata(left).num_rows
    if found.rows == total:
        return []
    what = "are left out" if join.how == "inner" else "have no values in its columns"
    return [f"{total - found.rows:,} of {total:,} rows find none by {keys} in {public(join.source)}, and {what}"]


def _all_there(join: Join) -> str:
    return " AND ".join(f"{quoted(key)} IS NOT NULL" for key in join.on)


class _Found:
    """Counts the rows that found one, and takes the mark away that says so."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema, self.rows = schema, 0

    def count(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        marks = batch.column(batch.num_columns - 1)
        self.rows += len(marks) - marks.null_count
        pairs = zip(batch.columns[:-1], self._schema, strict=True)
        return pa.record_batch([column.cast(field.type) for column, field in pairs], schema=self._schema)
