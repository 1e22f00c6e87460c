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
from headrace.platforms.local.account import account, now
from headrace.platforms.local.schema import APPLICATION, FORMAT_VERSION, SCHEMA, upgrade

FILE = "registry.db"
_PATIENCE_S = 30.0  # how long one process waits for the others' writes


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
        """A connection whose queries all see one state: that of an empty registry where there is no file.

        Reading makes nothing: where the home is missing or not mounted, an empty file in its place would hide that.

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
            there = _exists(self.file)
            if not there and begin != "BEGIN":
                _create(self.file)
            opened = self._connect() if there or begin != "BEGIN" else _nothing()
            with closing(opened) as connection, transaction(connection, begin):
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise HeadraceError(f"{self.file}: expected a registry that can be used. Received: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        place = f"{self.file.absolute().as_uri()}?mode=rw"  # a file that has gone since is not made anew
        connection = sqlite3.connect(place, timeout=_PATIENCE_S, isolation_level=None, uri=True)
        try:
            version = _check(connection, self.file)
            connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
            if version < FORMAT_VERSION:
                _upgrade(connection)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    """Brings a file of an older format up to date: as a whole or not at all, and once, whoever comes first."""
    with transaction(connection, "BEGIN IMMEDIATE"):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < FORMAT_VERSION:
            upgrade(connection, version, now(), account())


def _check(connection: sqlite3.Connection, file: Path) -> int:
    """The file's format version, if it is a registry of ours that this version can read."""
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # busy, disk: not the file's content
            raise
        raise ArtifactError(f"{file}: expected a model registry. Received: a damaged file ({error})") from None
    if application != APPLICATION:
        raise ArtifactError(f"{file}: expected a model registry. Received: another or an empty file")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{file}: expected a registry of format version {FORMAT_VERSION} or older. "
            f"Received: version {version}. Upgrade headrace to use it."
        )
    return int(version)


def _exists(file: Path) -> bool:
    """Whether the file is there; raises OSError where nobody can tell, or where the home is no folder."""
    try:
        file.stat()
    except FileNotFoundError:
        return False
    return True


def _nothing() -> sqlite3.Connection:
    """An empty registry, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
    return connection


def _create(file: Path) -> None:
    """Makes the file under another name and links it into place: the first wins, nobody sees half."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
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
