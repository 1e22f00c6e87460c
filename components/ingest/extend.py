"""Incremental ingestion: the previous snapshot's rows, and the source's that are newer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.ingest.columns import finite_or_missing
from headrace.components.ingest.label import Labeller
from headrace.components.ingest.merge import ROW_NUMBER, database, numbered, opened_rows, quoted, write_rows
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.rows import Tally, typed_rows
from headrace.components.ingest.spec import DataSpec, Label
from headrace.components.ingest.table import Table, open_table


@dataclass(frozen=True)
class Extension:
    """Old rows and new ones as one table, whose label is made already."""

    table: Table
    data: DataSpec  # for this table
    leaks: list[str]
    extends: str | None  # digest of the previous snapshot
    notes: list[str]


def extend(table: Table, task: str, data: DataSpec, previous: Path | None, scratch: Path, tally: Tally) -> Extension:
    """Puts the rows that are newer than the previous snapshot's newest behind its rows.

    Of rows with the same id the one with the greatest watermark stays, of equal ones the last.

    Args:
        table: the source's rows.
        task: classification or regression.
        data: with a watermark.
        previous: the snapshot's folder; None for the first, which takes all rows.
        scratch: a folder for what does not fit into memory.
        tally: what is counted.

    Raises:
        HeadraceError: no such column, a row without a watermark, or a previous snapshot of other data.
    """
    assert data.watermark is not None
    column = data.watermark.column
    old = _previous(previous, data, column) if previous is not None else None
    if column not in table.schema.names:
        raise HeadraceError(
            f"data.watermark.column: expected a column of the source. Received: `{column}`; "
            f"{nearest_column(column, table.schema.names)}"
        )
    table = _with_types_of(table, old, data)
    table = table if table.settled else table.settle()
    labeller = Labeller(table.schema, task, data, table.name)
    fresh = scratch / "fresh.parquet"
    counter = _Newer(table, data, column, _newest(old, table.schema.field(column).type), labeller, tally)
    write_rows(fresh, labeller.schema, counter.batches())
    files = [*(old.file(split) for split in SPLITS), fresh] if old else [fresh]
    merged = _merged(table.name, files, data, column, scratch)
    # The label has been made, and what was declared of it has been applied.
    types = {name: type for name, type in data.types.items() if name != data.label.name}
    plain = data.model_copy(update={"label": Label(name=data.label.name), "types": types})
    leaks = labeller.leaks
    notes = [f"{counter.rows:,} rows are newer than the previous snapshot's newest `{column}`"] if old else []
    return Extension(open_table(table.name, merged, plain), plain, leaks, old.digest if old else None, notes)


def _previous(path: Path, data: DataSpec, column: str) -> Dataset:
    old = Dataset.open(path)
    watermark = old.info.watermark
    if watermark is None or watermark["column"] != column:
        raise HeadraceError(
            f"data.watermark: expected a previous snapshot with the watermark `{column}`. "
            f"Received: {watermark['column'] if watermark else 'one without'}; run without the previous snapshot"
        )
    if (old.info.id, old.info.label) != (data.id, data.label.name):
        raise HeadraceError(
            f"data.watermark: expected a previous snapshot with id {data.id} and label {data.label.name}. "
            f"Received: id {old.info.id}, label {old.info.label}; run without the previous snapshot"
        )
    return old


def _with_types_of(table: Table, old: Dataset | None, data: DataSpec) -> Table:
    """The table with the previous snapshot as a source without rows: a column has a type that suits both."""
    if old is None:
        return table
    schema = pq.read_schema(old.file("train"))
    place = schema.get_field_index(data.label.name)
    schema = schema.remove(place)  # the old label is made already: class names, or a number
    empty = Opened(f"the previous snapshot {old.digest[:19]}", schema, lambda: iter(()), text=False)
    joint = open_table(table.name, [empty], data)
    return replace(
        table,
        opened=[*table.opened, empty],
        targets=[*table.targets, *joint.targets],
    )


def _newest(old: Dataset | None, type: pa.DataType) -> pa.Scalar | None:
    if old is None or old.info.watermark is None or old.info.watermark["newest"] is None:
        return None
    value: Any = old.info.watermark["newest"]
    if isinstance(value, str) and pa.types.is_temporal(type):
        value = date.fromisoformat(value) if len(value) == len("2024-01-01") else datetime.fromisoformat(value)
    return pa.scalar(value).cast(type)


class _Newer:
    """The source's rows above the watermark, with their labels."""

    def __init__(
        self, table: Table, data: DataSpec, column: str, newest: pa.Scalar | None, labeller: Labeller, tally: Tally
    ) -> None:
        self._table, self._data, self._column, self._newest = table, data, column, newest
        self._labeller, self._tally = labeller, tally
        self.rows = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        for kept in typed_rows(self._table, self._tally):
            marks = kept.batch.column(kept.batch.schema.get_field_index(self._column))
            if marks.null_count:
                row = int(kept.rows[pc.index(pc.is_null(marks), True).as_py()])
                raise HeadraceError(
                    f"{self._table.name}: expected a watermark in every row. "
                    f"Received: none in `{self._column}`, first row {row + 1}"
                )
            newer = np.ones(len(marks), bool)
            if self._newest is not None:
                newer = pc.greater(marks, self._newest).to_numpy(zero_copy_only=False)
            batch, rows = kept.batch.filter(pa.array(newer)), kept.rows[newer]
            finite, changed = finite_or_missing(batch, self._data.label.name)
            self._tally.coerce(changed)
            labelled = self._labeller.label(finite, rows)
            self._labeller.add(labelled)
            self.rows += batch.num_rows
            yield labelled.batch
        self._labeller.refuse_bad_rows()


def _merged(name: str, files: list[Path], data: DataSpec, column: str, scratch: Path) -> list[Opened]:
    """The rows of all files, each its own source, without those that a newer row with the same id replaces."""
    replaced = _replaced(files, data.id, column, scratch) if data.id is not None else np.zeros(0, np.int64)
    opened, before = [], 0
    for file in files:
        opened.append(opened_rows(name, [file], _without(replaced - before)))
        before += pq.read_metadata(file).num_rows
    return opened


def _without(rows: np.ndarray) -> Any:
    def select(batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        inside = rows[(rows >= first_row) & (rows < first_row + batch.num_rows)] - first_row
        if not len(inside):
            return batch
        return batch.take(pa.array(np.delete(np.arange(batch.num_rows), inside)))

    return select


def _replaced(files: list[Path], id: str, column: str, scratch: Path) -> np.ndarray:
    """The numbers, over all files, of the rows whose id a newer row has too."""
    parts, before = [], 0
    for number, file in enumerate(files):
        parts.append(
            f"SELECT {quoted(id)}::VARCHAR AS id, {quoted(column)} AS mark, {number} AS file, "
            f"{quoted(ROW_NUMBER)} + {before} AS row FROM {numbered(file)}"
        )
        before += pq.read_metadata(file).num_rows
    with database(scratch) as connection:
        rows: pa.Table = connection.sql(
            f"SELECT row FROM ({' UNION ALL '.join(parts)}) WHERE id IS NOT NULL "
            "QUALIFY row_number() OVER (PARTITION BY id ORDER BY mark DESC, row DESC) > 1"
        ).to_arrow_table()
    return np.sort(rows.column(0).combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False))
