"""Ground truth, joined with what the servers have logged: how much the predictions of each version lose.

The servers' log has a row per prediction, with its request's id (`serving.log_columns`). Outcomes are files with
that id and what came true. Losses lie between 0 and 1: a wrong label, half the squared distance of the probabilities
(Brier, 1950), or an absolute error over a scale. The rows of one request count as one, with their mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.rollout.state import Rollout

if TYPE_CHECKING:
    import duckdb

    from headrace.pipelines.rollout.driving import Outcomes, Sums

TRUTHS = ("outcome", "truth", "label", "actual")  # names of the column that says what came true
WRONG, BRIER, ABSOLUTE = "wrong", "brier", "absolute"
_ID, _ROW = "request_id", "row"
_LOGGED = (_ID, _ROW, "version", "digest", "time", "shadow", "prediction")
_READERS = {".csv": "read_csv(?, all_varchar = true)", ".jsonl": "read_json(?)", ".json": "read_json(?)",
            ".parquet": "read_parquet(?)"}  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    """Where outcomes come from, and how they are judged."""

    predictions: Path
    files: tuple[Path, ...]
    loss: str | None
    scale: float | None


def joined(predictions: str, files: Sequence[str], loss: str | None = None, scale: float | None = None) -> Outcomes:
    """What brings the losses of a rollout's versions; files are read again when they have changed.

    Args:
        predictions: the folder of the servers' logs.
        files: of outcomes.
        loss: `wrong`, `brier` or `absolute`; by default wrong labels, and of numbers the absolute error.
        scale: the absolute error that counts as 1.

    Raises:
        HeadraceError: a setting that cannot be.
    """
    if scale is not None and not (scale > 0 and math.isfinite(scale)):
        raise HeadraceError(f"loss scale: expected more than 0. Received: {scale}")
    asked = _Asked(Path(predictions), tuple(map(Path, files)), loss, scale)
    for file in asked.files:
        if file.suffix not in _READERS:
            raise HeadraceError(f"outcomes: expected a file that ends in {', '.join(_READERS)}. Received: {file}")
    known: dict[str, Any] = {"state": None, "sums": {}}

    def bring(rollout: Rollout) -> Sums:
        state = (*(_stamp(file) for file in _logs(asked.predictions)), *(_stamp(file) for file in asked.files),
                 rollout.boundaries)  # fmt: skip
        if state != known["state"]:
            known["sums"] = losses(asked, rollout)
            known["state"] = state
        found: Sums = known["sums"]
        return found

    return bring


def losses(asked: _Asked, rollout: Rollout) -> Sums:
    """By step: the candidate's sum of losses and number of requests, and the baseline's.

    Raises:
        HeadraceError: the files cannot be read, or do not fit.
    """
    import duckdb

    logs = _logs(asked.predictions)
    there = [file for file in asked.files if file.is_file()]
    if not logs or not there or not rollout.boundaries:  # nothing is known yet
        return {}
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1; SET TimeZone = 'UTC'")
        try:
            return _losses(connection, asked, rollout, logs, there)
        except duckdb.Error as error:
            raise HeadraceError(f"outcomes: expected files that can be read. Received: {error}") from None


def _losses(
    connection: duckdb.DuckDBPyConnection, asked: _Asked, rollout: Rollout, logs: list[Path], there: list[Path]
) -> Sums:
    by_row = _truths(connection, there)
    subject = rollout.subject
    digests = [subject.digests[subject.candidate], subject.digests[subject.baseline]]
    source = f"read_parquet([{', '.join(_text(str(file)) for file in logs)}], union_by_name = true)"
    names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    if missing := [name for name in _LOGGED if name not in names]:
        raise HeadraceError(
            f"{asked.predictions}: expected the servers' log, with {', '.join(missing)}. Received: {', '.join(names)}"
        )
    classes = ", any_value(probabilities) AS probabilities" if "probabilities" in names else ""
    connection.execute(
        "CREATE TEMP TABLE answer AS SELECT request_id, row, any_value(version) AS version, min(time) AS time, "
        f"any_value(prediction) AS prediction{classes} FROM {source} WHERE NOT shadow AND digest IN (?, ?) "
        "AND request_id IN (SELECT request_id FROM truth) GROUP BY request_id, row",
        digests,
    )
    loss = _loss(connection, asked)
    on = "USING (request_id, row)" if by_row else "USING (request_id) WHERE answer.row = 0 AND request_id NOT IN " \
         "(SELECT request_id FROM answer WHERE row > 0)"  # fmt: skip
    found = connection.execute(
        f"SELECT version, step, sum(loss), count(*) FROM (SELECT request_id, any_value(version) AS version, "
        f"any_value({_step(rollout)}) AS step, avg({loss}) AS loss FROM answer JOIN truth {on} GROUP BY request_id) "
        "WHERE step IS NOT NULL AND loss IS NOT NULL GROUP BY version, step"
    ).fetchall()
    sums: dict[str, list[float]] = {}
    for version, step, total, count in found:
        at = 0 if version == subject.candidate else 2
        entry = sums.setdefault(str(step), [0.0, 0.0, 0.0, 0.0])
        entry[at], entry[at + 1] = float(total), float(count)
    return {step: (one[0], one[1], one[2], one[3]) for step, one in sums.items()}


def _truths(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> bool:
    """The table `truth`, each request or row once; whether it says which row."""
    parts, by_row = [], False
    for number, file in enumerate(files):
        reader = _READERS[file.suffix].replace("?", _text(str(file)))
        connection.execute(f"CREATE TEMP VIEW file_{number} AS SELECT * FROM {reader}")
        names = [row[0] for row in connection.execute(f"DESCRIBE file_{number}").fetchall()]
        if _ID not in names:
            raise HeadraceError(f"{file}: expected a column {_ID}. Received: {', '.join(names)}")
        rest = [name for name in names if name not in (_ID, _ROW)]
        chosen = next((name for name in TRUTHS if name in rest), rest[0] if len(rest) == 1 else None)
        if chosen is None:
            raise HeadraceError(f"{file}: expected a column {' or '.join(TRUTHS)}. Received: {', '.join(names)}")
        by_row = by_row or _ROW in names
        row = f"CAST({_ROW} AS INTEGER)" if _ROW in names else "0"
        truth = f"CAST({_name(chosen)} AS VARCHAR) AS truth"
        parts.append(f"SELECT CAST({_ID} AS VARCHAR) AS {_ID}, {row} AS {_ROW}, {truth} FROM file_{number}")
    union = " UNION ALL ".join(parts)
    connection.execute(
        f"CREATE TEMP TABLE truth AS SELECT {_ID}, {_ROW}, any_value(truth) AS truth FROM ({union}) "
        f"WHERE truth IS NOT NULL GROUP BY {_ID}, {_ROW} HAVING count(DISTINCT truth) = 1"
    )
    return by_row


def _loss(connection: duckdb.DuckDBPyConnection, asked: _Asked) -> str:
    """The loss of a prediction, as SQL."""
    columns = {row[0]: str(row[1]) for row in connection.execute("DESCRIBE answer").fetchall()}
    numbers = columns["prediction"] in ("DOUBLE", "FLOAT")
    loss = asked.loss or (ABSOLUTE if numbers else WRONG)
    if numbers != (loss == ABSOLUTE):
        expected = ABSOLUTE if numbers else f"{WRONG} or {BRIER}"
        raise HeadraceError(f"loss: expected {expected}, by what is predicted. Received: {loss}")
    if loss == ABSOLUTE:
        if asked.scale is None:
            raise HeadraceError("loss scale: expected the absolute error that counts as 1, of numbers. Received: none")
        return f"least(abs(prediction - CAST(truth AS DOUBLE)) / {asked.scale!r}, 1.0)"
    _require_labels(connection, columns)
    if loss == WRONG:
        return f"CAST({_other('prediction')} AS INTEGER)"
    classes = _classes(connection)
    if not classes:
        raise HeadraceError(f"loss: expected {WRONG}, where the log has no probabilities by class. Received: {BRIER}")
    squares = (
        f"pow(struct_extract(probabilities, {_text(name)}) - CAST(NOT {_other(_text(name))} AS INTEGER), 2)"
        for name in classes
    )
    return f"0.5 * ({' + '.join(squares)})"


def _other(label: str) -> str:
    """Whether what came true is another label: 1.0 in a file of numbers is the label 1."""
    return f"({label} <> truth AND {label} <> regexp_replace(truth, '\\.0+$', ''))"


def _require_labels(connection: duckdb.DuckDBPyConnection, columns: dict[str, str]) -> None:
    """Refuses outcomes that are written in another way than labels: they would all be wrong."""
    if "probabilities" not in columns:
        return
    classes = _classes(connection)
    if not classes:
        return
    known = ", ".join(_text(name) for name in classes)
    fits = f"truth IN ({known}) OR regexp_replace(truth, '\\.0+$', '') IN ({known})"
    found = connection.execute(f"SELECT count(*), count(*) FILTER ({fits}), min(truth) FROM truth").fetchone()
    every, fitting, one = found or (0, 0, "")
    if every and not fitting:
        raise HeadraceError(f"outcomes: expected labels such as {', '.join(classes[:5])}. Received: {str(one)[:80]!r}")


def _classes(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The fields of the column `probabilities`; none where it is a list, or not there."""
    kind = connection.execute("SELECT probabilities FROM answer LIMIT 0").description
    if not kind:
        return []
    row = connection.execute("SELECT probabilities FROM answer LIMIT 1").fetchone()
    return list(row[0]) if row and isinstance(row[0], dict) else []


def _step(rollout: Rollout) -> str:
    """The step in which a request was answered, as SQL: shares differ from step to step, so each stands for itself."""
    cases = [f"WHEN epoch_us(answer.time) >= {int(time * 1e6)} THEN {number}" for number, (time, _) in
             reversed(list(enumerate(rollout.boundaries)))]  # fmt: skip
    return f"CASE {' '.join(cases)} END"


def _logs(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.parquet") if not file.name.startswith((".", "_")))


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        found = file.stat()
    except OSError:
        return (str(file), 0, 0)
    return (str(file), found.st_mtime_ns, found.st_size)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
