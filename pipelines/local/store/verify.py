"""Verification of the store: whether every entry, and everything that the cache would reuse, is what it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import ArtifactRecord, artifacts_of
from headrace.pipelines.local.store import digests
from headrace.pipelines.local.store.entries import Prover, entries, entry_of, set_aside


@dataclass(frozen=True)
class Damage:
    """One thing that is not what it should be."""

    path: Path
    what: str
    tasks: tuple[str, ...] = ()  # "run task" of those that put it out


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong with it."""

    entries: int
    bytes: int
    damages: tuple[Damage, ...]


def verify(home: Path, record: Record, on_entry: Callable[[Path], object] = lambda entry: None) -> Verification:
    """Reads all of the store, and compares it with its names and with the record."""
    prover = Prover(home)
    damages: dict[Path, str] = {}
    count = total = 0
    for entry in entries(home):
        on_entry(entry)
        count, total = count + 1, total + digests.extent(entry)[1]
        if wrong := prover.wrong_with(entry):
            damages[entry] = wrong
    for row in record.rows("SELECT artifacts FROM cache WHERE reusable"):
        for items in artifacts_of(row["artifacts"]).values():
            for item in items:
                place = _place(home, item)
                if place is not None and place not in damages and (wrong := prover.damage(item)):
                    damages[place] = wrong
    broken = [row[0] for row in record.rows("PRAGMA integrity_check") if row[0] != "ok"]
    found = [Damage(place, wrong, _producers(record, place)) for place, wrong in damages.items()]
    return Verification(count, total, (*found, *(Damage(record.file, line) for line in broken)))


def repair(home: Path, record: Record, found: Verification) -> None:
    """Takes what is damaged out of the store and the cache, so that it is made anew when it is needed next."""
    for row in record.rows("SELECT key, artifacts FROM cache"):
        items = [item for items in artifacts_of(row["artifacts"]).values() for item in items]
        if {_place(home, item) for item in items} & {damage.path for damage in found.damages}:
            record.forget([row["key"]])
    for damage in found.damages:
        if entry_of(home, damage.path) == damage.path:
            set_aside(damage.path)


def _place(home: Path, item: ArtifactRecord) -> Path | None:
    """The entry that an artifact lies in, or where it lies otherwise; None for a remote one."""
    return (entry_of(home, item.path) or item.path) if item.path else None


def _producers(record: Record, place: Path) -> tuple[str, ...]:
    query = (
        "SELECT DISTINCT run, path FROM artifacts JOIN uses ON artifact = artifacts.id "
        "WHERE direction = 'out' AND (uri = :place OR substr(uri, 1, length(:place) + 1) = :place || '/') "
        "ORDER BY run DESC LIMIT 3"
    )
    return tuple(f"{row['run']} {row['path']}" for row in record.rows(query, {"place": str(place)}))
