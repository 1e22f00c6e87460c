"""DuckDB over files of rows, within a memory limit: what does not fit is spilled beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.components.ingest.normalise import PICTURE
from headrace.components.ingest.opened import ROWS, Opened

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"
ROW_NUMBER = "\x1frow"  # no column of a source can have such a name
_PICTURES = 256  # rows of a batch with pictures in it


@contextlib.contextmanager
def database(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that spills to a folder."""
    import duckdb

    with duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(scratch / "duckdb")}) as connection:
        connection.execute("SET enable_progress_bar = false")  # which would be drawn into the task's log
        yield connection


def write_rows(file: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Writes rows to a Parquet file for a while."""
    # Dictionaries and statistics cost more than they save where a file is read once, and whole.
    with pq.ParquetWriter(file, schema, compression="lz4", use_dictionary=False, write_statistics=False) as writer:
        for batch in batches:
            writer.write_batch(batch)


def batch_rows(schema: pa.Schema) -> int:
    """How many rows of a batch: fewer where they hold pictures, so that memory stays bounded."""
    return _PICTURES if any(pa.types.is_binary(field.type) for field in schema) else ROWS


def opened_rows(name: str, files: list[Path], select: Callable[[pa.RecordBatch, int], pa.RecordBatch]) -> Opened:
    """Files of rows as one source.

    Args:
        name: for messages.
        files: in their order.
        select: what of a batch that begins with that row is taken.
    """

    # What was a picture still is: of other bytes there are none in typed rows.
    schema = pa.schema(
        [one.with_metadata(PICTURE) if pa.types.is_binary(one.type) else one for one in pq.read_schema(files[0])]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        first_row = 0
        for file in files:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(batch_size=batch_rows(schema)):
                    yield select(batch, first_row)
                    first_row += batch.num_rows

    return Opened(name, schema, batches, text=False)


def numbered(file: Path) -> str:
    """A FROM clause over a Parquet file's rows with their numbers, from 0, in the column `ROW_NUMBER`."""
    columns, number = "* EXCLUDE (file_row_number)", "file_row_number"
    read = f"read_parquet({literal(file)}, file_row_number = true)"
    if "file_row_number" in (name.lower() for name in pq.read_schema(file).names):  # which DuckDB then refuses to add
        columns, number, read = "*", "row_number() OVER () - 1", f"read_parquet({literal(file)})"
    return f"(SELECT {columns}, {number} AS {quoted(ROW_NUMBER)} FROM {read})"


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A text in SQL."""
    return "'" + str(text).replace("'", "''") + "'"
