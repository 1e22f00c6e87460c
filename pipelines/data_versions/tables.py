"""Two snapshots as tables of one DuckDB, in bounded memory: what does not fit is spilled to a folder.

Columns are called c0, c1, ... here, the same in both tables: names differ in case alone, or hold quotes, as they like.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.components.ingest.merge import numbered
from headrace.pipelines.local.workers.resources import cores

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"  # of the engine; more is spilled
SCRATCH = ".data-diff.partial-"  # garbage collection knows such names, should a process die
NUMBERS = ("int64", "float64")


@dataclass(frozen=True)
class Shared:
    """A column that both snapshots have."""

    place: str  # its name in the tables, `c3`
    name: str
    before: str  # its type
    after: str

    @property
    def retyped(self) -> bool:
        return self.before != self.after

    def value(self, table: str) -> str:
        """SQL of its value for comparisons: of another type, numbers compare as numbers, the rest as text."""
        column = f"{table}.{self.place}"
        if not self.retyped:
            return column
        kind = "DOUBLE" if self.before in NUMBERS and self.after in NUMBERS else "VARCHAR"
        return f"CAST({column} AS {kind})"


class Tables:
    """The tables `a` (before) and `b` (after): a column `split`, `row` (its number in the split), and the columns."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, before: Dataset, after: Dataset) -> None:
        self.connection, self.before, self.after = connection, before, after
        old = {column.name: column.type for column in before.info.columns}
        new = {column.name: column.type for column in after.info.columns}
        self.names = list(dict.fromkeys((*old, *new)))
        self.shared = [Shared(self.place(name), name, old[name], new[name]) for name in old if name in new]
        for table, dataset in (("a", before), ("b", after)):
            parts = [self._part(dataset, number) for number in range(len(SPLITS))]
            connection.execute(f"CREATE VIEW {table} AS " + " UNION ALL BY NAME ".join(parts))

    def place(self, name: str) -> str:
        """What a column is called in the tables."""
        return f"c{self.names.index(name)}"

    def _part(self, dataset: Dataset, number: int) -> str:
        import pyarrow.parquet as pq

        file = dataset.file(SPLITS[number])
        columns = ", ".join(self.place(name) for name in pq.read_schema(file).names)
        return f"SELECT CAST({number} AS TINYINT) AS split, * FROM {numbered(file)} AS t({columns}, row)"

    def execute(self, sql: str) -> None:
        self.connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query that has few."""
        return self.connection.execute(sql).fetchall()

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of a query."""
        (found,) = self.rows(sql)
        return found

    def counts(self) -> tuple[int, int]:
        """How many rows each has."""
        return sum(self.before.info.rows.values()), sum(self.after.info.rows.values())


@contextlib.contextmanager
def opened(before: Dataset, after: Dataset, scratch: Path, memory: str = MEMORY) -> Iterator[Tables]:
    """Both snapshots as tables; what is spilled below `scratch` is removed afterwards."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=scratch) as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory,
            "temp_directory": folder,
            "threads": cores(),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,  # nothing is fetched, whatever a table holds
            "autoload_known_extensions": False,
        }
        with contextlib.closing(duckdb.connect(":memory:", config=settings)) as connection:
            yield Tables(connection, before, after)


def in_groups(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Items, so many at a time: a query over a thousand columns is slow to plan and hungry."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
