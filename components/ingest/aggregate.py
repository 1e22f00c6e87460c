"""Aggregates: columns made of the past rows of child tables, found by key.

A row of the data has a time of its own (`as_of`, or `at` for all rows); of the child rows with its key those count that
lie strictly before it. So neither the row itself nor anything of its future can be in its features, whatever the
order in which rows came, and whether they are learned from or scored.

Everything goes through files and DuckDB (`aggregate_sweep`), which keeps within a memory limit and spills beside them;
the sums themselves are ours (`windows`), because they have to be the same to the last bit on every machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import public
from headrace.components.ingest.aggregate_chunk import TIME
from headrace.components.ingest.aggregate_plan import Drawn, Plan, plan
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.aggregate_sweep import Found, sweep
from headrace.components.ingest.join import spool
from headrace.components.ingest.merge import write_rows
from headrace.components.ingest.open import open_sources
from headrace.components.ingest.opened import ROWS, Opened
from headrace.components.ingest.rows import Tally, typed_rows
from headrace.components.ingest.spec import DataSpec
from headrace.components.ingest.table import Table, open_table
from headrace.trainer.expressions.arrow import evaluate
from headrace.trainer.expressions.expression import parse

Aggregates = Mapping[str, Aggregate]
Batches = Callable[[], Iterator[pa.RecordBatch]]


def aggregate_sources(
    table: Table, data: DataSpec, aggregates: Aggregates, scratch: Path, tally: Tally
) -> tuple[Table, list[str]]:
    """The table with the columns of every aggregate, its rows in their order, and what a person should know.

    Raises:
        HeadraceError: a child table cannot be read, or a section does not fit the columns.
    """
    rows = scratch / "aggregated-rows.parquet"
    spool(table, rows, tally)
    notes: list[str] = []
    made: list[Path] = []
    taken: list[str] = []
    for name, aggregate in aggregates.items():
        if aggregate.source is None:
            schema, batches, child_tally = pq.read_schema(rows), _batches_of(rows), None
        else:
            child = open_child(aggregate, data)
            child = child if child.settled else child.settle()
            child_tally = Tally(child.name, data.rejects.at_most)
            schema, batches = child.schema, _typed(child, child_tally)
        steps = plan(name, aggregate, pq.read_schema(rows), schema, data.label, taken)
        made.append(scratch / f"aggregated-{len(made)}.parquet")
        notes += _aggregate(steps, rows, batches, made[-1], scratch)
        notes += child_tally.notes() if child_tally else []
        taken += [field.name for field in steps.fields]
    opened = _side_by_side(table.name, rows, made)
    # The types that were declared have been applied.
    return open_table(table.name, [opened], data.model_copy(update={"types": {}})), notes


def aggregate_tables(rows: pa.Table, children: Mapping[str, pa.Table], aggregates: Aggregates) -> pa.Table:
    """The rows with the columns of every aggregate: what ingestion does, for rows that are to be scored.

    Args:
        rows: of shape (rows, columns), with the key, and the time `as_of` where the section names one.
        children: the child tables, by the sections' names; a section without a source takes `rows`, if none is given.
        aggregates: the sections, as in the spec's `features.aggregate`.

    Returns:
        the same rows in the same order, with the new columns behind.

    Raises:
        HeadraceError: a child table is not given, or a section does not fit the columns.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-aggregate-") as folder:
        scratch = Path(folder)
        file = scratch / "rows.parquet"
        spool(_as_table("rows", rows, {}), file, Tally("rows", 0))
        for number, (name, aggregate) in enumerate(aggregates.items()):
            if name not in children and aggregate.source is not None:
                raise HeadraceError(f"expected the child table `{name}`. Received: {', '.join(children) or 'none'}")
            child = _as_table(name, children.get(name, rows), aggregate.types)
            tally = Tally(name, 0)
            steps = plan(name, aggregate, pq.read_schema(file), child.schema, None, rows.column_names)
            made = scratch / f"aggregated-{number}.parquet"
            _aggregate(steps, file, _typed(child, tally), made, scratch)
            for column in (found := pq.read_table(made)).column_names:
                rows = rows.append_column(column, found[column])
    return rows


def open_child(aggregate: Aggregate, data: DataSpec, rows: int | None = None) -> Table:
    """A section's child table, or no more than its first so many rows. Keys have the types that the data's have."""
    assert aggregate.source is not None
    keys = {theirs: data.types[ours] for ours, theirs in aggregate.on.items() if ours in data.types}
    settings = data.model_copy(
        update={"format": aggregate.format, "query": aggregate.query, "types": {**keys, **aggregate.types}}
    )
    return open_table(public(aggregate.source), open_sources([aggregate.source], settings, rows), settings)


def _aggregate(steps: Plan, rows: Path, child: Batches, output: Path, scratch: Path) -> list[str]:
    _check_moments(steps, rows)
    drawn = scratch / "drawn.parquet"
    counted = _Counted()
    write_rows(drawn, _drawn_schema(steps, rows), (_draw(steps, batch, counted) for batch in child()))
    found = sweep(steps, rows, drawn, output, scratch)
    drawn.unlink()
    return _notes(steps, found, counted)


def _check_moments(steps: Plan, rows: Path) -> None:
    if steps.moment is None:
        return
    first = 0
    for batch in _batches_of(rows, [steps.moment])():
        column = batch.column(0)
        if column.null_count:
            row = first + pc.index(column.is_null(), True).as_py() + 1
            raise HeadraceError(
                f"features.aggregate.{steps.table}: expected a time in every row, before which child rows count. "
                f"Received: none in `{steps.moment}`, first row {row}"
            )
        first += batch.num_rows


class _Counted:
    """Child rows, and those of them that count nowhere."""

    def __init__(self) -> None:
        self.rows, self.incomplete = 0, 0


def _drawn_schema(steps: Plan, rows: Path) -> pa.Schema:
    schema = pq.read_schema(rows)
    keys = [pa.field(f"k{position}", schema.field(name).type) for position, name in enumerate(steps.keys)]
    values = [pa.field(f"x{position}", drawn.type) for position, drawn in enumerate(steps.drawn)]
    return pa.schema([*keys, pa.field(TIME, pa.int64()), *values])


def _draw(steps: Plan, batch: pa.RecordBatch, counted: _Counted) -> pa.RecordBatch:
    """Of child rows what is needed: keys, time in microseconds, and the values that are aggregated."""
    counted.rows += batch.num_rows
    needed = [*steps.keys.values(), steps.time]
    complete = None
    for name in needed:
        there = batch.column(name).is_valid()
        complete = there if complete is None else pc.and_(complete, there)
    table = pa.Table.from_batches([batch]).filter(complete)
    counted.incomplete += batch.num_rows - table.num_rows
    if steps.where is not None:
        table = table.filter(evaluate(parse(steps.where), table))
    columns = {f"k{position}": table[name] for position, name in enumerate(steps.keys.values())}
    columns[TIME] = table[steps.time].cast(pa.timestamp("us")).cast(pa.int64())
    columns |= {f"x{position}": _values(drawn, table) for position, drawn in enumerate(steps.drawn)}
    return pa.Table.from_pydict(columns).combine_chunks().to_batches()[0] if table.num_rows else _empty(columns)


def _empty(columns: dict[str, pa.ChunkedArray]) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array([], column.type) for name, column in columns.items()})


def _values(drawn: Drawn, table: pa.Table) -> pa.ChunkedArray:
    if drawn.argument is None:
        values: Any = pa.chunked_array([pa.array([True] * table.num_rows, pa.bool_())])
    elif drawn.plain:
        values = table[parse(drawn.argument).columns()[0]]
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
    else:
        values = evaluate(parse(drawn.argument), table).cast(drawn.type)
    if drawn.where is not None:
        wanted = evaluate(parse(drawn.where), table).fill_null(False)
        values = pc.if_else(wanted, values, pa.scalar(None, drawn.type))
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _notes(steps: Plan, found: Found, counted: _Counted) -> list[str]:
    name, notes = steps.table, []
    if counted.incomplete:
        keys = ", ".join(f"`{key}`" for key in steps.keys.values())
        notes.append(
            f"{counted.incomplete:,} of {counted.rows:,} rows of {name} have no `{steps.time}` or no {keys}, and count "
            "nowhere"
        )
    if found.without_key:
        keys = ", ".join(f"`{key}`" for key in steps.keys)
        notes.append(f"{found.without_key:,} of {found.rows:,} rows have no {keys}, and no aggregates of {name}")
    if found.alone:
        all_of_them = found.alone + found.without_key == found.rows
        hint = "; are keys and times written alike on both sides?" if all_of_them else ""
        notes.append(
            f"{found.alone:,} of {found.rows:,} rows have nothing before their time in {name}{hint}",
        )
    return notes


def _batches_of(file: Path, columns: list[str] | None = None) -> Batches:
    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(file) as parquet:
            yield from parquet.iter_batches(batch_size=ROWS, columns=columns)

    return batches


def _typed(table: Table, tally: Tally) -> Batches:
    return lambda: (kept.batch for kept in typed_rows(table, tally))


def _as_table(name: str, table: pa.Table, types: dict[str, Any]) -> Table:
    """An Arrow table as a source, with the types that a snapshot has."""
    opened = Opened(name, table.schema, lambda: iter(table.to_batches(max_chunksize=ROWS)), text=False)
    return open_table(name, [opened], DataSpec(source=name, label={"name": name}, types=types))


def _side_by_side(name: str, rows: Path, made: list[Path]) -> Opened:
    """Files of equally many rows as one source, with the columns of all."""
    schema = pa.schema([field for file in (rows, *made) for field in pq.read_schema(file)])

    def batches() -> Iterator[pa.RecordBatch]:
        others = [_Slices(_batches_of(file)()) for file in made]
        for batch in _batches_of(rows)():
            columns = [*batch.columns, *(column for one in others for column in one.next(batch.num_rows))]
            yield pa.record_batch(columns, schema=schema)

    return Opened(name, schema, batches, text=False)


class _Slices:
    """Batches of any length, taken in lengths as asked for."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._rest: pa.Table | None = None

    def next(self, rows: int) -> list[pa.Array]:
        """The columns of the next so many rows."""
        while self._rest is None or self._rest.num_rows < rows:
            more = pa.Table.from_batches([next(self._batches)])
            self._rest = more if self._rest is None else pa.concat_tables([self._rest, more])
        taken, self._rest = self._rest.slice(0, rows), self._rest.slice(rows)
        return [_one(column) for column in taken.columns]


def _one(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined
