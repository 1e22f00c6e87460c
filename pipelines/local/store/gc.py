"""Garbage collection: what the store may lose, by reachability, age and size. First a plan, then its execution."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import ArtifactRecord, artifacts_of, local_path
from headrace.pipelines.local.store import digests, lock
from headrace.pipelines.local.store.entries import entries, entry_of, placed, set_aside

UNREACHABLE = "nothing refers to it"
OLD = "not used for longer"
ROOM = "least recently used, to make room"
LEFTOVER = "left behind by a process that died"
ABANDONED = "checkpoints of a training that was not gone on with"
LEFTOVER_AGE = 600.0  # seconds after which nobody is still writing a partial file
ABANDONED_AGE = 7 * 86400.0  # seconds after which nobody is expected to resume a training


@dataclass(frozen=True)
class Removal:
    """One thing to be removed, and why."""

    path: Path
    bytes: int
    why: str
    last_used: float = 0.0  # seconds since the epoch; 0 where nothing ever used it


@dataclass(frozen=True)
class Plan:
    """What a collection would remove, and what would stay."""

    removals: tuple[Removal, ...]
    kept: int  # entries
    kept_bytes: int

    @property
    def bytes(self) -> int:
        return sum(removal.bytes for removal in self.removals)


def plan(
    home: Path,
    record: Record,
    *,
    older_than: float | None = None,
    max_bytes: int | None = None,
    keep_last: int = 1,
    protected_digests: Collection[str] = (),
) -> Plan:
    """Says what can go: always what nothing refers to, what dead processes left, and checkpoints of last week.

    Args:
        home: the `.headrace` folder.
        record: its record of runs.
        older_than: seconds; also what no run has used for longer, and the logs of runs that ended before.
        max_bytes: also the least recently used, until the store is no larger.
        keep_last: runs of each name, the latest and the latest that succeeded, of which nothing is removed.
        protected_digests: of artifacts that stay whatever their age and size, such as the data of registered models.
    """
    used = _last_used(home, record)
    sizes = {entry: digests.extent(entry)[1] for entry in entries(home)}
    held = _holding(sizes, protected_digests)
    protected = _protected(home, record, keep_last) | held
    unused = [entry for entry in sizes if entry not in used and entry not in held]
    removals = {entry: Removal(entry, sizes[entry], UNREACHABLE) for entry in unused}
    candidates = sorted(set(sizes) & set(used) - protected, key=lambda entry: used[entry])
    if older_than is not None:
        limit = time.time() - older_than
        removals.update((e, Removal(e, sizes[e], OLD, used[e])) for e in candidates if used[e] < limit)
    if max_bytes is not None:
        total = sum(sizes.values()) - sum(removal.bytes for removal in removals.values())
        for entry in candidates:
            if total > max_bytes and entry not in removals:
                removals[entry] = Removal(entry, sizes[entry], ROOM, used[entry])
                total -= sizes[entry]
    logs = _old_logs(home, record, older_than, keep_last) if older_than is not None else []
    kept = [size for entry, size in sizes.items() if entry not in removals]
    left = *_leftovers(home, record), *_abandoned(home, older_than)
    return Plan((*removals.values(), *logs, *left), len(kept), sum(kept))


def carry_out(home: Path, record: Record, what: Plan, again: Callable[[], Plan]) -> Plan:
    """Removes what a plan names; entries first leave the cache, then the store, each in one step.

    Args:
        home: the `.headrace` folder.
        record: its record of runs.
        what: was planned, and shown, while runs could begin.
        again: plans anew, in the same way. It is asked while no run can begin: what a run has used since the first
            plan stays, and what only the second one names was shown to nobody.

    Returns:
        What was removed, and what stays.

    Raises:
        StoreInUse: a run is under way.
    """
    with lock.alone(home):
        both = _in_both(home, what, again())
        keys = _cache_keys(home, record)
        for removal in both.removals:
            if entry_of(home, removal.path) == removal.path:
                record.forget(keys.get(removal.path, []))
                set_aside(removal.path)
            elif removal.path.is_dir():
                shutil.rmtree(removal.path, ignore_errors=True)
            else:
                removal.path.unlink(missing_ok=True)
        for group in (home / "store").glob("*"):
            with contextlib.suppress(OSError):
                group.rmdir()  # one that is empty now
    return both


def _in_both(home: Path, first: Plan, second: Plan) -> Plan:
    shown = {removal.path for removal in first.removals}
    removals = tuple(removal for removal in second.removals if removal.path in shown)
    spared = [r.bytes for r in second.removals if r.path not in shown and entry_of(home, r.path) == r.path]
    return Plan(removals, second.kept + len(spared), second.kept_bytes + sum(spared))


def _last_used(home: Path, record: Record) -> dict[Path, float]:
    """When each entry was last put out, read, or put into the cache."""
    used: dict[Path, float] = {}

    def note(artifact_path: Path | None, moment: float) -> None:
        entry = entry_of(home, placed(home, artifact_path)) if artifact_path else None
        if entry is not None:
            used[entry] = max(used.get(entry, 0.0), moment)

    query = (
        "SELECT uri, MAX(started) AS moment FROM artifacts JOIN uses ON artifact = artifacts.id "
        "JOIN runs ON runs.id = run GROUP BY artifacts.id"
    )
    for row in record.rows(query):
        note(local_path(row["uri"]), row["moment"])
    for row, item in _cached(record):
        note(item.path, row["created"])
    return used


def _protected(home: Path, record: Record, keep_last: int) -> set[Path]:
    found = set()
    for run in _kept_runs(record, keep_last):
        rows = record.rows("SELECT uri FROM artifacts JOIN uses ON artifact = artifacts.id WHERE run = ?", (run,))
        found |= {entry_of(home, placed(home, path)) for row in rows if (path := local_path(row["uri"]))}
    return {entry for entry in found if entry is not None}


def _holding(found: Iterable[Path], wanted: Collection[str]) -> set[Path]:
    """The entries that hold a sealed folder with one of these digests. They are asked themselves: the record knows
    their places, and those change when a home is moved."""
    if not wanted:
        return set()
    return {entry for entry in found if any(digests.sealed_digest(folder) in wanted for folder in entry.glob("*/"))}


def _kept_runs(record: Record, keep_last: int) -> set[str]:
    """The latest runs of each name, the latest of those that succeeded, and those that are under way."""
    ranked = (
        "SELECT id, state, row_number() OVER (PARTITION BY name ORDER BY started DESC) AS overall, "
        "row_number() OVER (PARTITION BY name, state ORDER BY started DESC) AS alike FROM runs"
    )
    query = f"SELECT id FROM ({ranked}) WHERE overall <= ? OR (state = 'SUCCEEDED' AND alike <= ?) OR state = 'RUNNING'"
    return {row["id"] for row in record.rows(query, (keep_last, keep_last))}


def _cache_keys(home: Path, record: Record) -> dict[Path, list[str]]:
    keys: dict[Path, list[str]] = {}
    for row, item in _cached(record):
        entry = entry_of(home, placed(home, item.path)) if item.path else None
        if entry is not None:
            keys.setdefault(entry, []).append(row["key"])
    return keys


def _old_logs(home: Path, record: Record, older_than: float, keep_last: int) -> list[Removal]:
    rows = record.rows("SELECT id, finished FROM runs WHERE finished < ?", (time.time() - older_than,))
    kept = _kept_runs(record, keep_last)
    old = [row for row in rows if row["id"] not in kept]
    places = [(home / folder / row["id"], row["finished"]) for row in old for folder in ("logs", "workspaces")]
    return [Removal(p, digests.extent(p)[1], OLD, moment) for p, moment in places if p.is_dir()]


def _leftovers(home: Path, record: Record) -> list[Removal]:
    """Partial files and temporary folders that no living process can still be at work on."""
    alive = {run for run, owner in record.unfinished() if owner.alive()}
    found = [place for place in (home / "tmp").glob("*") if place.name not in alive]
    for pattern in (".*.partial-*", "compiled/.*.partial-*", "store/*/.*"):
        found += home.glob(pattern)
    limit = time.time() - LEFTOVER_AGE
    removals = []
    for place in found:
        with contextlib.suppress(FileNotFoundError):
            if place.lstat().st_mtime < limit:
                removals.append(Removal(place, digests.extent(place)[1], LEFTOVER))
    return removals


def _abandoned(home: Path, older_than: float | None) -> list[Removal]:
    """Checkpoints of trainings and searches that were killed, and not resumed since."""
    limit = time.time() - min(ABANDONED_AGE if older_than is None else older_than, ABANDONED_AGE)
    removals = []
    for place in (home / "checkpoints").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # a training that ends now removes its own
            written = max(part.lstat().st_mtime for part in (place, *place.rglob("*")))
            if written < limit:
                removals.append(Removal(place, digests.extent(place)[1], ABANDONED, written))
    return removals


def _cached(record: Record) -> Iterator[tuple[sqlite3.Row, ArtifactRecord]]:
    """Every artifact that the cache holds, with its row there."""
    for row in record.rows("SELECT key, created, artifacts FROM cache"):
        for items in artifacts_of(row["artifacts"]).values():
            yield from ((row, item) for item in items)
