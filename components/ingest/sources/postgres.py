"""Rows of a PostgreSQL query as a stream of Arrow batches, through ADBC; nothing is buffered whole.

Every pass runs in one read-only transaction that sees the database as it was at its start, with settings under which
the same rows come in the same order and spelling. After the first pass the rows are read from a local file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import public, redact, resolve
from headrace.components.ingest.sources.query import around, as_query, quoted
from headrace.components.ingest.sources.times import Calendar

CONNECT_SECONDS = 10  # libpq's own default is to wait for ever
_TRANSACTION = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    # One order of a table's rows, and of the terms of a sum of floats.
    "SET LOCAL synchronize_seqscans = off",
    "SET LOCAL max_parallel_workers_per_gather = 0",
    # One spelling, whatever the role's own settings are.
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL IntervalStyle = 'iso_8601'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL lc_monetary = 'C'",
)
_AS_THEY_ARE = {
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "text",
    "varchar",
    "char",
    "name",
    "date",
    "timestamp",
}
_CASTS = {
    "oid": ("int8", pa.int64()),
    "bpchar": ("text", pa.string()),  # without the spaces that fill it up
    "citext": ("text", pa.string()),
    "uuid": ("text", pa.string()),
    "inet": ("text", pa.string()),
    "cidr": ("text", pa.string()),
    "macaddr": ("text", pa.string()),
    "macaddr8": ("text", pa.string()),
    "money": ("numeric::float8", pa.float64()),
    "timestamptz": ("timestamp", pa.timestamp("us")),  # the session's time zone is UTC
}
_NO_SUCH_TABLE = "42P01"
_CONNECTING = "Failed to connect: "
# What ADBC puts before the server's or libpq's own words, in the order in which it does.
_ADBC_PREFIXES = ("IO: ", "[libpq] ", _CONNECTING, "Execution error [PGRES_FATAL_ERROR]: ", "PQgetCopyData() failed: ")
_LARGEST_DIGITS = 18  # of a whole number that surely fits 64 bits


@dataclass(frozen=True)
class Selected:
    """The columns of a query that a snapshot can hold."""

    query: str  # gives those columns alone, each in its type
    schema: pa.Schema
    left_out: dict[str, str]
    notes: list[str]


@dataclass
class PostgresRows:
    """The rows of a query."""

    source: str  # as the spec has it
    selected: Selected
    limit: int | None = None  # rows; the server does not work for more
    calendar: Calendar = field(default_factory=Calendar)

    def stream(self) -> Generator[pa.RecordBatch, None, None]:
        """The rows in batches of some 16 MiB.

        Raises:
            HeadraceError: no connection, the query fails, or the connection breaks.
        """
        query = self.selected.query + (f" LIMIT {self.limit}" if self.limit is not None else "")
        with failures(self.source), transaction(self.source) as cursor:
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
            for batch in reader:
                yield self.calendar.checked(batch.cast(self.selected.schema))


def select(source: str, text: str | None) -> Selected:
    """Asks the server what columns a query has, without running it, and decides what becomes of each.

    Raises:
        HeadraceError: no connection, a query that the server refuses, columns without or with the same name, or none
            that can be learned from.
    """
    with failures(source, text or ""), transaction(source) as cursor:
        query = as_query(text, public(source), _tables(cursor) if not text else "")
        schema = cursor.adbc_execute_schema(query)
    return selection(query, schema, public(source))


def selection(query: str, schema: pa.Schema, where: str) -> Selected:
    """The query that gives the columns which a snapshot can hold, from the schema that ADBC reports."""
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise HeadraceError(
            f"{where}: expected each column name once. Received: {', '.join(map(repr, twice))} more than once; "
            "give each a name of its own with AS in data.query"
        )
    columns, fields, left_out, notes = [], [], {}, []
    for one in schema:
        name, kind = one.name, (one.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        cast, type, note = _becomes(kind, one)
        if type is None:
            left_out[name] = kind or str(one.type)
            notes.append(f"`{name}` is left out: it has no numbers, texts, truth values or dates, but {note or kind}")
            continue
        columns.append(quoted(name) + (f"::{cast} AS {quoted(name)}" if cast else ""))
        fields.append(pa.field(name, type))
        if note:
            notes.append(f"`{name}` {note}")
    if not columns:
        raise HeadraceError(
            f"{where}: expected columns of numbers, texts, truth values or dates. Received: {left_out or 'none'}"
        )
    narrowed = f'SELECT {", ".join(columns)} FROM {around(query)} AS "headrace rows"'
    return Selected(narrowed, pa.schema(fields), left_out, notes)


def _becomes(kind: str, one: pa.Field) -> tuple[str, pa.DataType | None, str]:
    """The cast at the server (none where empty), the Arrow type (None: left out), and what is to be said."""
    if kind in _AS_THEY_ARE:
        return "", one.type, ""
    if kind == "numeric":
        digits, scale = _precision(one)
        if digits is not None and scale == 0 and digits <= _LARGEST_DIGITS:
            return "int8", pa.int64(), ""
        return "float8", pa.float64(), ""
    if kind in _CASTS:
        return *_CASTS[kind], ""
    if kind in ("json", "jsonb"):
        return "", None, f"{kind}; select its fields in data.query, e.g. {quoted(one.name)}->>'field'"
    return ("", pa.string(), "") if pa.types.is_string(one.type) else ("", None, "")  # an enum comes as text


def _precision(one: pa.Field) -> tuple[int | None, int]:
    """Digits in all and behind the point, as PostgreSQL packs them into a type modifier (`numeric.c`)."""
    modifier = int((one.metadata or {}).get(b"POSTGRESQL:typmod", b"-1"))
    return (None, 0) if modifier < 4 else ((modifier - 4 >> 16) & 0xFFFF, (modifier - 4) & 0x7FF)


def content_digest(source: str, text: str | None) -> str:
    """What names the content of a query's result, whatever the order of its rows.

    The server hashes each row's text and adds the hashes up, twice with different seeds, so that 128 bits and no rows
    travel. It costs one run of the query: a microsecond or so a row.

    Raises:
        HeadraceError: no connection, or the query fails.
    """
    with failures(source, text or ""), transaction(source) as cursor:
        query = as_query(text, public(source), _tables(cursor) if not text else "")
        schema = cursor.adbc_execute_schema(query)
        # The alias is quoted and has a space in it, so that no column is likely to be meant by it.
        row = '"headrace row"'
        cursor.execute(
            f"SELECT count(*)::text, sum(hashtextextended({row}::text, 0))::text, "
            f"sum(hashtextextended({row}::text, 1))::text FROM {around(query)} AS {row}"
        )
        sums = cursor.fetchone()
    columns = [[one.name, (one.metadata or {}).get(b"POSTGRESQL:type", b"").decode()] for one in schema]
    return repr([columns, *(sums or ())])


@contextlib.contextmanager
def transaction(source: str) -> Iterator[Any]:
    """A cursor in a read-only transaction of its own, which ends with the block."""
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(_with_timeout(resolve(source))) as connection, connection.cursor() as cursor:
        for statement in _TRANSACTION:
            cursor.execute(statement)
        yield cursor


def _with_timeout(url: str) -> str:
    if "connect_timeout=" in url or "PGCONNECT_TIMEOUT" in os.environ:
        return url
    return f"{url}{'&' if urlsplit(url).query else '?'}connect_timeout={CONNECT_SECONDS}"


def _other_tables(source: str) -> str:
    from adbc_driver_manager import Error

    with contextlib.suppress(Error), transaction(source) as cursor:  # a hint is all that is lost
        return _tables(cursor)
    return ""


def _tables(cursor: Any) -> str:
    """The tables that the user can see, as the end of a message."""
    cursor.execute(
        "SELECT table_schema::text, table_name::text FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2 LIMIT 20"
    )
    names = [name if schema == "public" else f"{schema}.{name}" for schema, name in cursor.fetchall()]
    return f"; the tables are {', '.join(names)}" if names else ""


@contextlib.contextmanager
def failures(source: str, query: str = "") -> Iterator[None]:
    """Turns what ADBC and the server report into one message, without secrets; the query is what positions are in."""
    from adbc_driver_manager import Error

    try:
        yield
    except (Error, OSError, pa.ArrowInvalid) as error:
        raise HeadraceError(f"{public(source)}: {_explain(error, source, query)}") from None


def _explain(error: Exception, source: str, query: str) -> str:
    details = {key.decode(): value.decode(errors="replace") for key, value in getattr(error, "details", None) or []}
    said = details.get("PG_DIAG_MESSAGE_PRIMARY")
    if said is not None:
        place = _place(query, details.get("PG_DIAG_STATEMENT_POSITION"))
        hint = _other_tables(source) if details.get("PG_DIAG_SQLSTATE") == _NO_SUCH_TABLE else ""
        return f"expected a query that the server can run. Received: {redact(said, source)}{place}{hint}"
    text = " ".join(redact(error, source).split())
    connecting = False
    for prefix in _ADBC_PREFIXES:
        connecting |= prefix == _CONNECTING and text.startswith(prefix)
        text = text.removeprefix(prefix)
    return f"expected {'a connection' if connecting else 'rows to the last'}. Received: {text}"


def _place(query: str, position: str | None) -> str:
    """Line and column in `data.query` of what the server points at; nothing where the text sent was another."""
    if position is None or not 0 < int(position) <= len(query):
        return ""
    before = query[: int(position) - 1]
    return f" (data.query, line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))})"
