"""Opens a query of an SQLite or PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace.components.fingerprint.url import kind_of, public
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.sources.spool import Spool

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec


def open_sql(source: str, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens `sqlite:///file` or `postgresql://user@host/database` with `data.query`, a query or a table's name.

    Of SQLite, whose rows come in the same order each time, every pass runs the query; of PostgreSQL the first pass
    keeps the rows in a local file. With `rows`, no more than the first so many are looked at and given.

    Raises:
        HeadraceError: it cannot be opened, or the query cannot be run.
    """
    open_database = _open_sqlite if kind_of(source) == "sqlite" else _open_postgres
    return open_database(source, data.query, rows)


def _open_sqlite(source: str, query: str | None, limit: int | None) -> Opened:
    from headrace.components.ingest.sources import sqlite

    where = public(source)
    selected = sqlite.select(source, query, limit)
    return Opened(
        where,
        selected.schema,
        lambda: sqlite.stream(selected, where),
        text=False,
        notes=selected.notes,
        left_out=selected.left_out,
    )


def _open_postgres(source: str, query: str | None, limit: int | None) -> Opened:
    from headrace.components.ingest.sources import postgres

    selected = postgres.select(source, query)
    rows = postgres.PostgresRows(source, selected, limit)
    notes = list(selected.notes)
    spool = Spool(selected.schema, rows.stream)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from spool.batches()
        notes.extend(note for note in rows.calendar.notes() if note not in notes)

    return Opened(
        public(source),
        selected.schema,
        batches,
        text=False,
        notes=notes,
        left_out=selected.left_out,
    )
