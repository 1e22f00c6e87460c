"""Checks of one's own: SQL that reaches nothing but the data, and plain functions."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.findings import Finding
from headrace.components.check.custom import find_by_custom_checks
from headrace.components.check.function_check import embed_functions, function_files
from headrace.components.validate.spec import ValidateSpec
from tests.unit.components.check.snapshots import snapshot


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    rows = 200
    columns = {
        "id": [f"r{i}" for i in range(rows)],
        "age": [float(i) for i in range(rows)],
        "the plan": ["pro" if i % 2 else "basic" for i in range(rows)],
        "y": [str(i % 2) for i in range(rows)],
    }
    return snapshot(tmp_path_factory.mktemp("data") / "snapshot", columns, id="id")


def run(data: Dataset, folder: Path | None = None, **check: Any) -> Finding | None:
    settings = ValidateSpec.model_validate({"checks": [{"name": "mine", **check}]})
    if folder is not None:
        settings = embed_functions(settings, folder)
    found = find_by_custom_checks(data, settings.checks)
    assert len(found) < 2
    return found[0] if found else None


def test_rows_that_are_selected_are_wrong(data: Dataset) -> None:
    assert run(data, sql="SELECT * FROM data WHERE age < 0") is None
    found = run(data, sql="SELECT id, age FROM data WHERE age > 120 -- too old\n;")
    assert found is not None
    assert (found.level, found.rows) == ("error", 79)
    assert found.examples == ["r121", "r122", "r123", "r124", "r125"]
    assert found.line() == (
        "(all rows): expected the check `mine` to pass. Received: 79 rows that its query selects, such as r121, r122, "
        "r123, r124, r125. See validate.checks in the spec: SELECT id, age FROM data WHERE age > 120 -- too old\n;"
    )
    found = run(data, sql='SELECT "the plan", count(*) AS n FROM data GROUP BY ALL', level="warn")
    assert found is not None
    assert found.level == "warn"
    assert found.examples == ["(the plan=basic, n=100)", "(the plan=pro, n=100)"]


def test_a_value_has_to_be_true(data: Dataset) -> None:
    assert run(data, sql="SELECT count(*) = 200 FROM data", expect=True) is None
    assert run(data, sql="SELECT (SELECT count(*) FROM train) > (SELECT count(*) FROM test)", expect="true") is None
    for query, said in {
        "SELECT avg(age) > 120 FROM data": "False where true was expected",
        "SELECT NULL": "None where true was expected",  # not known is not true
        "SELECT 1": "1 where true was expected",
        "SELECT true FROM data": "2 rows",
        "SELECT true, true": "2 columns",
        "SELECT true WHERE false": "no row",
    }.items():
        found = run(data, sql=query, expect="true")
        assert found is not None, query
        assert said in found.received


def test_off_is_not_run(data: Dataset) -> None:
    assert run(data, sql="SELECT nonsense", level=False) is None


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing FROM data",
        "SELEC 1",
        "",
        "SELECT 1 WHERE false; SELECT 2 WHERE false",
        "DROP VIEW data",
        "CREATE TABLE mine AS SELECT 1",
        "SET memory_limit = '100GB'",
        "PRAGMA database_list",
    ],
)
def test_what_is_not_one_select_that_runs_does_not_pass(query: str, data: Dataset) -> None:
    if not query:
        with pytest.raises(ValueError, match="at least 1 character"):
            run(data, sql=query)
        return
    found = run(data, sql=query)
    assert found is not None
    assert found.received.startswith("SQL that ")


SECRET = "root:"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/*')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('{file}')",  # its own file, past the views
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "SELECT * FROM data, read_text('/etc/passwd')",
        "COPY (SELECT * FROM data) TO '{folder}/copy.csv'",
        "EXPORT DATABASE '{folder}/export'",
        "ATTACH '{folder}/attached.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
    ],
)
def test_sql_reads_and_writes_no_file(query: str, data: Dataset, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in data.path.rglob("*") if file.is_file()}
    found = run(data, sql=query.format(folder=tmp_path, file=data.file("train")))
    assert found is not None
    assert found.received.startswith("SQL that ")
    assert SECRET not in found.line()
    assert not found.examples
    assert list(tmp_path.iterdir()) == []
    assert {file: file.read_bytes() for file in data.path.rglob("*") if file.is_file()} == before


def test_sql_calls_no_server(data: Dataset) -> None:
    called = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/x.csv"
        for query in (f"SELECT * FROM '{address}'", f"SELECT * FROM read_csv('{address}')"):
            assert run(data, sql=query) is not None
        server.shutdown()
    assert called == []


def test_sql_sees_no_variable_of_python(data: Dataset) -> None:
    import pandas as pd

    secret = pd.DataFrame({"password": ["hunter2"]})
    found = run(data, sql="SELECT * FROM secret")
    assert found is not None
    assert len(secret) == 1
    assert "hunter2" not in found.line()
    assert "secret does not exist" in found.received


FUNCTIONS = """
from headrace.components.check import ValidationResult

def ages(data):
    old = data[data.age > 120]
    return ValidationResult(old.empty, f"{len(old)} people are too old", {"examples": old.id.tolist(), "oldest": old.age.max()})

def fine(data):
    return len(data) == 140

def counts(batches):
    rows = sum(len(batch) for batch in batches)
    return ValidationResult(rows == 200, f"{rows} rows")

def truth(data):
    return data.age.max() < 0

def nothing(data):
    pass

def broken(data):
    return data.nothing
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_checks.py").write_text(FUNCTIONS)
    return tmp_path


def test_a_function_gets_a_frame_and_says_what_it_found(data: Dataset, folder: Path) -> None:
    found = run(data, folder, function="my_checks.py:ages")
    assert found is not None
    assert found.received == "79 people are too old (oldest 199.0)"
    assert found.examples == ["r121", "r122", "r123", "r124", "r125"]
    assert run(data, folder, function="my_checks.py:fine", split="train") is None
    assert run(data, folder, function="my_checks.py:counts", batches=True) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("truth", "truth returned False"),
        ("nothing", "expected a ValidationResult, or a truth value. Received: NoneType"),
        ("broken", "AttributeError: 'DataFrame' object has no attribute 'nothing' (my_checks.py, line 22)"),
    ],
)
def test_a_function_that_gives_no_good_answer_did_not_pass(name: str, said: str, data: Dataset, folder: Path) -> None:
    found = run(data, folder, function=f"my_checks.py:{name}", level="warn")
    assert found is not None
    assert (found.level, found.received) == ("warn", said)


def test_the_text_of_the_functions_travels_and_not_the_file(data: Dataset, folder: Path) -> None:
    settings = ValidateSpec.model_validate({"checks": [{"name": "mine", "function": "my_checks.py:ages"}]})
    embedded = embed_functions(settings, folder)
    assert embedded.checks[0].source == FUNCTIONS
    assert function_files(settings) == ["my_checks.py"]
    (folder / "my_checks.py").unlink()
    assert len(find_by_custom_checks(data, embedded.checks)) == 1
    (found,) = find_by_custom_checks(data, settings.checks)
    assert "expected the text of my_checks.py in the compiled pipeline" in found.received


def test_a_spec_without_functions_stays_as_it_is(tmp_path: Path) -> None:
    settings = ValidateSpec.model_validate({"checks": [{"name": "a", "sql": "SELECT 1"}]})
    assert embed_functions(settings, tmp_path) is settings


@pytest.mark.parametrize(
    ("content", "function", "said"),
    [
        (None, "my_checks.py:ages", "my_checks.py: expected the file of a check. Received: No such file or directory"),
        ("def ages(:\n", "my_checks.py:ages", "my_checks.py:1: expected Python. Received: "),
        ("x = 1\n", "my_checks.py:ages", "my_checks.py: expected a function `ages`, which validate.checks names"),
    ],
)
def test_a_file_that_has_no_such_function_is_found_when_compiling(
    content: str | None, function: str, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "my_checks.py").write_text(content)
    settings = ValidateSpec.model_validate({"checks": [{"name": "mine", "function": function}]})
    with pytest.raises(HeadraceError) as error:
        embed_functions(settings, tmp_path)
    assert said in str(error.value)
