"""The record of runs: SQLite in `<home>/runs.db`, written as things happen, read by whoever asks later."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.values import is_unicode
from headrace.pipelines.local.record import results
from headrace.pipelines.local.record.record_format import FORMAT_VERSION, bring_up_to_date
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, RunSummary, TaskError, TaskResult
from headrace.pipelines.local.store.imports import Imports
from headrace.pipelines.local.workers.processes import Owner


class RecordError(HeadraceError):
    """The record cannot be read, or does not hold what was asked for."""


class Record:
    """The database of one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.file = home / "runs.db"
        try:
            self._db = sqlite3.connect(self.file, isolation_level=None, timeout=30)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._open()
        except sqlite3.DatabaseError as error:
            raise self._said(error) from None

    def _open(self) -> None:
        with self.transaction():
            found = bring_up_to_date(self._db)
        if found > FORMAT_VERSION:
            raise RecordError(
                f"{self.file}: expected a record of format version {FORMAT_VERSION} or older. "
                f"Received: version {found}. Upgrade headrace to read it."
            )

    def close(self) -> None:
        self._db.close()

    def _said(self, error: sqlite3.DatabaseError) -> RecordError:
        if "full" in str(error) or "disk I/O" in str(error):
            return RecordError(
                f"{self.file}: expected room on the disk for the record. Received: {error}. "
                "Free some space and run again."
            )
        return RecordError(f"{self.file}: expected a readable SQLite record of runs. Received: {error}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's writes, or none."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            raise self._said(error) from None

    @contextlib.contextmanager
    def durably(self, wanted: bool = True) -> Iterator[None]:
        """Within the block, what is committed (and everything committed before) outlasts a power cut."""
        self._db.execute(f"PRAGMA synchronous = {'FULL' if wanted else 'NORMAL'}")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous = NORMAL")

    def rows(self, sql: str, arguments: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        try:
            return self._db.execute(sql, arguments).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._said(error) from None

    def start_run(
        self,
        run: RunSummary,
        parameters: Mapping[str, Any],
        ir: Mapping[str, Any],
        owner: Owner,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes down that a run begins: what it runs, with what, and by which process; durably."""
        text = json.dumps(ir, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()
        with self.durably(), self.transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO pipelines VALUES (?, ?)", (digest, zlib.compress(text.encode(), level=1))
            )
            self._db.execute(
                "INSERT INTO runs (id, name, pipeline, state, started, labels, parameters, ir_digest, "
                "pid, pid_started, boot, options) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run.id,
                    run.name,
                    run.pipeline,
                    run.state,
                    run.started,
                    _json(run.labels),
                    _json(parameters),
                    digest,
                    owner.pid,
                    owner.started,
                    owner.boot,
                    _json(options or {}),
                ),
            )

    def claim_run(self, run_id: str, owner: Owner) -> None:
        """Makes a process the one that continues a run.

        Raises:
            RecordError: another living process runs it.
        """
        with self.transaction():
            row = self._db.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
            if row["state"] == results.RUNNING and _owner(row).alive():
                raise RecordError(
                    f"expected a run that nothing works on. Received: {run_id}, which process {row['pid']} is running"
                )
            self._db.execute(
                "UPDATE runs SET state = ?, finished = NULL, error = '', pid = ?, pid_started = ?, boot = ? "
                "WHERE id = ?",
                (results.RUNNING, owner.pid, owner.started, owner.boot, run_id),
            )

    def ir(self, run_id: str) -> dict[str, Any]:
        """The compiled pipeline that a run executes.

        Raises:
            RecordError: it was recorded by an older version, which did not keep it.
        """
        rows = self.rows("SELECT ir FROM runs JOIN pipelines ON digest = ir_digest WHERE id = ?", (run_id,))
        if not rows:
            raise RecordError(f"expected the pipeline of {run_id} in {self.file}. Received: none, the run is too old")
        ir: dict[str, Any] = json.loads(zlib.decompress(rows[0]["ir"]))
        return ir

    def ir_digest(self, run_id: str) -> str:
        """The digest of the compiled pipeline that a run executes."""
        return str(self.rows("SELECT ir_digest FROM runs WHERE id = ?", (run_id,))[0][0])

    def options(self, run_id: str) -> dict[str, Any]:
        """How a run was started: `max_parallel`, `timeouts`, `use_cache`, `cwd`."""
        options: dict[str, Any] = json.loads(self.rows("SELECT options FROM runs WHERE id = ?", (run_id,))[0][0])
        return options

    def finish_run(self, run_id: str, state: str, error: str = "", outputs: Mapping[str, Any] | None = None) -> None:
        """Writes down how a run ended; from here on all of it outlasts a power cut."""
        with self.durably(), self.transaction():
            self._db.execute(
                "UPDATE runs SET state = ?, finished = ?, error = ?, outputs = ? WHERE id = ?",
                (state, time.time(), error, _json(outputs or {}), run_id),
            )

    def save_task(self, run_id: str, position: int, task: TaskResult, reusable: bool | None = None) -> None:
        """Writes a task's state; `reusable` also caches its outputs (False: only to foresee by)."""
        with self.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    task.path,
                    position,
                    task.name,
                    task.component,
                    task.state,
                    task.leaf,
                    task.started,
                    task.seconds,
                    task.cached,
                    task.attempts,
                    _json(task.parameters),
                    _json(task.outputs),
                    str(task.log) if task.log else None,
                    task.reason,
                    _json(asdict(task.error)) if task.error else None,
                    task.key,
                    task.max_rss_kib,
                    _json(task.made_of),
                ),
            )
            self._db.execute("DELETE FROM uses WHERE run = ? AND path = ?", (run_id, task.path))
            for direction, named in (("in", task.inputs), ("out", task.artifacts)):
                for name, artifacts in named.items():
                    for index, artifact in enumerate(artifacts):
                        self._db.execute(
                            "INSERT INTO uses VALUES (?, ?, ?, ?, ?, ?)",
                            (run_id, task.path, direction, name, index, self._artifact_id(artifact)),
                        )
            if reusable is not None:
                artifacts_json = _json({n: [asdict(a) for a in items] for n, items in task.artifacts.items()})
                self._db.execute(
                    "INSERT OR REPLACE INTO cache VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (task.key, run_id, task.path, time.time(), reusable, _json(task.outputs), artifacts_json),
                )

    def _artifact_id(self, artifact: ArtifactRecord) -> int:
        text = _json(asdict(artifact))
        row = self._db.execute(
            "SELECT id FROM artifacts WHERE digest IS ? AND uri = ? AND record = ?",
            (artifact.digest, artifact.uri, text),
        ).fetchone()
        if row:
            return int(row[0])
        cursor = self._db.execute(
            "INSERT INTO artifacts (uri, digest, type, record) VALUES (?, ?, ?, ?)",
            (artifact.uri, artifact.digest, artifact.type, text),
        )
        return int(cursor.lastrowid or 0)

    def cached(self, key: str) -> tuple[bool, dict[str, Any], dict[str, tuple[ArtifactRecord, ...]]] | None:
        """(reusable, output parameters, output artifacts) stored under a key."""
        row = self._db.execute("SELECT reusable, outputs, artifacts FROM cache WHERE key = ?", (key,)).fetchone()
        if not row:
            return None
        return bool(row["reusable"]), json.loads(row["outputs"]), results.artifacts_of(row["artifacts"])

    def latest_keys(self, name: str) -> dict[str, str]:
        """By task, the key of what it put out when it ran last, in the runs of this name."""
        found = self._db.execute(
            "SELECT path, key FROM cache JOIN runs ON runs.id = cache.run WHERE runs.name = ? ORDER BY created", (name,)
        )
        return {row["path"]: row["key"] for row in found}

    def forget(self, keys: Iterable[str]) -> None:
        """Removes outputs from the cache."""
        with self.transaction():
            self._db.executemany("DELETE FROM cache WHERE key = ?", [(key,) for key in keys])

    def imports(self) -> dict[str, Imports]:
        """What is known of source files, by the hash of their content."""
        return {
            row["content"]: tuple((module, tuple(names), top) for module, names, top in json.loads(row["imports"]))
            for row in self._db.execute("SELECT content, imports FROM code")
        }

    def learn_imports(self, learned: Mapping[str, Imports]) -> None:
        if learned:
            with self.transaction():
                rows = [(content, _json(imports)) for content, imports in learned.items()]
                self._db.executemany("INSERT OR REPLACE INTO code VALUES (?, ?)", rows)

    def unfinished(self) -> list[tuple[str, Owner]]:
        """The runs recorded as running, with the process that ran them."""
        rows = self._db.execute("SELECT id, pid, pid_started, boot FROM runs WHERE state = ?", (results.RUNNING,))
        return [(r["id"], Owner(r["pid"], r["pid_started"], r["boot"])) for r in rows]

    def interrupted(self, run_id: str) -> None:
        """Notes that a run's process died."""
        with self.transaction():
            self._db.execute(
                "UPDATE runs SET state = ?, finished = ? WHERE id = ? AND state = ?",
                (results.INTERRUPTED, self._last_word(run_id), run_id, results.RUNNING),
            )
            self._db.execute(
                "UPDATE tasks SET state = ? WHERE run = ? AND state = ?",
                (results.INTERRUPTED, run_id, results.RUNNING),
            )

    def runs(self, limit: int | None = None) -> list[RunSummary]:
        """The runs, latest first; one whose process died is INTERRUPTED."""
        rows = self._db.execute(
            "SELECT * FROM runs ORDER BY started DESC, id DESC LIMIT ?", (-1 if limit is None else limit,)
        )
        return [
            RunSummary(
                row["id"],
                row["name"],
                row["pipeline"],
                _state(row),
                row["started"],
                self._seconds(row),
                json.loads(row["labels"]),
            )
            for row in rows
        ]

    def run(self, run_id: str) -> RunResult:
        """A whole run, by its id, an unambiguous beginning of it, or "latest".

        Raises:
            RecordError: no such run, or several.
        """
        if run_id == "latest":
            rows = self._db.execute("SELECT * FROM runs ORDER BY started DESC, id DESC LIMIT 1").fetchall()
        else:
            rows = self._db.execute("SELECT * FROM runs WHERE substr(id, 1, ?) = ?", (len(run_id), run_id)).fetchall()
            rows = [r for r in rows if r["id"] == run_id] or rows
        if len(rows) != 1:
            found = "none" if not rows else ", ".join(r["id"] for r in rows[:5])
            raise RecordError(
                f"expected one run named {run_id!r} in {self.file}. Received: {found}. `headrace runs` lists them."
            )
        row = rows[0]
        return RunResult(
            id=row["id"],
            name=row["name"],
            pipeline=row["pipeline"],
            state=_state(row),
            started=row["started"],
            seconds=self._seconds(row),
            labels=json.loads(row["labels"]),
            parameters=json.loads(row["parameters"]),
            tasks=self._tasks(row["id"], dead=_state(row) == results.INTERRUPTED),
            outputs=json.loads(row["outputs"]),
            error=row["error"],
            home=self.home,
            ir_digest=row["ir_digest"],
        )

    def _seconds(self, row: sqlite3.Row) -> float:
        """How long a run took, or has taken so far."""
        end = row["finished"]
        if end is None:
            end = self._last_word(row["id"]) if _state(row) == results.INTERRUPTED else time.time()
        return float(end - row["started"])

    def _last_word(self, run_id: str) -> float:
        """When a run whose process died was last heard of."""
        said = self._db.execute("SELECT max(started + seconds) FROM tasks WHERE run = ?", (run_id,)).fetchone()[0]
        begun = self._db.execute("SELECT started FROM runs WHERE id = ?", (run_id,)).fetchone()[0]
        return float(max(begun, said or begun))

    def _tasks(self, run_id: str, dead: bool) -> dict[str, TaskResult]:
        used: dict[tuple[str, str], dict[str, list[ArtifactRecord]]] = {}
        query = (
            "SELECT path, direction, name, record FROM uses JOIN artifacts ON artifact = artifacts.id "
            "WHERE run = ? ORDER BY path, direction, name, position"
        )
        for row in self._db.execute(query, (run_id,)):
            named = used.setdefault((row["path"], row["direction"]), {})
            named.setdefault(row["name"], []).append(ArtifactRecord(**json.loads(row["record"])))
        tasks = {}
        for row in self._db.execute("SELECT * FROM tasks WHERE run = ? ORDER BY position", (run_id,)):
            path = row["path"]
            tasks[path] = TaskResult(
                path=path,
                name=row["name"],
                component=row["component"],
                state=results.INTERRUPTED if dead and row["state"] == results.RUNNING else row["state"],
                leaf=bool(row["leaf"]),
                seconds=row["seconds"],
                cached=bool(row["cached"]),
                attempts=row["attempts"],
                parameters=json.loads(row["parameters"]),
                outputs=json.loads(row["outputs"]),
                inputs={n: tuple(a) for n, a in used.get((path, "in"), {}).items()},
                artifacts={n: tuple(a) for n, a in used.get((path, "out"), {}).items()},
                log=Path(row["log"]) if row["log"] else None,
                reason=row["reason"],
                error=TaskError(**json.loads(row["error"])) if row["error"] else None,
                key=row["key"],
                started=row["started"],
                max_rss_kib=row["max_rss_kib"],
                made_of=json.loads(row["made_of"]),
            )
        return tasks


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    # A folder's name need be no UTF-8: JSON can say it, if in another way.
    return text if is_unicode(text) else json.dumps(value, default=str)


def _owner(row: sqlite3.Row) -> Owner:
    return Owner(row["pid"], row["pid_started"], row["boot"])


def _state(row: sqlite3.Row) -> str:
    dead = row["state"] == results.RUNNING and not _owner(row).alive()
    return results.INTERRUPTED if dead else str(row["state"])


def list_runs(home: Path, limit: int | None = None) -> list[RunSummary]:
    """The runs recorded in a `.headrace` folder, latest first; none where there is no such folder."""
    if not (home / "runs.db").exists():
        return []
    with contextlib.closing(Record(home)) as record:
        return record.runs(limit)


def load_run(home: Path, run_id: str) -> RunResult:
    """One recorded run, by its id, an unambiguous beginning of it, or "latest".

    Raises:
        RecordError: no such run.
    """
    if not (home / "runs.db").exists():
        raise RecordError(f"expected runs recorded in {home}. Received: none there yet. `headrace run SPEC` makes one.")
    with contextlib.closing(Record(home)) as record:
        return record.run(run_id)
