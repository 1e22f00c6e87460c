"""The resources that clients made: JSON documents by kind and name, in one SQLite file.

What was acknowledged is on disk: every change is committed before its answer is sent.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.emulator.refusals import Refusal

APPLICATION = 0x4852454D  # "HREM": whose file it is, in SQLite's header
FORMAT_VERSION = 1
_PATIENCE_S = 30.0
_SCHEMA = f"""
CREATE TABLE documents (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  parent TEXT NOT NULL,
  body TEXT NOT NULL,
  UNIQUE (kind, name)
) STRICT;
CREATE INDEX of_parent ON documents (kind, parent, number);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT_VERSION};
"""

Document = dict[str, Any]


def now() -> str:
    """This moment, as Google's APIs write one."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def stamped(body: Document, before: Document | None = None) -> Document:
    """A resource with the times and the etag that it has after a change."""
    moment = now()
    created = before["createTime"] if before else moment
    return {**body, "createTime": created, "updateTime": moment, "etag": os.urandom(8).hex()}


class Documents:
    """The file's documents. Each thread has a connection of its own.

    Attributes:
        file: where they are.
    """

    def __init__(self, file: Path) -> None:
        """Opens it, and makes it where there is none.

        Raises:
            ArtifactError: it is another program's, or of a newer version.
        """
        self.file = file
        self._local = threading.local()
        # SQLite's own waiting is by chance; this lets in one after the other.
        self._turn = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connection()
        try:
            with self._changes():
                self._prepare(connection)
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise ArtifactError(f"{file}: expected an emulator's state that can be used. Received: {error}") from None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        elif application != APPLICATION or version > FORMAT_VERSION:
            raise ArtifactError(
                f"{self.file}: expected an emulator's state of format version {FORMAT_VERSION}. "
                f"Received: application {application:#x}, version {version}. Give another folder with --state."
            )

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            try:
                found = sqlite3.connect(self.file, timeout=_PATIENCE_S, isolation_level=None)
                found.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error as error:
                raise ArtifactError(
                    f"{self.file}: expected an emulator's state that can be used. Received: {error}"
                ) from None
            self._local.connection, self._local.depth = found, 0
        return found

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A block whose changes are made all or none, and which nobody else's changes come between.

        One within another is part of it. It holds up every other change, and is no place to wait for anything.

        Raises:
            Refusal: RESOURCE_EXHAUSTED: the disk is full; UNAVAILABLE: another takes too long. Nothing was changed.
        """
        self._connection()
        if self._local.depth:
            yield
            return
        if not self._turn.acquire(timeout=_PATIENCE_S):
            raise Refusal("UNAVAILABLE", f"The state is busy: another change has not ended for {_PATIENCE_S:.0f} s")
        try:
            with self._changes():
                yield
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            code, status = ("RESOURCE_EXHAUSTED", 507) if full else ("UNAVAILABLE", 0)
            raise Refusal(code, f"The state cannot be written: {error}", status) from error
        finally:
            self._turn.release()

    @contextmanager
    def _changes(self) -> Iterator[None]:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        self._local.depth = 1
        try:
            yield
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            self._local.depth = 0

    def create(self, kind: str, name: str, body: Document, parent: str = "") -> Document:
        """A new document.

        Raises:
            Refusal: ALREADY_EXISTS.
        """
        text = json.dumps(body)
        with self.transaction():
            try:
                self._connection().execute(
                    "INSERT INTO documents (kind, name, parent, body) VALUES (?, ?, ?, ?)", (kind, name, parent, text)
                )
            except sqlite3.IntegrityError:
                raise Refusal("ALREADY_EXISTS", f"Requested entity already exists: {name}") from None
        return body

    def find(self, kind: str, name: str) -> Document | None:
        """A document; None where there is none."""
        query = "SELECT body FROM documents WHERE kind = ? AND name = ?"
        row = self._connection().execute(query, (kind, name)).fetchone()
        return json.loads(row[0]) if row else None

    def get(self, kind: str, name: str) -> Document:
        """A document.

        Raises:
            Refusal: NOT_FOUND.
        """
        found = self.find(kind, name)
        if found is None:
            raise Refusal("NOT_FOUND", f"The {kind} does not exist: {name}")
        return found

    def list(self, kind: str, parent: str | None = None) -> list[Document]:
        """All documents of a kind, or those of one parent; the newest first."""
        query = "SELECT body FROM documents WHERE kind = ?1 AND (?2 IS NULL OR parent = ?2) ORDER BY number DESC"
        return [json.loads(body) for (body,) in self._connection().execute(query, (kind, parent))]

    def change(self, kind: str, name: str, change: Callable[[Document], Document], etag: str | None = None) -> Document:
        """What `change` makes of a document takes its place.

        Args:
            kind, name: which.
            change: is given the document as it stands, and nobody can change it meanwhile; may refuse.
            etag: that the document must have; None or empty for any.

        Raises:
            Refusal: NOT_FOUND; ABORTED where its etag is another.
        """
        with self.transaction():
            before = self.get(kind, name)
            _check_etag(before, etag)
            after = change(before)
            query = "UPDATE documents SET body = ? WHERE kind = ? AND name = ?"
            self._connection().execute(query, (json.dumps(after), kind, name))
        return after

    def clear(self, kind: str, parent: str) -> None:
        """Removes all documents of a kind that have a parent."""
        with self.transaction():
            self._connection().execute("DELETE FROM documents WHERE kind = ? AND parent = ?", (kind, parent))

    def delete(self, kind: str, name: str, etag: str | None = None) -> Document:
        """Removes a document, and returns it.

        Raises: as `change`.
        """
        with self.transaction():
            before = self.get(kind, name)
            _check_etag(before, etag)
            self._connection().execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
        return before


def _check_etag(document: Document, etag: str | None) -> None:
    if etag and document.get("etag") != etag:
        raise Refusal("ABORTED", f"The etag is not the resource's own: it was changed meanwhile. Received: {etag}")
