"""The registry's SQLite file: created whole, refused when it is not ours, written by one process at a time.

Every use opens its own connection. It costs a fraction of a millisecond and leaves nothing to share between
threads or to inherit over a fork.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from headrace.artifacts.errors import ArtifactError, HeadraceError

FILE = "registry.db"
FORMAT_VERSION = 1  # in SQLite's user_version
_APPLICATION = 0x48524143  # "HRAC" in SQLite's application_id: this file is a registry of ours
_PATIENCE_S = 30.0  # how long one process waits for the others' writes

_SCHEMA = f"""
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {FORMAT_VERSION};
CREATE TABLE model_version (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    created TEXT NOT NULL,
    run TEXT NOT NULL,
    metrics TEXT NOT NULL,  -- JSON object
    labels TEXT NOT NULL,   -- JSON object
    PRIMARY KEY (name, version),
    UNIQUE (name, digest)
) STRICT;
CREATE TABLE alias (
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (name, alias),
    FOREIGN KEY (name, version) REFERENCES model_version (name, version)
) STRICT;
CREATE TABLE deployed (
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    traffic INTEGER NOT NULL CHECK (traffic BETWEEN 1 AND 100),
    updated TEXT NOT NULL,
    PRIMARY KEY (endpoint, model, version),
    FOREIGN KEY (model, version) REFERENCES model_version (name, version)
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    run TEXT NOT NULL,
    detail TEXT NOT NULL    -- JSON object
) STRICT;
CREATE INDEX audit_subject ON audit (subject, id);
CREATE TRIGGER version_is_immutable BEFORE UPDATE ON model_version
    BEGIN SELECT RAISE(ABORT, 'a registered version is immutable'); END;
CREATE TRIGGER version_is_kept BEFORE DELETE ON model_version
    BEGIN SELECT RAISE(ABORT, 'a registered version is kept'); END;
CREATE TRIGGER audit_is_immutable BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
"""


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """A block that is done as a whole or not at all, whatever ends it.

    Args:
        connection: one that begins no transactions by itself.
        begin: `BEGIN`, or `BEGIN IMMEDIATE` to write.
    """
    connection.execute(begin)
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


class Database:
    """The file `registry.db` in a home folder."""

    def __init__(self, home: Path) -> None:
        self.file = Path(home) / FILE

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection whose queries all see one state.

        Raises:
            ArtifactError: the file is no registry, or of a newer version.
            HeadraceError: SQLite cannot read it.
        """
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection that alone may write; commits on leaving, rolls back when the block raises.

        Raises: as `read`; HeadraceError also when others keep the registry busy for too long.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            if not self.file.exists():
                _create(self.file)
            with closing(self._connect()) as connection, transaction(connection, begin):
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise HeadraceError(f"{self.file}: expected a registry that can be used. Received: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=_PATIENCE_S, isolation_level=None)
        try:
            _check(connection, self.file)
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
        except BaseException:
            connection.close()
            raise
        return connection


def _check(connection: sqlite3.Connection, file: Path) -> None:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # busy, disk: not the file's content
            raise
        raise ArtifactError(f"{file}: expected a model registry. Received: a damaged file ({error})") from None
    if application != _APPLICATION:
        raise ArtifactError(f"{file}: expected a model registry. Received: another or an empty file")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{file}: expected a registry of format version {FORMAT_VERSION} or older. "
            f"Received: version {version}. Upgrade headrace to use it."
        )


def _create(file: Path) -> None:
    """Makes the file under another name and links it into place: the first wins, nobody sees half."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        with suppress(FileExistsError):
            os.link(partial, file)
        sync_folder(file.parent)
    finally:
        for suffix in ("", "-wal", "-shm"):  # SQLite's own files stay when the disk was full
            partial.with_name(partial.name + suffix).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
