from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b", "more"):
        (tmp_path / f"{name}.csv").write_text(f"id,x\n1,{name}\n")
    return tmp_path


def test_a_list_covers_each_source_in_its_place(folder: Path) -> None:
    a, b = (str(folder / f"{name}.csv") for name in "ab")
    assert fingerprint([a]) == fingerprint(a)
    digests = {fingerprint(a), fingerprint([a, b]), fingerprint([b, a]), fingerprint([a, a])}
    assert len(digests) == 4
    Path(b).write_text("id,x\n1,c\n")
    assert fingerprint([a, b]) not in digests


def test_what_is_joined_is_covered(folder: Path) -> None:
    source = str(folder / "a.csv")
    data = {"join": [{"source": str(folder / "more.csv"), "on": ["id"], "how": "left"}]}
    first = fingerprint(source, data)
    assert first != fingerprint(source)
    (folder / "more.csv").write_text("id,x\n1,else\n")
    assert fingerprint(source, data) != first
    (folder / "more.csv").unlink()
    with pytest.raises(HeadraceError, match="more.csv: expected a file. Received: no such file"):
        fingerprint(source, data)


def test_a_joined_database_has_a_query_of_its_own(folder: Path) -> None:
    with sqlite3.connect(folder / "x.db") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS id")
        connection.execute("CREATE TABLE u AS SELECT 2 AS id")
    connection.close()
    join = {"source": f"sqlite:///{folder / 'x.db'}", "on": ["id"]}
    source = str(folder / "a.csv")
    digests = {fingerprint(source, {"join": [{**join, "query": query}]}) for query in ("t", "u")}
    assert len(digests) == 2


def test_settings_that_say_nothing_of_the_source_do_not_count(folder: Path) -> None:
    source = str(folder / "a.csv")
    assert fingerprint(source, {"label": {"name": "x"}, "decimal": ",", "join": []}) == fingerprint(source)


def test_a_file_url_is_a_path(folder: Path) -> None:
    assert fingerprint(f"file://{folder}/a.csv") == fingerprint(str(folder / "a.csv"))


def test_a_variable_holds_the_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TEST_SOURCE", f"file://{folder}/a.csv")
    assert fingerprint("${HEADRACE_TEST_SOURCE}") == fingerprint(str(folder / "a.csv"))
