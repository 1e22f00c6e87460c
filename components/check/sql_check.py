"""An SQL assertion over a snapshot, in a database that reaches nothing else: no file, no network, no setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.findings import MOST_EXAMPLES
from headrace.artifacts.scratch import Scratch
from headrace.components.check.result import ValidationResult
from headrace.components.check.rows import MEMORY, parquet_files
from headrace.components.validate.spec import CustomCheck

if TYPE_CHECKING:
    import duckdb

_SHOWN = 120

# The data is handed in as Arrow datasets, so that not even its own files have to be allowed.
_LOCKS = (
    "SET enable_progress_bar = false",
    "SET python_enable_replacements = false",  # a table's name would else find Python's variables
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def run_sql(snapshot: Dataset, check: CustomCheck) -> ValidationResult:
    """Runs the check's SELECT. Whatever goes wrong with it, it did not pass."""
    import duckdb
    import pyarrow.dataset as pads

    with Scratch("check") as folder:
        connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(folder)})
        try:
            for name, files in parquet_files(snapshot).items():
                connection.register(name, pads.dataset([str(file) for file in files], format="parquet"))
            for lock in _LOCKS:
                connection.execute(lock)
            return _asked(connection, check, snapshot.info.id)
        except duckdb.Error as error:
            reason = str(error).split("\n\n")[0].replace("\n", " ")
            return ValidationResult(False, f"SQL that cannot be run: {type(error).__name__}: {reason}")
        finally:
            connection.close()


def _asked(connection: duckdb.DuckDBPyConnection, check: CustomCheck, id: str | None) -> ValidationResult:
    import duckdb

    assert check.sql is not None
    statements = connection.extract_statements(check.sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        return ValidationResult(False, f"SQL that is not one SELECT, but {kinds}")
    query = statements[0].query.strip().rstrip(";")
    return _is_true(connection, query) if check.expect == "true" else _has_no_rows(connection, query, id)


def _is_true(connection: duckdb.DuckDBPyConnection, query: str) -> ValidationResult:
    rows = connection.execute(query).fetchmany(2)
    if len(rows) != 1 or len(rows[0]) != 1:
        shape = f"{len(rows)} rows" if len(rows) != 1 else f"{len(rows[0])} columns"
        return ValidationResult(False, f"expected one value, true. Received: {shape if rows else 'no row'}")
    value = rows[0][0]
    return ValidationResult(value is True, f"{value} where true was expected")


def _has_no_rows(connection: duckdb.DuckDBPyConnection, query: str, id: str | None) -> ValidationResult:
    counted = connection.execute(f"SELECT count(*) FROM ({query}\n)").fetchone()
    number = int(counted[0]) if counted else 0
    if not number:
        return ValidationResult(True)
    cursor = connection.execute(f"SELECT * FROM ({query}\n) ORDER BY ALL LIMIT {MOST_EXAMPLES}")
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    if id in names:
        examples = [str(row[names.index(id)]) for row in rows]
    else:
        examples = [f"({', '.join(f'{n}={v}' for n, v in zip(names, row, strict=True))})"[:_SHOWN] for row in rows]
    plural = "1 row" if number == 1 else f"{number:,} rows"
    return ValidationResult(False, f"{plural} that its query selects", {"rows": number, "examples": examples})
