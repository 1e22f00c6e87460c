from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.local.database import FILE, Database
from headrace.platforms.local.rows import record


def test_a_new_file_is_write_ahead_and_leaves_nothing_else(tmp_path: Path) -> None:
    with Database(tmp_path / "home").write() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert [file.name for file in (tmp_path / "home").iterdir()] == [FILE]


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.write():
        pass
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 4")
    with (
        pytest.raises(ArtifactError, match=r"Received: version 4\. Upgrade headrace to use it"),
        database.read(),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_file_that_is_no_registry_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match="expected a model registry"), Database(tmp_path).read():
        pass
    assert (tmp_path / FILE).read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(ArtifactError, match="Received: another or an empty file"), Database(tmp_path).write():
        pass


def test_a_block_that_raises_leaves_no_trace(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        record(connection, "alias", "homes", "", {})
        raise ZeroDivisionError
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (0,)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_audit_log_is_only_added_to(tmp_path: Path, statement: str) -> None:
    database = Database(tmp_path)
    with database.write() as connection:
        record(connection, "alias", "homes", "", {})
    with pytest.raises(HeadraceError, match="the audit log is only added to"), database.write() as connection:
        connection.execute(statement)


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with (
        pytest.raises(HeadraceError, match="expected a registry that can be used"),
        Database(tmp_path / "home").read(),
    ):
        pass


def _create(home: Path, start: multiprocessing.synchronize.Event) -> None:
    start.wait()
    with Database(home).write() as connection:
        record(connection, "alias", "homes", "", {})


def test_processes_that_create_it_at_once_share_one_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(10):
        start = context.Event()
        home = tmp_path / str(attempt)
        processes = [context.Process(target=_create, args=(home, start)) for _ in range(4)]
        for process in processes:
            process.start()
        start.set()
        for process in processes:
            process.join()
            assert process.exitcode == 0
        with Database(home).read() as connection:
            assert connection.execute("SELECT count(*) FROM audit").fetchone() == (4,)


@pytest.mark.parametrize("home", ["", "missing"])
def test_reading_where_there_is_no_registry_makes_none(tmp_path: Path, home: str) -> None:
    database = Database(tmp_path / home)
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM model_version").fetchone() == (0,)
    assert list(tmp_path.iterdir()) == []
    with database.write() as connection:
        record(connection, "alias", "homes", "", {})
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (1,)


def test_a_file_that_goes_while_it_is_opened_is_not_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.platforms.local.database._exists", lambda _: True)
    with pytest.raises(HeadraceError, match="expected a registry that can be used"), Database(tmp_path).read():
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    database = Database(tmp_path / "100% #1?mode=ro é")
    with database.write() as connection:
        record(connection, "alias", "homes", "", {})
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (1,)
