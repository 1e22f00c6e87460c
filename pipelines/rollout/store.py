"""Rollouts in the home folder, `rollouts.db`: one row each, and a lock for the process that drives one."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.pipelines.rollout.state import FORMAT, OVER, Rollout, from_json, to_json
from headrace.platforms.local.database import transaction

FILE = "rollouts.db"
_APPLICATION = 0x48524F4C  # "HROL" in SQLite's application_id
_PATIENCE_S = 30.0
_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
CREATE TABLE IF NOT EXISTS rollout (
    id TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    started REAL NOT NULL,
    over INTEGER NOT NULL CHECK (over IN (0, 1)),
    state TEXT NOT NULL      -- JSON object, see `state.to_json`
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_at_a_time ON rollout (endpoint) WHERE NOT over;
CREATE INDEX IF NOT EXISTS rollout_of ON rollout (endpoint, started);
"""


class Rollouts:
    """The rollouts of a home folder. Each change is one transaction that excludes other writers."""

    def __init__(self, home: Path) -> None:
        self.home = Path(home)
        self._file = self.home / FILE

    @contextmanager
    def change(self, endpoint: str) -> Iterator[Change]:
        """The rollout that goes on at an endpoint, to look at and to save, while nobody else can.

        Raises:
            HeadraceError: the file cannot be used.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with self._open() as connection, transaction(connection, "BEGIN IMMEDIATE"):
            query = "SELECT state FROM rollout WHERE endpoint = ? AND NOT over"
            yield Change(connection, self._read(connection.execute(query, (endpoint,)).fetchone()))

    def current(self, endpoint: str) -> Rollout | None:
        """The rollout that goes on at an endpoint, or the last one that did."""
        query = "SELECT state FROM rollout WHERE endpoint = ? ORDER BY over, started DESC LIMIT 1"
        found = self._all(query, (endpoint,))
        return found[0] if found else None

    def all(self) -> list[Rollout]:
        """All rollouts, the newest first."""
        return self._all("SELECT state FROM rollout ORDER BY started DESC")

    def _all(self, query: str, values: tuple[str, ...] = ()) -> list[Rollout]:
        if not self._file.is_file():
            return []
        with self._open() as connection:
            rows = connection.execute(query, values).fetchall()
        return [rollout for row in rows if (rollout := self._read(row)) is not None]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._file, timeout=_PATIENCE_S, isolation_level=None)) as connection:
                (application,) = connection.execute("PRAGMA application_id").fetchone()
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if application != _APPLICATION and tables:
                    raise ArtifactError(f"{self._file}: expected a file of rollouts. Received: another one")
                if not tables:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
                connection.execute("PRAGMA synchronous = FULL")  # what was decided survives a power cut
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise HeadraceError(f"{self._file}: expected a file that can be used. Received: {error}") from error

    def _read(self, row: tuple[str] | None) -> Rollout | None:
        if row is None:
            return None
        try:
            found = json.loads(row[0])
            if found.get("format") != FORMAT:
                raise ArtifactError(
                    f"{self._file}: expected a rollout of format {FORMAT}. Received: {found.get('format')!r}; "
                    "it was written by another version of headrace"
                )
            return from_json(found)
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{self._file}: expected a rollout. Received: damaged content ({error!r})") from None

    @contextmanager
    def driving(self, endpoint: str) -> Iterator[None]:
        """Held while a process drives the rollout of an endpoint; its end gives it up, however it comes.

        Raises:
            HeadraceError: another process drives it.
        """
        self._lock(endpoint).parent.mkdir(parents=True, exist_ok=True)
        with self._lock(endpoint).open("a+") as file:
            try:
                _patiently(file.fileno())
            except BlockingIOError:
                file.seek(0)
                holder = file.read(20).strip() or "of an unknown id"
                raise HeadraceError(
                    f"endpoint {endpoint}: expected nobody else to drive its rollout. Received: process {holder}; "
                    f"`headrace rollout status {endpoint}` shows it"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def driven(self, endpoint: str) -> bool:
        """Whether a process of this machine drives the rollout of an endpoint."""
        try:
            with self._lock(endpoint).open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def _lock(self, endpoint: str) -> Path:
        return self.home / "rollouts" / f"{quote(endpoint, safe='')}.lock"


def _patiently(file: int) -> None:
    """Takes a lock that somebody who only looks may hold for a moment."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.1)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Change:
    """A rollout within a transaction."""

    def __init__(self, connection: sqlite3.Connection, rollout: Rollout | None) -> None:
        self._connection = connection
        self.rollout = rollout

    def save(self, rollout: Rollout) -> Rollout:
        """Keeps a rollout as it is now; a new one too."""
        text = json.dumps(to_json(rollout), allow_nan=False)
        self._connection.execute(
            "INSERT INTO rollout (id, endpoint, started, over, state) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET over = excluded.over, state = excluded.state",
            (rollout.id, rollout.subject.endpoint, rollout.started, int(rollout.status in OVER), text),
        )
        self.rollout = rollout
        return rollout
