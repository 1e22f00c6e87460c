"""Writes platforms/local/tracking/mlflow.sql, the tables of an empty MLflow store, as the lock's MLflow makes them.

python tools/mlflow_schema.py            # after the lock has taken another MLflow
python tools/mlflow_schema.py --check    # is the file what this MLflow makes? A test asks it too.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "platforms" / "local" / "tracking" / "mlflow.sql"
HEAD = "-- The tables of an empty MLflow {version} store. Written by tools/mlflow_schema.py: do not edit.\n"


def schema() -> str:
    """The statements that make what `mlflow db upgrade` makes on an empty file, and the rows that it puts there."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.store.db import utils

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        engine = utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{file}")
        utils._safe_initialize_tables(engine)
        engine.dispose()
        with closing(sqlite3.connect(file)) as connection:
            statements = [s for s in connection.iterdump() if s not in ("BEGIN TRANSACTION;", "COMMIT;")]
    text = "\n".join(line.rstrip() for line in "\n".join(statements).splitlines())
    return f"{HEAD.format(version=mlflow.__version__)}{text}\n"


def same(one: str, other: str) -> bool:
    """Whether two schemas say the same: MLflow makes constraints and indices in an order of its own each time."""
    return sorted(line.rstrip(",") for line in one.splitlines()) == sorted(
        line.rstrip(",") for line in other.splitlines()
    )


if __name__ == "__main__":
    text = schema()
    if "--check" in sys.argv:
        there = TARGET.read_text() if TARGET.exists() else ""
        sys.exit(0 if same(there, text) else f"{TARGET.name} is not what this MLflow makes: run tools/mlflow_schema.py")
    TARGET.write_text(text)
