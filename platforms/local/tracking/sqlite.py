"""A MLflow store in a SQLite file, written and read without importing MLflow.

MLflow takes 1.4 s to import and 0.7 s to open such a file, 2 s where it has to make it: more than everything else in a
run of which nothing changed. The statements here take a few milliseconds. They fit one revision of MLflow's tables,
the one in mlflow.sql; a file of any other revision is left to MLflow itself (opening.py), and a test holds both ways
against each other. A run is one transaction: it is there as a whole, or not at all.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import shutil
import sqlite3
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from headrace.platforms.local.database import sync_folder, transaction
from headrace.platforms.local.tracking.names import CONTEXT, EXPERIMENT_TAGS, data_of, names, short
from headrace.platforms.tracking import Attached, Series, TrackedRun, TrackingError, one_of

SCHEMA = Path(__file__).with_name("mlflow.sql")
ARTIFACTS = "mlartifacts"  # beside the file
_PATIENCE_S = 30.0  # how long one process waits for the others' writes
_YOUNG_S = 60.0  # a file this new may be about to be linked into place
_REVISION = re.compile(r'INSERT INTO "alembic_version" VALUES\(\'(\w+)\'\)')


class SqliteTracker:
    """Implements `platforms.tracking.Tracker` on a file of the revision in mlflow.sql; makes it where there is none."""

    def __init__(self, file: Path, uri: str) -> None:
        self.uri = uri
        self.file = file

    def save(self, run: TrackedRun, attached: Attached) -> str:
        """Keeps a run; see `Tracker.save`."""
        with self._connected(write=True) as connection:
            experiment, root = _experiment(connection, run.experiment, self.file.parent / ARTIFACTS)
            place = hashlib.sha256(f"{run.experiment}\0{run.run}".encode()).hexdigest()[:32]
            folder = root / place / "artifacts"
            _write_run(connection, run, place, experiment, folder.as_uri())
            _write_data(connection, run, place, experiment)
            _copy(attached.files, folder)
        return place

    def runs(self, experiment: str | None = None) -> list[TrackedRun]:
        """The runs, the latest first; see `Tracker.runs`."""
        with self._connected() as connection:
            known = [name for (name,) in connection.execute("SELECT name FROM experiments ORDER BY name")]
            if experiment is not None and experiment not in known:
                shown = ", ".join(name for name in known if name != "Default") or "none yet"
                raise TrackingError(f"{self.file}: expected an experiment ({shown}). Received: {experiment!r}")
            return _runs(connection, experiment)

    def run(self, run: str) -> TrackedRun:
        """One run with its series; see `Tracker.run`."""
        with self._connected() as connection:
            found = one_of(_runs(connection, None), run, str(self.file))
            return _with_series(connection, found)

    @contextmanager
    def _connected(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if write:
                make(self.file)
            elif not self.file.exists():
                raise TrackingError(f"{self.file}: expected tracked runs. Received: none there yet")
            with closing(sqlite3.connect(self.file, timeout=_PATIENCE_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                with transaction(connection, "BEGIN IMMEDIATE" if write else "BEGIN"):
                    yield connection
        except (sqlite3.Error, OSError) as error:
            raise TrackingError(f"{self.file}: expected MLflow's file to be usable. Received: {error}") from error


def revision(file: Path) -> str | None:
    """The revision of MLflow's tables in a file; None where there is no file, or an empty one.

    Raises:
        TrackingError: it is not MLflow's.
    """
    if not file.exists() or file.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(file, timeout=_PATIENCE_S)) as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    except (sqlite3.Error, TypeError) as error:
        raise TrackingError(f"{file}: expected a store of MLflow. Received: another file ({error})") from None


def own_revision() -> str:
    """The revision that the statements here fit."""
    found = _REVISION.search(SCHEMA.read_text(encoding="utf-8"))
    assert found is not None
    return found.group(1)


def make(file: Path) -> None:
    """Makes an empty store under another name and links it into place: the first wins, nobody sees half."""
    start = f".{file.name}.partial-"
    for left in file.parent.glob(f"{start}*"):  # by a process that was killed
        with suppress(FileNotFoundError):  # another one sweeps too
            if time.time() - left.stat().st_mtime > _YOUNG_S:
                left.unlink()
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{start}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
            connection.executescript(f"BEGIN; {SCHEMA.read_text(encoding='utf-8')} COMMIT;")
            # As MLflow itself has it: whatever is logged without naming an experiment belongs to this one.
            default = (file.parent / ARTIFACTS / "0").as_uri()
            now = _milliseconds(time.time())
            connection.execute(
                "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
                "last_update_time) VALUES (0, 'Default', ?, 'active', ?, ?)",
                (default, now, now),
            )
        try:
            os.link(partial, file)
        except FileExistsError:
            return
        sync_folder(file.parent)
    finally:
        for suffix in ("", "-journal"):
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def _experiment(connection: sqlite3.Connection, name: str, artifacts: Path) -> tuple[int, Path]:
    """The number of an experiment, which is made where it is not there, and the folder of its artifacts."""
    query = "SELECT experiment_id, artifact_location, lifecycle_stage FROM experiments WHERE name = ?"
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        now = _milliseconds(time.time())
        number = connection.execute("SELECT coalesce(max(experiment_id), 0) + 1 FROM experiments").fetchone()[0]
        root = artifacts / str(number)
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
            "last_update_time) VALUES (?, ?, ?, 'active', ?, ?)",
            (number, name, root.as_uri(), now, now),
        )
        connection.executemany(
            "INSERT INTO experiment_tags (key, value, experiment_id) VALUES (?, ?, ?)",
            [(key, value, number) for key, value in EXPERIMENT_TAGS.items()],
        )
        return int(number), root
    number, location, stage = row
    if stage != "active":
        raise TrackingError(
            f"experiment {name}: expected an active one. Received: one that was deleted in MLflow. "
            f"`mlflow experiments restore -x {number}` brings it back; `track.experiment` names another."
        )
    # Where the home was moved, or the experiment is kept elsewhere, what is new lies beside the file.
    local = unquote(str(location).removeprefix("file://"))
    return int(number), Path(local) if Path(local).is_dir() else artifacts / str(number)


def _write_run(connection: sqlite3.Connection, run: TrackedRun, place: str, experiment: int, artifacts: str) -> None:
    started, ended = _milliseconds(run.started), _milliseconds(run.ended)
    connection.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
        "end_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
        "VALUES (?, ?, 'UNKNOWN', '', '', ?, 'FINISHED', ?, ?, '', 'active', ?, ?) "
        "ON CONFLICT (run_uuid) DO UPDATE SET end_time = excluded.end_time, lifecycle_stage = 'active', "
        "deleted_time = NULL, artifact_uri = excluded.artifact_uri",
        (place, run.run, run.tags.get("mlflow.user", ""), started, ended, artifacts, experiment),
    )
    for table in ("params", "metrics", "latest_metrics"):
        connection.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (place,))
    for table, values in (("params", run.parameters), ("tags", {"mlflow.runName": run.run, **run.tags})):
        clean = names(values)
        connection.executemany(
            f"INSERT OR REPLACE INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)",
            [(clean[name], short(value), place) for name, value in values.items()],
        )
    _write_metrics(connection, run, place, started)


def _write_metrics(connection: sqlite3.Connection, run: TrackedRun, place: str, started: int) -> None:
    """All numbers of a run. When a round was over is not known: they are a millisecond apart, so that pages that draw
    over time have them in order."""
    named = names({**run.metrics, **run.series})
    points = [(named[name], value, 0) for name, value in run.metrics.items()]
    points += [(named[n], v, step) for n, s in run.series.items() for step, v in zip(s.steps, s.values, strict=True)]
    connection.executemany(
        "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",
        [(key, _stored(value), started + step, place, step, math.isnan(value)) for key, value, step in points],
    )
    latest = {key: (value, step) for key, value, step in points}  # steps rise, so the last one counts
    connection.executemany(
        "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (key, _stored(value), started + step, step, math.isnan(value), place)
            for key, (value, step) in latest.items()
        ],
    )


def _write_data(connection: sqlite3.Connection, run: TrackedRun, place: str, experiment: int) -> None:
    """Names the data that the run learned from, in MLflow's own tables of data sets."""
    data = data_of(run)
    if data is None:
        return
    connection.execute(
        "INSERT OR IGNORE INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type, "
        "dataset_source) VALUES (?, ?, ?, ?, ?, ?)",
        (uuid.uuid4().hex, experiment, *data),
    )
    query = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ? AND name = ? AND digest = ?"
    [dataset] = connection.execute(query, (experiment, data.name, data.digest)).fetchone()
    edge = hashlib.sha256(f"{dataset}\0{place}".encode()).hexdigest()[:32]
    connection.execute(
        "INSERT OR IGNORE INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id) "
        "VALUES (?, 'DATASET', ?, 'RUN', ?)",
        (edge, dataset, place),
    )
    connection.execute("INSERT OR IGNORE INTO input_tags (input_uuid, name, value) VALUES (?, ?, ?)", (edge, *CONTEXT))


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copies of the files; a link could be written to, and what it leads to is shared with the store."""
    shutil.rmtree(folder, ignore_errors=True)  # of the same run, saved before
    try:
        for name, source in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except BaseException:
        shutil.rmtree(folder.parent, ignore_errors=True)
        raise


def _runs(connection: sqlite3.Connection, experiment: str | None) -> list[TrackedRun]:
    """All runs that nobody has deleted, the latest first: three queries, however many they are."""
    rows = connection.execute(
        "SELECT r.run_uuid, coalesce(r.name, r.run_uuid), e.name, r.start_time, coalesce(r.end_time, 0) "
        "FROM runs r JOIN experiments e USING (experiment_id) "
        "WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' AND (?1 IS NULL OR e.name = ?1) "
        "ORDER BY r.start_time DESC, r.rowid DESC",
        (experiment,),
    ).fetchall()
    found: dict[str, dict[str, dict[str, object]]] = {}
    for table in ("params", "latest_metrics", "tags"):
        for place, key, value in connection.execute(f"SELECT run_uuid, key, value FROM {table} ORDER BY key"):
            found.setdefault(place, {}).setdefault(table, {})[key] = value
    return [
        TrackedRun(
            experiment=of,
            run=name,
            started=begun / 1000,
            ended=ended / 1000,
            parameters=found.get(place, {}).get("params", {}),  # type: ignore[arg-type]
            metrics=found.get(place, {}).get("latest_metrics", {}),  # type: ignore[arg-type]
            tags=found.get(place, {}).get("tags", {}),  # type: ignore[arg-type]
            place=place,
        )
        for place, name, of, begun, ended in rows
    ]


def _with_series(connection: sqlite3.Connection, run: TrackedRun) -> TrackedRun:
    rows = connection.execute(
        "SELECT key, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY key, step, timestamp", (run.place,)
    )
    points: dict[str, list[tuple[int, float]]] = {}
    for key, step, value, is_nan in rows:
        points.setdefault(key, []).append((step, math.nan if is_nan else value))
    return with_series(run, points)


def with_series(run: TrackedRun, points: Mapping[str, list[tuple[int, float]]]) -> TrackedRun:
    """A run with those of its metrics as series that have a step beyond 0; `points` are (step, value), steps rising."""
    series = {
        key: Series(tuple(step for step, _ in found), tuple(value for _, value in found))
        for key, found in points.items()
        if found[-1][0] > 0
    }
    return replace(run, series=series, metrics={k: v for k, v in run.metrics.items() if k not in series})


def _stored(value: float) -> float:
    """A number as MLflow stores it: NaN as 0 beside a mark, infinities as the largest numbers."""
    return 0.0 if math.isnan(value) else max(-sys.float_info.max, min(sys.float_info.max, float(value)))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
