"""Documents by name, each written only if it is still as it was read: in SQLite here, in Cloud Storage there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from headrace.artifacts.errors import HeadraceError

_PATIENCE_S = 30.0
_APPLICATION, _FORMAT = 0x48726576, 1  # "Hrev"


class StoreError(HeadraceError):
    """Documents cannot be read or written now. Trying again may help."""


class Store(Protocol):
    """Documents under names such as `starts/nightly/5f3a.json`. All of it may raise StoreError."""

    uri: str

    def read(self, name: str) -> tuple[bytes, int] | None:
        """A document and its version; None where there is none."""

    def write(self, name: str, content: bytes, version: int) -> bool:
        """Writes a document if its version is still this one, 0 for none there; False where it is not."""

    def names(self, prefix: str) -> list[str]:
        """The names that begin with this, sorted."""

    def remove(self, name: str, version: int) -> bool:
        """Removes a document if its version is still this one; False where it is not."""


def open_store(uri: str) -> Store:
    """A store by its address: `gs://BUCKET/FOLDER`, or `sqlite:///FILE`.

    Raises:
        HeadraceError: the address is another.
    """
    if uri.startswith("sqlite:///"):
        return SqliteStore(Path(uri.removeprefix("sqlite://")))
    bucket, _, folder = uri.removeprefix("gs://").partition("/")
    if uri.startswith("gs://") and bucket:
        return GcsStore(bucket, folder.strip("/"))
    raise HeadraceError(f"ledger: expected gs://BUCKET/FOLDER or sqlite:///FILE. Received: {uri!r}")


class SqliteStore:
    """A file of documents on this machine. Every use opens its own connection: threads share nothing."""

    def __init__(self, file: Path) -> None:
        self.uri, self._file = f"sqlite://{file.absolute()}", file.absolute()

    def read(self, name: str) -> tuple[bytes, int] | None:
        """See `Store.read`."""
        with self._connected() as db:
            row = db.execute("SELECT content, version FROM documents WHERE name = ?", (name,)).fetchone()
        return (bytes(row[0]), int(row[1])) if row else None

    def write(self, name: str, content: bytes, version: int) -> bool:
        """See `Store.write`. A version is never given twice, also not to a document that was removed meanwhile."""
        with self._connected() as db:
            row = db.execute("SELECT version FROM documents WHERE name = ?", (name,)).fetchone()
            if (int(row[0]) if row else 0) != version:
                return False
            (last,) = db.execute("UPDATE counter SET last = last + 1 RETURNING last").fetchone()
            db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (name, content, last))
            return True

    def names(self, prefix: str) -> list[str]:
        """See `Store.names`."""
        with self._connected() as db:
            rows = db.execute("SELECT name FROM documents WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
            return sorted(name for (name,) in rows)

    def remove(self, name: str, version: int) -> bool:
        """See `Store.remove`."""
        with self._connected() as db:
            return db.execute("DELETE FROM documents WHERE name = ? AND version = ?", (name, version)).rowcount == 1

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A transaction that alone may write; done as a whole or not at all."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._file, timeout=_PATIENCE_S, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = FULL")  # what was started is known also after a power cut
                db.execute("BEGIN IMMEDIATE")
                try:
                    self._check(db)
                    yield db
                except BaseException:
                    db.rollback()
                    raise
                db.commit()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._file}: expected a ledger that can be used. Received: {error}") from error

    def _check(self, db: sqlite3.Connection) -> None:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application == 0 and not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_FORMAT}")
            db.execute(
                "CREATE TABLE documents (name TEXT PRIMARY KEY, content BLOB NOT NULL, version INTEGER NOT NULL)"
            )
            db.execute("CREATE TABLE counter (last INTEGER NOT NULL)")
            db.execute("INSERT INTO counter VALUES (0)")
        elif application != _APPLICATION or version != _FORMAT:
            raise StoreError(f"{self._file}: expected a ledger of events, format {_FORMAT}. Received: another file")


class GcsStore:
    """Objects of Cloud Storage. Their generation is the version: the service itself compares and sets."""

    def __init__(self, bucket: str, folder: str, client: Any = None) -> None:
        self.uri = f"gs://{bucket}/{folder}".rstrip("/")
        self._bucket, self._folder, self._client = bucket, f"{folder}/" if folder else "", client

    def read(self, name: str) -> tuple[bytes, int] | None:
        """See `Store.read`. Content and version are of one answer, so they belong together."""
        from google.api_core.exceptions import NotFound

        with self._connected() as bucket:
            blob = bucket.blob(self._folder + name)
            try:
                content = blob.download_as_bytes()
            except NotFound:
                return None
            return bytes(content), int(blob.generation)

    def write(self, name: str, content: bytes, version: int) -> bool:
        """See `Store.write`."""
        from google.api_core.exceptions import PreconditionFailed
        from google.cloud.storage.retry import DEFAULT_RETRY

        with self._connected() as bucket:
            try:
                # A repeated write is safe: one that came through before is refused by its generation. Who then reads
                # finds what it wrote itself.
                bucket.blob(self._folder + name).upload_from_string(
                    content, content_type="application/json", if_generation_match=version, retry=DEFAULT_RETRY
                )
            except PreconditionFailed:
                return False
            return True

    def names(self, prefix: str) -> list[str]:
        """See `Store.names`."""
        with self._connected() as bucket:
            listed = bucket.list_blobs(prefix=self._folder + prefix)
            return sorted(blob.name.removeprefix(self._folder) for blob in listed)

    def remove(self, name: str, version: int) -> bool:
        """See `Store.remove`."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        with self._connected() as bucket:
            try:
                bucket.blob(self._folder + name).delete(if_generation_match=version)
            except (NotFound, PreconditionFailed):
                return False
            return True

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        from google.api_core.exceptions import GoogleAPIError, PreconditionFailed
        from google.auth.exceptions import GoogleAuthError

        try:
            if self._client is None:
                from google.cloud import storage

                self._client = storage.Client()
            yield self._client.bucket(self._bucket)
        except PreconditionFailed:
            raise
        except (GoogleAPIError, GoogleAuthError, OSError) as error:  # requests' errors are OSErrors
            told = next(iter(str(error).splitlines()), type(error).__name__)[:300]
            raise StoreError(f"{self.uri}: expected Cloud Storage to answer. Received: {told}") from error
