from __future__ import annotations

import datetime
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.sources.sql import open_sql
from headrace.components.ingest.spec import DataSpec

ROWS = 40_000


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Columns whose last rows are of other types than their first."""
    file = tmp_path_factory.mktemp("sqlite") / "a 100% #1.db"
    with sqlite3.connect(file) as connection:
        connection.execute(
            'CREATE TABLE t (id INTEGER PRIMARY KEY, "a ""b" TEXT, mixed, late, day, nearly, at, bytes BLOB, blank, code TEXT)'
        )
        rows = (
            (
                i, f"Zoë {i}", i if i % 2 else "x", None if i < 30_000 else (1 if i % 3 else 0.5), "2024-02-29",
                "2024-02-30" if i == ROWS - 1 else "2024-02-29",
                None if i < 20_000 else f"2024-01-02{'T ' [i % 2]}03:04:05{'.25' if i % 3 else ''}", b"x", None, "007",
            )
            for i in range(ROWS)
        )  # fmt: skip
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()
    return file


def opened(file: Path, query: str | None, rows: int | None = None) -> Opened:
    source = f"sqlite:///{file}"
    return open_sql(source, DataSpec(source=source, query=query, label="y"), rows)


def test_types_come_from_all_values(database: Path) -> None:
    found = opened(database, "t")
    assert {field.name: str(field.type) for field in found.schema} == {
        "id": "int64", 'a "b': "string", "mixed": "string", "late": "double", "day": "date32[day]",
        "nearly": "string", "at": "timestamp[us]", "blank": "double", "code": "string",
    }  # fmt: skip
    assert found.left_out == {"bytes": "bytes"}
    assert "`mixed` is read as text: it has numbers and texts" in found.notes
    table = pa.Table.from_batches(found.batches())
    assert table["id"].to_pylist() == list(range(ROWS))
    assert table.slice(0, 1).to_pylist() == [
        {
            "id": 0, 'a "b': "Zoë 0", "mixed": "x", "late": None, "day": datetime.date(2024, 2, 29),
            "nearly": "2024-02-29", "at": None, "blank": None, "code": "007",
        }
    ]  # fmt: skip
    last = table.slice(ROWS - 1).to_pylist()[0]
    assert (last["mixed"], last["late"], last["nearly"]) == (str(ROWS - 1), 0.5, "2024-02-30")
    assert table["at"].slice(30_001, 2).to_pylist() == [
        datetime.datetime(2024, 1, 2, 3, 4, 5, 250_000 if i % 3 else 0) for i in (30_001, 30_002)
    ]
    assert pa.Table.from_batches(found.batches()).equals(table)


def test_a_look_takes_the_first_rows(database: Path) -> None:
    table = pa.Table.from_batches(opened(database, "t", rows=10).batches())
    assert table["id"].to_pylist() == list(range(10))


def test_a_query_without_rows_has_columns(database: Path) -> None:
    found = opened(database, "SELECT id, late FROM t WHERE id < 0 -- none;")
    assert found.schema.names == ["id", "late"]
    assert sum(batch.num_rows for batch in found.batches()) == 0


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "expected a query or a table's name as data.query. Received: none; the tables are t"),
        ("nope", "expected a query that SQLite can run. Received: no such table: nope"),
        ("SELECT idd FROM t", "Received: no such column: idd"),
        ("DELETE FROM t", "Received: attempt to write a readonly database"),
        ("SELECT id, id AS ID FROM t", "expected each column name once. Received: 'ID', 'id' more than once"),
        ("SELECT bytes FROM t", "expected columns of numbers, texts or dates. Received: only bytes"),
        ("SELECT CAST(x'ff' AS TEXT) AS a", "expected UTF-8 text. Received: "),
    ],
)
def test_a_query_that_cannot_be_run(database: Path, query: str | None, message: str) -> None:
    with pytest.raises(HeadraceError, match=message):
        list(opened(database, query).batches())


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database at all, but quite some text" * 20)
    with pytest.raises(HeadraceError, match="expected an SQLite database. Received: another kind of file"):
        opened(tmp_path / "x.db", "t")
    with pytest.raises(HeadraceError, match=r"expected a file. Received: no such file; did you mean `.*x.db`"):
        opened(tmp_path / "y.db", "t")
    assert not (tmp_path / "y.db").exists()
    with pytest.raises(HeadraceError, match="expected sqlite:/// and a file's path"):
        open_sql("sqlite://x.db", DataSpec(source="sqlite://x.db", query="t", label="y"))


def test_the_fingerprint_follows_the_rows_that_are_asked_for(tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'x.db'}"
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")  # the file itself stays as it is for a while
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    connection.execute("CREATE TABLE other (id)")
    connection.execute("INSERT INTO t VALUES (1, 1), (2, NULL)")
    data = {"query": "t"}
    first = fingerprint(source, data)
    connection.execute("INSERT INTO other VALUES (1)")
    connection.execute("VACUUM")
    assert fingerprint(source, data) == first
    assert fingerprint(source, {"query": "other"}) != first
    for change in (
        "UPDATE t SET x = 1.0 WHERE id = 1",  # another type is another value
        "UPDATE t SET x = '1' WHERE id = 1",
        "INSERT INTO t VALUES (3, 'a')",
        "DELETE FROM t WHERE id = 2",
    ):
        connection.execute(change)
        second = fingerprint(source, data)
        assert second != first, change
        first = second
    connection.close()
