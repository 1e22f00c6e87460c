"""Streams a Parquet file, row group by row group."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.opened import ROWS, Opened, SourceFile

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

_LARGEST = 2**63 - 1


def open_parquet(file: SourceFile, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens a Parquet file; unsigned numbers that do not fit int64 come as text, so that they stay exact.

    Raises:
        HeadraceError: not a Parquet file, or no rows.
    """
    with _reader(file) as parquet:
        schema = parquet.schema_arrow
        if parquet.metadata.num_rows == 0:
            raise HeadraceError(f"{file.name}: expected rows. Received: none")
        texts = [
            field.name for field in schema if pa.types.is_uint64(field.type) and _beyond_int64(parquet, field.name)
        ]
    for name in texts:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    notes = [f"`{name}` is read as text: its whole numbers do not all fit 64 bits" for name in texts]
    return Opened(file.name, schema, lambda: _batches(file, schema, rows), text=False, notes=notes)


def _batches(file: SourceFile, schema: pa.Schema, rows: int | None) -> Iterator[pa.RecordBatch]:
    with _reader(file) as parquet:
        for batch in parquet.iter_batches(batch_size=min(ROWS, rows or ROWS)):
            columns = [
                column.cast(pa.string())
                if pa.types.is_string(field.type) and pa.types.is_uint64(column.type)
                else column
                for column, field in zip(batch.columns, schema, strict=True)
            ]
            yield pa.record_batch(columns, schema=schema)
            if rows is not None:
                return


@contextlib.contextmanager
def _reader(file: SourceFile) -> Iterator[Any]:
    try:
        with contextlib.closing(file.open()) as stream, pq.ParquetFile(stream) as parquet:
            yield parquet
    except pa.ArrowInvalid as error:
        raise HeadraceError(f"{file.name}: expected a Parquet file. Received: {error}") from None


def _beyond_int64(parquet: Any, name: str) -> bool:
    """Whether a column of unsigned numbers has one that int64 has not."""
    for batch in parquet.iter_batches(batch_size=ROWS, columns=[name]):
        if (pc.max(batch.column(0)).as_py() or 0) > _LARGEST:
            return True
    return False
