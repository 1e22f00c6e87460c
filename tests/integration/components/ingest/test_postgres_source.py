from __future__ import annotations

import datetime
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.sources.sql import open_sql
from headrace.components.ingest.spec import DataSpec
from tests.ports import free_port

PASSWORD = "se cret@/:%41"
ROWS = 200_000
BINARIES = next((folder for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
TYPES = f"""
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN share AS float8 CHECK (value BETWEEN 0 AND 1);
CREATE TABLE people AS SELECT
  i AS id, (i % 7)::smallint AS small, i::bigint * 10000000000 AS large, i * 0.5::float8 AS f8, 0.5::real AS f4,
  (i * 1.25)::numeric(12, 2) AS money_like, i::numeric(10) AS whole, 'Zoë ' || i AS name, 'ab'::char(5) AS padded,
  CASE WHEN i % 3 = 0 THEN NULL ELSE 'x' END AS sometimes, i % 2 = 0 AS flag, date '2024-02-28' + (i % 3) AS day,
  timestamp '2024-01-01 00:00:00.123456' + i * interval '1 second' AS at,
  timestamptz '2024-01-01 00:00:00+02' AS zoned, ('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid AS key,
  '{{"a": 1}}'::jsonb AS doc, ARRAY[1, 2] AS list, '\\xdead'::bytea AS bytes, time '10:00' AS clock,
  interval '1 day' AS span, 'glad'::mood AS mood, 0.25::share AS share, '10.0.0.1'::inet AS ip, 12.5::money AS cash,
  NULL::integer AS nothing
FROM generate_series(1, {ROWS}) AS i;
CREATE TABLE odd ("a ""b" integer, "Größe" text); INSERT INTO odd VALUES (1, 'ü'), (2, NULL);
CREATE TABLE times AS SELECT timestamp 'infinity' AS at, date '2024-01-01' AS day UNION ALL
  SELECT timestamp '2024-01-01', date '-infinity';
"""


def _run(*command: str | Path, folder: Path) -> None:
    """Runs a program of the server as a person without rights over the machine: it refuses to run as root."""
    user = ["runuser", "-u", "nobody", "--"] if os.getuid() == 0 else []
    done = subprocess.run([*user, *map(str, command)], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own; `host:port`."""
    if BINARIES is None or (os.getuid() == 0 and shutil.which("runuser") is None):
        pytest.skip("no PostgreSQL server in /usr/lib/postgresql (Debian's package `postgresql` has it)")
    # A socket's path is short, and nobody else may reach it.
    folder = Path(tempfile.mkdtemp(prefix="headrace-pg-", dir="/tmp"))
    port = free_port()
    (folder / "password").write_text(PASSWORD)
    if os.getuid() == 0:
        shutil.chown(folder, "nobody")
        shutil.chown(folder / "password", "nobody")
    try:
        _run(
            BINARIES / "initdb", "-D", "data", "-U", "app", "-A", "scram-sha-256", "--pwfile=password", "-N",
            "--locale=C.UTF-8", folder=folder,
        )  # fmt: skip
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off -c timezone=Asia/Tokyo -c datestyle=German"
        _run(BINARIES / "pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start", folder=folder)
        try:
            environment = {**os.environ, "PGPASSWORD": PASSWORD}
            where = ["-h", "127.0.0.1", "-p", str(port), "-U", "app", "-d", "postgres", "-v", "ON_ERROR_STOP=1"]
            subprocess.run([BINARIES / "psql", *where, "-qc", TYPES], env=environment, check=True)
            yield f"127.0.0.1:{port}"
        finally:
            _run(BINARIES / "pg_ctl", "-D", "data", "-m", "immediate", "stop", folder=folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_PASSWORD", PASSWORD)
    monkeypatch.delenv("PGPASSWORD", raising=False)


def url(server: str) -> str:
    return "postgresql://app:${HEADRACE_TEST_PASSWORD}@" + server + "/postgres"


def opened(server: str, query: str | None, rows: int | None = None) -> Opened:
    source = url(server)
    return open_sql(source, DataSpec(source=source, query=query, label="y"), rows)


def execute(server: str, statement: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(f"postgresql://app:{quote(PASSWORD, safe='')}@{server}/postgres", autocommit=True) as connection:
        connection.cursor().execute(statement)


def test_every_type_as_a_snapshot_has_it(server: str) -> None:
    found = opened(server, "people")
    types = {field.name: str(field.type) for field in found.schema}
    assert types == {
        "id": "int32", "small": "int16", "large": "int64", "f8": "double", "f4": "float", "money_like": "double",
        "whole": "int64", "name": "string", "padded": "string", "sometimes": "string", "flag": "bool",
        "day": "date32[day]", "at": "timestamp[us]", "zoned": "timestamp[us]", "key": "string", "mood": "string",
        "share": "double", "ip": "string", "cash": "double", "nothing": "int32",
    }  # fmt: skip
    assert set(found.left_out) == {"doc", "list", "bytes", "clock", "span"}
    assert any("`doc` is left out" in note and "\"doc\"->>'field'" in note for note in found.notes)
    table = pa.Table.from_batches(found.batches())
    assert table.num_rows == ROWS
    assert table.slice(2, 1).to_pylist() == [
        {
            "id": 3, "small": 3, "large": 30_000_000_000, "f8": 1.5, "f4": 0.5, "money_like": 3.75, "whole": 3,
            "name": "Zoë 3", "padded": "ab", "sometimes": None, "flag": False, "day": datetime.date(2024, 2, 28),
            "at": datetime.datetime(2024, 1, 1, 0, 0, 3, 123456), "zoned": datetime.datetime(2023, 12, 31, 22),
            "key": "00000000-0000-0000-0000-000000000003", "mood": "glad", "share": 0.25, "ip": "10.0.0.1/32",
            "cash": 12.5, "nothing": None,
        }
    ]  # fmt: skip
    assert table["id"].to_pylist() == list(range(1, ROWS + 1))
    assert table["sometimes"].null_count == ROWS // 3


def test_passes_give_the_same_rows_although_the_table_changes(server: str) -> None:
    found = opened(server, "SELECT id, random() AS chance FROM people ORDER BY id LIMIT 5000;")
    first = pa.Table.from_batches(found.batches())
    assert pa.Table.from_batches(found.batches()).equals(first)
    stopped = opened(server, "SELECT id, random() AS chance FROM people LIMIT 100000")
    batches = stopped.batches()
    assert next(batches).num_rows
    batches.close()  # a pass that stops is none
    assert pa.Table.from_batches(stopped.batches()).equals(pa.Table.from_batches(stopped.batches()))


def test_names_with_quotes_and_other_letters(server: str) -> None:
    table = pa.Table.from_batches(opened(server, "public.odd").batches())
    assert table.to_pylist() == [{'a "b': 1, "Größe": "ü"}, {'a "b': 2, "Größe": None}]


def test_times_that_no_calendar_has_are_missing_and_counted(server: str) -> None:
    found = opened(server, "times")
    rows = pa.Table.from_batches(found.batches()).to_pylist()
    assert rows == [
        {"at": None, "day": datetime.date(2024, 1, 1)},
        {"at": datetime.datetime(2024, 1, 1), "day": None},
    ]
    assert [note.partition(":")[0] for note in found.notes] == ["`at`", "`day`"]
    assert "1 dates or times that are infinite" in found.notes[0]


def test_a_look_reads_no_more_than_it_gives(server: str) -> None:
    found = opened(server, "SELECT id, 1 / (id - 5000) AS fails_later FROM people", rows=100)
    assert sum(batch.num_rows for batch in found.batches()) == 100
    with pytest.raises(HeadraceError, match="division by zero"):
        list(opened(server, "SELECT id, 1 / (id - 5000) AS fails_later FROM people").batches())


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nope", 'Received: relation "nope" does not exist; the tables are odd, people, times$'),
        ("SELECT id\nFROM   nope", r'relation "nope" does not exist \(data.query, line 2, column 8\); the tables are'),
        ("SELCT id FROM people", r'syntax error at or near "SELCT" \(data.query, line 1, column 1\)$'),
        ("SELECT idd FROM people", r'column "idd" does not exist \(data.query, line 1, column 8\)'),
        ("SELECT 1 AS a; SELECT 2 AS b", "cannot insert multiple commands into a prepared statement"),
        ("DELETE FROM people RETURNING id", "syntax error"),
        ("SELECT pg_sleep(0) AS a, nextval('s') AS b", 'relation "s" does not exist'),
        ("SELECT 1 AS a, 2 AS a", "expected each column name once. Received: 'a' more than once"),
        ("SELECT doc, list FROM people", "expected columns of numbers.*Received: {'doc': 'jsonb', 'list': '_int4'}"),
        (None, r"expected a query or a table's name as data.query. Received: none; the tables are odd, people, times$"),
    ],
)
def test_a_query_that_cannot_be_run(server: str, query: str | None, message: str) -> None:
    with pytest.raises(HeadraceError, match=message) as caught:
        list(opened(server, query).batches())
    assert str(caught.value).startswith(f"postgresql://{server}/postgres: expected ")
    _assert_secret(caught.value)


def test_nothing_can_be_changed(server: str) -> None:
    execute(server, "CREATE SEQUENCE IF NOT EXISTS counter")
    with pytest.raises(HeadraceError, match="cannot execute nextval.. in a read-only transaction"):
        list(opened(server, "SELECT nextval('counter') AS n").batches())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "postgresql://app:wr0ng-pass@{}/postgres",
            "expected a connection. Received: .*password authentication failed",
        ),
        ("postgresql://app:wr0ng-pass@{}/nowhere?application_name=x", "expected a connection"),
        ("postgresql://app:wr0ng-pass@127.0.0.1:1/postgres", "expected a connection. Received: .*Connection refused"),
        ("postgresql://app:wr0ng-pass@{}/postgres?nosuch=1", "expected a connection. Received: .*nosuch"),
    ],
)
def test_no_connection(server: str, source: str, message: str) -> None:
    source = source.format(server)
    with pytest.raises(HeadraceError, match=message) as caught:
        open_sql(source, DataSpec(source=source, query="people", label="y"))
    assert "wr0ng" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_connection_that_breaks_half_way(server: str) -> None:
    found = opened(server, "SELECT a.*, repeat('x', 1000) AS wide FROM people AS a")
    batches = found.batches()
    next(batches)
    execute(
        server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
    # A server that waits for room to write cannot say why it closes; one that is at its rows says it first.
    why = "(server closed the connection unexpectedly|FATAL: terminating connection due to administrator command)"
    with pytest.raises(HeadraceError, match=f"postgres: expected rows to the last. Received: {why}"):
        list(batches)
    assert sum(batch.num_rows for batch in found.batches()) == ROWS  # and the next pass has all


def test_memory_stays_bounded(server: str) -> None:
    query = "SELECT i AS id, repeat('x', 200) AS wide FROM generate_series(1, 1000000) AS i"
    found = opened(server, query)
    before, peak = pa.total_allocated_bytes(), 0
    for batch in found.batches():
        peak = max(peak, pa.total_allocated_bytes() - before, batch.nbytes)
    assert peak < 100 << 20  # of 200 MiB


def test_the_fingerprint_follows_the_rows_and_not_their_order(server: str) -> None:
    execute(
        server,
        "CREATE TABLE moving AS SELECT i AS id, i * 0.1 AS x, 'a' AS t FROM generate_series(1, 1000) AS i",
    )
    data = {"query": "moving"}
    first = fingerprint(url(server), data)
    assert fingerprint(url(server), data) == first
    execute(server, "UPDATE moving SET x = x WHERE id = 5")  # the row lies elsewhere now
    assert fingerprint(url(server), data) == first
    for change in (
        "UPDATE moving SET x = x + 0.0001 WHERE id = 5",
        "UPDATE moving SET t = NULL WHERE id = 6",
        "UPDATE moving SET t = '' WHERE id = 6",
        "INSERT INTO moving SELECT * FROM moving WHERE id = 7",
        "ALTER TABLE moving RENAME x TO z",
        "ALTER TABLE moving ALTER id TYPE bigint",
        "DELETE FROM moving WHERE id = 7",
    ):
        execute(server, change)
        second = fingerprint(url(server), data)
        assert second != first, change
        first = second


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.components.ingest.sources.postgres.CONNECT_SECONDS", 2)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        source = f"postgresql://app@127.0.0.1:{deaf.getsockname()[1]}/db"
        with pytest.raises(HeadraceError, match="expected a connection. Received: .*timeout expired"):
            open_sql(source, DataSpec(source=source, query="t", label="y"))


def _assert_secret(error: Exception) -> None:
    for spelling in (PASSWORD, quote(PASSWORD, safe=""), PASSWORD[:5]):
        assert spelling not in str(error)
