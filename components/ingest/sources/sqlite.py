"""Rows of an SQLite query as a stream of Arrow batches, through ADBC.

SQLite gives each value a type of its own, and ADBC goes by the first rows alone. So the types of all values are counted
first, inside SQLite, and each column is then cast to what holds all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.files import source_files
from headrace.components.fingerprint.url import public, resolve
from headrace.components.ingest.sources.query import around, as_query, quoted

_ROWS = 16_384  # in a batch; ADBC's own 1,024 makes many small ones
_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_TIME = f"{_DATE}[T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
_IS_DATE = f"({{c}} GLOB '{_DATE}' AND date({{c}}, '+0 days') = {{c}})"
# Without a modifier SQLite would take the 30th of February. A fraction of up to six digits may follow.
_IS_TIME = (
    f"(({{c}} GLOB '{_TIME}' OR ({{c}} GLOB '{_TIME}.[0-9]*' AND length({{c}}) BETWEEN 21 AND 26 "
    "AND substr({c}, 21) NOT GLOB '*[^0-9]*')) AND datetime({c}, '+0 days') = replace(substr({c}, 1, 19), 'T', ' '))"
)
# The first row of every answer, which makes ADBC take each column for what it is, however many nulls it begins with.
_FIRST = {"INTEGER": "1", "REAL": "0.5", "TEXT": "'first'"}
_ARROW = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TEXT": pa.string()}


@dataclass(frozen=True)
class Selected:
    """The columns of a query that a snapshot can hold."""

    file: Path
    query: str
    schema: pa.Schema
    storage: dict[str, str]  # column -> INTEGER, REAL or TEXT
    left_out: dict[str, str]
    notes: list[str]


def select(source: str, text: str | None, limit: int | None = None) -> Selected:
    """Runs the query once to see the types of all its values, and decides what becomes of each column.

    With a limit, the first so many rows are all there is.

    Raises:
        HeadraceError: no such file, no SQLite database, a query that SQLite refuses, or no column to learn from.
    """
    file = database_file(source)
    where = public(source)
    with failures(where), contextlib.closing(sqlite3.connect(_read_only(file), uri=True)) as connection:
        query = as_query(text, where, _tables(connection) if not (text or "").strip() else "")
        names = [name for name, *_ in connection.execute(query).description]
        _check_once(names, where)
        if limit is not None:
            query = f"SELECT * FROM {around(query)} LIMIT {limit}"
        seen = _seen_types(connection, query, names)
        storage = {name: kinds for name in names if (kinds := _storage(*seen[name]))}
        fields = _fields(connection, query, storage)
    if not storage:
        raise HeadraceError(f"{where}: expected columns of numbers, texts or dates. Received: only bytes")
    notes = [
        f"`{name}` is left out: it has no numbers, texts, truth values or dates, but bytes"
        for name in names
        if name not in storage
    ]
    notes += [
        f"`{name}` is read as text: it has numbers and texts"
        for name, kind in storage.items()
        if kind == "TEXT" and seen[name][0] in ("integer", "real")
    ]
    return Selected(
        file, query, pa.schema(fields), storage, {name: "bytes" for name in names if name not in storage}, notes
    )


def stream(selected: Selected, where: str) -> Iterator[pa.RecordBatch]:
    """The rows in batches, from one state of the database.

    Raises:
        HeadraceError: the query fails.
    """
    columns = ", ".join(f"CAST({quoted(name)} AS {kind})" for name, kind in selected.storage.items())
    first = ", ".join(_FIRST[kind] for kind in selected.storage.values())
    query = f"SELECT {first} UNION ALL SELECT {columns} FROM {around(selected.query)}"
    with failures(where):
        for position, batch in enumerate(_batches(selected.file, query)):
            rows = batch.slice(1) if position == 0 else batch
            arrays = [_as(column, one.type) for column, one in zip(rows.columns, selected.schema, strict=True)]
            if rows.num_rows:
                yield pa.RecordBatch.from_arrays(arrays, schema=selected.schema)


def content_digest(source: str, text: str | None) -> str:
    """What names the content of a query's result: its columns, and its rows in their order, each value with its type.

    It costs one run of the query, some microseconds a row. The file's own hash would be no better: it misses what lies
    in the write-ahead log, and changes with other tables.

    Raises:
        HeadraceError: as `select`.
    """
    file, where = database_file(source), public(source)
    digest = hashlib.sha256()
    with failures(where), contextlib.closing(sqlite3.connect(_read_only(file), uri=True)) as connection:
        query = as_query(text, where, _tables(connection) if not (text or "").strip() else "")
        rows = connection.execute(query)
        digest.update(repr([name for name, *_ in rows.description]).encode())
        while block := rows.fetchmany(_ROWS):
            digest.update(repr(block).encode(errors="surrogatepass"))
    return digest.hexdigest()


def database_file(source: str) -> Path:
    """The file that `sqlite:///path` names.

    Raises:
        HeadraceError: there is none, or the URL names a host.
    """
    url = resolve(source)
    path = url.partition("://")[2].partition("?")[0]
    if not path.startswith("/") or path == "/":
        raise HeadraceError(f"{public(source)}: expected sqlite:/// and a file's path. Received: {public(source)}")
    import glob

    return source_files(glob.escape(path[1:]))[0]


def _read_only(file: Path) -> str:
    return f"file:{quote(str(file))}?mode=ro"


def _tables(connection: sqlite3.Connection) -> str:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    return f"; the tables are {', '.join(sorted(names))}" if names else "; the database has no tables"


def _check_once(names: list[str], where: str) -> None:
    twice = sorted({name for name in names if [one.lower() for one in names].count(name.lower()) > 1})
    if twice:
        raise HeadraceError(
            f"{where}: expected each column name once. Received: {', '.join(map(repr, twice))} more than once; "
            "give each a name of its own with AS in data.query"
        )


def _seen_types(
    connection: sqlite3.Connection, query: str, names: list[str]
) -> dict[str, tuple[str | None, str | None]]:
    """The least and the greatest of the names of each column's types, of which blob < integer < real < text."""
    kinds = [f"nullif(typeof({quoted(name)}), 'null')" for name in names]
    found: list[Any] = []
    for start in range(0, len(kinds), 500):  # SQLite takes 2,000 results at once
        asked = ", ".join(f"min({kind}), max({kind})" for kind in kinds[start : start + 500])
        found += connection.execute(f"SELECT {asked} FROM {around(query)}").fetchone()
    return {name: (found[2 * i], found[2 * i + 1]) for i, name in enumerate(names)}


def _storage(least: str | None, greatest: str | None) -> str | None:
    """What holds all values of a column; None where some are bytes.

    >>> _storage("integer", "real"), _storage("integer", "text"), _storage(None, None), _storage("blob", "text")
    ('REAL', 'TEXT', 'REAL', None)
    """
    if least == "blob":
        return None
    return {None: "REAL", "integer": "INTEGER", "real": "REAL", "text": "TEXT"}[greatest]


def _fields(connection: sqlite3.Connection, query: str, storage: dict[str, str]) -> list[pa.Field]:
    """The Arrow types; a text of which every value is a date, or a time, is one, as SQLite has no type for them."""
    special: dict[str, pa.DataType] = {}
    for test, type in ((_IS_DATE, pa.date32()), (_IS_TIME, pa.timestamp("us"))):
        # What the first values say costs nothing to ask, and settles most columns.
        names = [name for name, kind in storage.items() if kind == "TEXT" and name not in special]
        for source in (f"(SELECT * FROM {around(query)} LIMIT 1000)", around(query)):
            if not names:
                break
            asked = ", ".join(f"min({test.format(c=quoted(name))})" for name in names)
            least = connection.execute(f"SELECT {asked} FROM {source}").fetchone()
            # No value among the first rows says nothing yet.
            names = [name for name, one in zip(names, least, strict=True) if one != 0]
        special.update(dict.fromkeys(names, type))
    return [pa.field(name, special.get(name, _ARROW[kind])) for name, kind in storage.items()]


def _as(column: pa.Array, type: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(type):
        column = pc.replace_substring(column, "T", " ")
    if pa.types.is_string(column.type):
        column.validate(full=True)  # SQLite keeps any bytes as text
    return column.cast(type)


def _batches(file: Path, query: str) -> Iterator[pa.RecordBatch]:
    from adbc_driver_sqlite import dbapi

    with dbapi.connect(_read_only(file)) as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_ROWS)})
        cursor.execute(query)
        yield from cursor.fetch_record_batch()


@contextlib.contextmanager
def failures(where: str) -> Iterator[None]:
    """Turns what SQLite reports into one message."""
    from adbc_driver_manager import Error

    try:
        yield
    except (sqlite3.Error, Error, OSError, pa.ArrowInvalid) as error:
        text = " ".join(str(error).split())
        if "not a database" in text:
            raise HeadraceError(f"{where}: expected an SQLite database. Received: another kind of file") from None
        if "UTF-8" in text or "UTF8" in text:
            raise HeadraceError(f"{where}: expected UTF-8 text. Received: {text}") from None
        raise HeadraceError(f"{where}: expected a query that SQLite can run. Received: {text}") from None
