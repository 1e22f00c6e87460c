"""A snapshot's rows as DuckDB sees them, within a bound of memory, and how single rows are named in messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.dataset import SPLITS, Dataset, DatasetInfo
from headrace.artifacts.findings import MOST_EXAMPLES
from headrace.artifacts.scratch import Scratch
from headrace.components.ingest.merge import ROW_NUMBER, numbered, quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY = "1GB"  # of DuckDB; what does not fit goes to a temporary folder
_SHOWN = 120  # characters of a row that stands for itself

NUMBER = quoted(ROW_NUMBER)  # of a row in its file
Place = tuple[str, int]  # split, and the row's number in its file


@contextmanager
def connect(memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database that may read files; deterministic as far as it is asked in order."""
    import duckdb

    with Scratch("check") as folder:
        connection = duckdb.connect(
            config={"memory_limit": memory, "temp_directory": str(folder), "autoload_known_extensions": False}
        )
        try:
            connection.execute("SET enable_progress_bar = false; SET preserve_insertion_order = false")
            yield connection
        finally:
            connection.close()


def scan(snapshot: Dataset, split: str) -> str:
    """The FROM clause over one split, with the rows' numbers, from 0, as `NUMBER`."""
    return numbered(snapshot.file(split))


def feature_names(info: DatasetInfo, dropped: Iterable[str] = ()) -> list[str]:
    """The columns that a model may learn from: not the id, the label, what it is computed from, nor what is dropped."""
    no_features = {info.id, info.label, *info.leaks, *dropped}
    return [column.name for column in info.columns if column.name not in no_features and column.type != "binary"]


def sample(
    connection: duckdb.DuckDBPyConnection, snapshot: Dataset, split: str, columns: list[str], most: int
) -> pa.Table:
    """Every k-th row of a split, at most `most` of them: bounded, and the same each time."""
    step = -(-snapshot.info.rows[split] // most) or 1
    chosen = ", ".join(quoted(name) for name in columns)
    query = f"SELECT {NUMBER}, {chosen} FROM {scan(snapshot, split)} WHERE {NUMBER} % {step} = 0"
    # Sorted here: DuckDB may hand over the pieces of a sorted result in any order.
    table = connection.sql(query).to_arrow_table().sort_by(ROW_NUMBER)
    return table.drop_columns([ROW_NUMBER])


def examples(
    connection: duckdb.DuckDBPyConnection, snapshot: Dataset, places: list[Place], columns: list[str] | None = None
) -> list[str]:
    """What a few rows are called: their ids; without an id, their numbers and some of what they hold."""
    info = snapshot.info
    shown = [info.id] if info.id else (columns or [c.name for c in info.columns if c.type != "binary"])[:8]
    names = []
    for split in SPLITS:
        numbers = sorted(number for where, number in places if where == split)
        if not numbers:
            continue
        query = f"SELECT {NUMBER}, {', '.join(map(quoted, shown))} FROM {scan(snapshot, split)} "
        query += f"WHERE {NUMBER} IN ({', '.join(map(str, numbers))}) ORDER BY {NUMBER}"
        for number, *values in connection.execute(query).fetchall():
            names.append(str(values[0]) if info.id else f"{split} row {number + 1} ({_content(shown, values)})")
    return names[:MOST_EXAMPLES]


def _content(columns: list[str], values: list[object]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in zip(columns, values, strict=True))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def parquet_files(snapshot: Dataset) -> dict[str, list[Path]]:
    """The files behind each name that a check may use: the splits, and `data` for all of them."""
    files = {split: [snapshot.file(split)] for split in SPLITS}
    return {**files, "data": [file for each in files.values() for file in each]}
