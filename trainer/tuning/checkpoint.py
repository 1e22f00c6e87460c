"""Where a search lies while it runs, so that one that was killed goes on where it stood.

    <root>/tune-<key>/
        study.db       Optuna's study, as it was when the last trial was told of
        trial-<n>/     what trials leave for their own resumption

The key covers all that the outcome depends on: a search of other data, settings or versions begins anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from headrace.trainer.checkpoints import VARIABLES, mounted

DATABASE = "study.db"


@dataclass(frozen=True)
class Checkpoint:
    """A search's place.

    The search writes to a database in a temporary folder, and a whole copy of it becomes the checkpoint: a folder that
    is a bucket, or on a network, takes no database, and a copy needs to be made durable once where a search writes a
    dozen times.

    Attributes:
        folder: outlives the process; None where nothing does.
        work: the temporary folder.
    """

    folder: Path | None
    work: Path

    @property
    def database(self) -> Path:
        """Where the search writes to."""
        return self.work / DATABASE

    def save(self) -> None:
        """Brings the folder to where the search stands."""
        if self.folder is None:
            return
        consistent = self.work / "copy.db"
        with closing(sqlite3.connect(self.database)) as source, closing(sqlite3.connect(consistent)) as target:
            source.backup(target)
        partial = self.folder / f".{DATABASE}"
        with consistent.open("rb") as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        partial.replace(self.folder / DATABASE)

    def of_trial(self, number: int) -> Path | None:
        """A trial's own folder; None where nothing outlives the process."""
        return None if self.folder is None else self.folder / f"trial-{number}"

    def end_trial(self, number: int) -> None:
        """Removes a trial's folder: it needs no resumption any more."""
        if self.folder is not None:
            shutil.rmtree(self.folder / f"trial-{number}", ignore_errors=True)

    def remove(self) -> None:
        """Removes the search: what it came to is kept elsewhere now."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def checkpoint_root() -> Path | None:
    """The folder that outlives a killed task, as the platform tells it; None where it has none."""
    told = next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    return Path(mounted(told)) if told else None


@contextmanager
def open_checkpoint(root: Path | None, key: str) -> Iterator[Checkpoint]:
    """Yields the place of the search with this key, with what a killed one left there.

    Where there is no root, and where another process of this machine is at the same search, nothing is left behind.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-tune-") as temporary:
        work = Path(temporary)
        if root is None:
            yield Checkpoint(None, work)
            return
        folder = root / f"tune-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            if not _locked(lock):
                print(f"another process is at this very search, in {folder}; this one begins its own")
                yield Checkpoint(None, work)
                return
            _restore(folder / DATABASE, work / DATABASE)
            yield Checkpoint(folder, work)


def _locked(lock: IO[str]) -> bool:
    """Takes the lock; False where another process has it. A bucket has no locks, nor two processes at one search."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _restore(left: Path, database: Path) -> None:
    """Takes over what a killed search left; where a lost disk has damaged it, the search begins anew."""
    if not left.is_file():
        return
    shutil.copyfile(left, database)
    try:
        with closing(sqlite3.connect(database)) as connection:
            if connection.execute("PRAGMA quick_check").fetchone() == ("ok",):
                return
    except sqlite3.DatabaseError:
        pass  # it is no database at all
    print(f"{left}: expected a study. Received: a damaged file; the search begins anew")
    database.unlink()


def key_of(facts: dict[str, Any]) -> str:
    """A key for all that a search's outcome depends on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
