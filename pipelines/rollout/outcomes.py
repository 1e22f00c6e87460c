"""Ground truth, joined with what the servers have logged: how much the predictions of each version lose.

The servers' log has a row per prediction, with its request's id (`serving.log_columns`). Outcomes are files with
that id and what came true. Losses lie between 0 and 1: a wrong label, half the squared distance of the probabilities
(Brier, 1950), or an absolute error over a scale, at most 1. The rows of one request count as one, with their mean.

A prediction that is NaN or infinite loses 1, whatever the loss: nobody can use it, and no sum survives it. A label that
was chosen by such probabilities is as arbitrary, and loses 1 too, even where it happens to be right. Outcomes that are
NaN are not known yet, as those that are empty or null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
_JSON = "read_json(?, maximum_depth = 1)"  # each value as it is written: guessed types would turn an id's AB into ab
_READERS = {".csv": "read_csv(?, all_varchar = true)", ".jsonl": _JSON, ".json": _JSON,
            ".parquet": "read_parquet(?)"}  # fmt: skip
_WHOLE = "regexp_replace(truth, '\\.0+$', '')"  # what came true, where a file of numbers has 1.0 for the label 1


@dataclass(frozen=True)
class _Asked:
    """Where outcomes come from, and how they are judged."""

    predictions: Path
    files: tuple[Path, ...]
    loss: str | None
    scale: float | None


@dataclass(frozen=True)
class _Predicted:
    """What the log has of both versions."""

    numbers: bool  # they predict numbers, and not labels
    classes: tuple[str, ...]  # that either version has probabilities for; none where they are not in fields
    scored: bool  # the log has scores, which are NaN where a probability is


class NoneJoinsError(HeadraceError):
    """There are outcomes, and answers, and none of the outcomes is of any of the answers."""


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
    known: dict[str, Any] = {"state": None, "sums": {}, "none": None}

    def bring(rollout: Rollout) -> Sums:
        state = (*(_stamp(file) for file in _logs(asked.predictions)), *(_stamp(file) for file in asked.files),
                 rollout.boundaries)  # fmt: skip
        if state != known["state"]:
            known["none"] = None
            try:
                known["sums"] = losses(asked, rollout)
            except NoneJoinsError as error:
                known["sums"], known["none"] = {}, str(error)
            known["state"] = state
        if known["none"] is not None:
            raise NoneJoinsError(known["none"])
        found: Sums = known["sums"]
        return found

    return bring


def losses(asked: _Asked, rollout: Rollout) -> Sums:
    """By step: the candidate's sum of losses and number of requests, and the baseline's.

    Raises:
        NoneJoinsError: not one outcome is of a request that the log has.
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
    by_row = _told(connection, there)
    subject = rollout.subject
    digests = [subject.digests[subject.candidate], subject.digests[subject.baseline]]
    files = _files_of(connection, asked, logs, digests)
    if not files:  # neither has answered yet
        return {}
    predicted = _answers(connection, files, digests)
    _truths(connection, predicted)
    on = "USING (request_id, row)" if by_row else "USING (request_id) WHERE answer.row = 0 AND request_id NOT IN " \
         "(SELECT request_id FROM answer WHERE row > 0)"  # fmt: skip
    connection.execute(f"CREATE TEMP TABLE judged AS SELECT answer.*, truth FROM answer JOIN truth {on}")
    if not _any(connection, "truth"):
        return {}
    if not _any(connection, "judged"):
        raise _none_joins(connection, asked, by_row, files, digests)
    loss = _loss(connection, asked, predicted)
    found = connection.execute(
        f"SELECT version, step, sum(loss), count(*) FROM (SELECT request_id, any_value(version) AS version, "
        f"any_value({_step(rollout)}) AS step, avg({loss}) AS loss FROM judged GROUP BY request_id) "
        "WHERE step IS NOT NULL AND loss IS NOT NULL GROUP BY version, step"
    ).fetchall()
    sums: dict[str, list[float]] = {}
    for version, step, total, count in found:
        at = 0 if version == subject.candidate else 2
        entry = sums.setdefault(str(step), [0.0, 0.0, 0.0, 0.0])
        entry[at], entry[at + 1] = float(total), float(count)
    return {step: (one[0], one[1], one[2], one[3]) for step, one in sums.items()}


def _told(connection: duckdb.DuckDBPyConnection, files: list[Path]) -> bool:
    """The table `told`, all that the files of outcomes have, as text; whether it says which row."""
    parts, by_row = [], False
    for number, file in enumerate(files):
        reader = _READERS[file.suffix].replace("?", _text(str(file)))
        connection.execute(f"CREATE TEMP VIEW file_{number} AS SELECT * FROM {reader}")
        kinds = {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE file_{number}").fetchall()}
        names = list(kinds)
        if _ID not in names:
            raise HeadraceError(f"{file}: expected a column {_ID}. Received: {', '.join(names)}")
        rest = [name for name in names if name not in (_ID, _ROW)]
        chosen = next((name for name in TRUTHS if name in rest), rest[0] if len(rest) == 1 else None)
        if chosen is None:
            raise HeadraceError(f"{file}: expected a column {' or '.join(TRUTHS)}. Received: {', '.join(names)}")
        by_row = by_row or _ROW in names
        row = f"CAST({_written(_ROW, kinds[_ROW])} AS INTEGER)" if _ROW in names else "0"
        truth = f"{_written(chosen, kinds[chosen])} AS truth"
        parts.append(f"SELECT {_written(_ID, kinds[_ID])} AS {_ID}, {row} AS {_ROW}, {truth} FROM file_{number}")
    connection.execute(f"CREATE TEMP TABLE told AS {' UNION ALL '.join(parts)}")
    return by_row


def _written(name: str, kind: str) -> str:
    """A cell of a file as text, as SQL; NULL where there is none."""
    if kind == "JSON":
        return f"({_name(name)} ->> '$')"
    text = f"CAST({_name(name)} AS VARCHAR)"
    return f"nullif({text}, 'nan')" if kind in ("DOUBLE", "FLOAT") else text


def _files_of(connection: duckdb.DuckDBPyConnection, asked: _Asked, logs: list[Path], digests: list[str]) -> list[str]:
    """The files of the log in which one of the bundles answered.

    The others are left out altogether: one of a model with other outputs would change the columns' types for all.
    """
    source = _parquet(map(str, logs), ", filename = true")
    names = connection.sql(f"SELECT * EXCLUDE (filename) FROM {source}").columns
    if missing := [name for name in _LOGGED if name not in names]:
        raise HeadraceError(
            f"{asked.predictions}: expected the servers' log, with {', '.join(missing)}. Received: {', '.join(names)}"
        )
    query = f"SELECT DISTINCT filename FROM {source} WHERE NOT shadow AND digest IN (?, ?)"
    return sorted(row[0] for row in connection.execute(query, digests).fetchall())


def _answers(connection: duckdb.DuckDBPyConnection, files: list[str], digests: list[str]) -> _Predicted:
    """The table `answer`: what was predicted for the requests that outcomes are told of, each request or row once."""
    source = _parquet(files)
    log = connection.sql(f"SELECT * FROM {source}")
    kinds = dict(zip(log.columns, log.types, strict=True))
    by_class = kinds.get("probabilities")
    # Of many classes they are lists: a log that has both kinds cannot be read as one column.
    classes = [str(name) for name, _ in by_class.children] if by_class is not None and by_class.id == "struct" else []
    wanted = [*(["probabilities"] if classes else []), *(["score"] if "score" in kinds else [])]
    also = "".join(f", any_value({name}) AS {name}" for name in wanted)
    connection.execute(
        "CREATE TEMP TABLE answer AS SELECT request_id, row, any_value(version) AS version, min(time) AS time, "
        f"any_value(prediction) AS prediction{also} FROM {source} WHERE NOT shadow AND digest IN (?, ?) "
        "AND request_id IN (SELECT request_id FROM told) GROUP BY request_id, row",
        digests,
    )
    return _Predicted(str(kinds["prediction"]) in ("DOUBLE", "FLOAT"), tuple(classes), "score" in kinds)


def _truths(connection: duckdb.DuckDBPyConnection, predicted: _Predicted) -> None:
    """The table `truth`: what came true, each request or row once, without what is not known and what is disputed.

    numpy and pandas write `nan` for what is not known; among labels it is one, where a version knows it.
    """
    labels: set[str] = set()
    if not predicted.numbers:
        found = connection.execute("SELECT DISTINCT prediction FROM answer WHERE prediction IS NOT NULL").fetchall()
        labels = {*predicted.classes, *(str(row[0]) for row in found)}
    unknown = " AND ".join(
        ["lower(trim(truth)) IN ('nan', '-nan', '+nan')",
         *(f"truth <> {_text(name)}" for name in sorted(labels) if "nan" in name.lower())]
    )  # fmt: skip
    connection.execute(
        f"CREATE TEMP TABLE truth AS SELECT {_ID}, {_ROW}, any_value(truth) AS truth FROM told "
        f"WHERE truth IS NOT NULL AND NOT ({unknown}) GROUP BY {_ID}, {_ROW} HAVING count(DISTINCT {_WHOLE}) = 1"
    )


def _none_joins(
    connection: duckdb.DuckDBPyConnection, asked: _Asked, by_row: bool, files: list[str], digests: list[str]
) -> NoneJoinsError:
    """Why no outcome is of any answer, with examples."""
    both = "SELECT request_id, row FROM truth WHERE request_id IN (SELECT request_id FROM answer) ORDER BY ALL LIMIT 1"
    if one := connection.execute(both).fetchone():
        expected = (
            "the rows that outcomes are of" if by_row else f"requests of one row, as outcomes have no column {_ROW}"
        )
        received = f"no row {one[1]} of {one[0]!r}; rows count from 0" if by_row else f"several rows of {one[0]!r}"
        return NoneJoinsError(f"{asked.predictions}: expected {expected}. Received: {received}")
    (other,) = connection.execute("SELECT min(request_id) FROM truth").fetchone() or (None,)
    query = f"SELECT min(request_id) FROM {_parquet(files)} WHERE NOT shadow AND digest IN (?, ?)"
    (logged,) = connection.execute(query, digests).fetchone() or (None,)
    return NoneJoinsError(
        f"{asked.predictions}: expected requests that outcomes are of, such as {other!r}. "
        f"Received: none of them yet, but others, such as {logged!r}"
    )


def _loss(connection: duckdb.DuckDBPyConnection, asked: _Asked, predicted: _Predicted) -> str:
    """The loss of a prediction, as SQL: between 0 and 1, also where the prediction is NaN or infinite."""
    loss = asked.loss or (ABSOLUTE if predicted.numbers else WRONG)
    if predicted.numbers != (loss == ABSOLUTE):
        expected = ABSOLUTE if predicted.numbers else f"{WRONG} or {BRIER}"
        raise HeadraceError(f"loss: expected {expected}, by what is predicted. Received: {loss}")
    if loss == ABSOLUTE:
        if asked.scale is None:
            raise HeadraceError("loss scale: expected the absolute error that counts as 1, of numbers. Received: none")
        return _at_most_1(f"abs(prediction - CAST(truth AS DOUBLE)) / {asked.scale!r}")
    _require_labels(connection, predicted.classes)
    if loss == WRONG:
        arbitrary = "coalesce(NOT isfinite(score), false) OR " if predicted.scored else ""
        return f"CAST({arbitrary}{_other('prediction')} AS INTEGER)"
    if not predicted.classes:
        raise HeadraceError(f"loss: expected {WRONG}, where the log has no probabilities by class. Received: {BRIER}")
    # A version gives a class that only the other one has no probability; one that neither has came true all the same.
    squares = [
        f"pow(coalesce(struct_extract(probabilities, {name}), 0) - CAST(NOT {_other(name)} AS INTEGER), 2)"
        for name in map(_text, predicted.classes)
    ]
    squares.append(f"CAST(NOT {_fits(predicted.classes)} AS INTEGER)")
    half = _at_most_1(f"0.5 * ({' + '.join(squares)})")
    return f"if(probabilities IS NULL, NULL, {half})"


def _at_most_1(loss: str) -> str:
    """A loss that is cut off at 1, which NaN is too: DuckDB takes it for more than any number."""
    return f"least(CAST({loss} AS DOUBLE), 1.0)"


def _other(label: str) -> str:
    """Whether what came true is another label: 1.0 in a file of numbers is the label 1."""
    return f"({label} <> truth AND {label} <> {_WHOLE})"


def _fits(classes: Sequence[str]) -> str:
    """Whether what came true is one of the labels."""
    known = ", ".join(map(_text, classes))
    return f"(truth IN ({known}) OR {_WHOLE} IN ({known}))"


def _require_labels(connection: duckdb.DuckDBPyConnection, classes: Sequence[str]) -> None:
    """Refuses outcomes that are written in another way than labels: they would all be wrong."""
    if not classes:
        return
    query = f"SELECT count(*), count(*) FILTER ({_fits(classes)}), min(truth) FROM truth"
    every, fitting, one = connection.execute(query).fetchone() or (0, 0, "")
    if every and not fitting:
        raise HeadraceError(f"outcomes: expected labels such as {', '.join(classes[:5])}. Received: {str(one)[:80]!r}")


def _step(rollout: Rollout) -> str:
    """The step in which a request was answered, as SQL: shares differ from step to step, so each stands for itself."""
    cases = [f"WHEN epoch_us(judged.time) >= {int(time * 1e6)} THEN {number}" for number, (time, _) in
             reversed(list(enumerate(rollout.boundaries)))]  # fmt: skip
    return f"CASE {' '.join(cases)} END"


def _any(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _parquet(files: Iterable[str], more: str = "") -> str:
    return f"read_parquet([{', '.join(map(_text, files))}], union_by_name = true{more})"


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
