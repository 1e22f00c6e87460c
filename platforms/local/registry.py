"""Models and their versions: rows in SQLite, bundles in `models/<name>/<version>/` of the home folder.

A version's row is written after its folder is in place, in a transaction that excludes other writers. So a
row always has its bundle; a folder without a row is what a killed process left, and the next registration
replaces it.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.decision import UNRECORDED
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    CHALLENGER,
    CHAMPION,
    REJECTED,
    Audit,
    Blessing,
    Document,
    Event,
    ModelSettings,
    ModelVersion,
)
from headrace.platforms.lifecycle import check_approval, check_transition, count, motive, person
from headrace.platforms.local import documents, rows, verifying
from headrace.platforms.local.account import account, now, who_asks
from headrace.platforms.local.database import Database
from headrace.platforms.local.files import copy_bundle, move, partial_folder, place_bundle, writing
from headrace.platforms.local.versions import load_versions, model_settings, one_version, version_folder


@dataclass(frozen=True)
class _Entry:
    """What is to be registered."""

    name: str
    digest: str
    run: str
    metrics: dict[str, float]
    labels: dict[str, str]
    blessing: Blessing | None
    settings: ModelSettings
    who: str


class LocalRegistry:
    """The model registry in a home folder. Implements `platforms.interface.ModelRegistry`."""

    def __init__(self, home: Path, database: Database) -> None:
        self._models = Path(home) / "models"
        self._database = database

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        metrics: Mapping[str, float],
        run: str,
        labels: Mapping[str, str] | None = None,
        blessing: Blessing | None = None,
        settings: ModelSettings | None = None,
        who: str = "",
    ) -> ModelVersion:
        """Stores a bundle as the next version; see `ModelRegistry.register`."""
        rows.check_name("model", name)
        source = Bundle.open(bundle, verify=False)  # checked below: where it lies, or where it arrives
        kept = settings or ModelSettings()
        count(kept.approvals)
        found = _finite(metrics), dict(labels or {})
        entry = _Entry(name, source.digest, run, *found, blessing, kept, who_asks(who))
        if self._number(entry) is not None:
            Bundle.open(bundle)
            with self._database.write() as connection:
                return self._again(connection, entry)
        with writing(self._models / name), partial_folder(self._models / name) as folder:
            if copy_bundle(source, folder).digest != entry.digest:
                raise ArtifactError(f"{bundle}: expected a bundle that stays as it is. Received: one that changed")
            with self._database.write() as connection:
                if _number(connection, entry) is not None:  # another process was faster
                    return self._again(connection, entry)
                number = _next_number(connection, name)
                move(folder, version_folder(self._models, name, number))
                _insert(connection, entry, number)
                return self._settled(connection, entry, number, new=True)

    def models(self) -> list[str]:
        """The names of all models; see `ModelRegistry.models`."""
        with self._database.read() as connection:
            names = connection.execute("SELECT DISTINCT name FROM model_version ORDER BY name")
            return [str(name) for (name,) in names]

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """The versions of a model, or of all; see `ModelRegistry.versions`."""
        with self._database.read() as connection:
            return load_versions(connection, self._models, name)

    def get(self, name: str, version: str) -> ModelVersion:
        """One version, by number or alias; see `ModelRegistry.get`."""
        with self._database.read() as connection:
            return one_version(connection, self._models, name, version)

    def champion(self, name: str) -> ModelVersion | None:
        """The version that serves, or None; see `ModelRegistry.champion`."""
        with self._database.read() as connection:
            query = "SELECT version FROM alias WHERE name = ? AND alias = ?"
            row = connection.execute(query, (name, CHAMPION)).fetchone()
            return None if row is None else load_versions(connection, self._models, name, int(row[0]))[0]

    def set_alias(self, name: str, alias: str, version: str, *, run: str = "") -> None:
        """Points an alias at a version; see `ModelRegistry.set_alias`."""
        rows.check_alias(alias)
        if alias == CHAMPION:
            raise HeadraceError(f"alias: expected another than {CHAMPION}, which deploying moves. Received: {alias}")
        with self._database.write() as connection:
            number = rows.version_number(connection, name, version)
            before = rows.point_alias(connection, name, alias, number)
            rows.record(connection, "alias", name, run, {"alias": alias, "version": number, "before": before})

    def settings(self, name: str) -> ModelSettings:
        """What is kept of a model; see `ModelRegistry.settings`."""
        with self._database.read() as connection:
            return model_settings(connection, name)

    def require_approvals(self, name: str, approvals: int, *, who: str, reason: str) -> None:
        """Sets how many approvals a model asks for; see `ModelRegistry.require_approvals`."""
        needed, who, reason = count(approvals), person(who), motive(reason)
        with self._database.write() as connection:
            rows.newest_version(connection, name)
            before = model_settings(connection, name).approvals
            connection.execute("UPDATE model SET approvals = ? WHERE name = ?", (needed, name))
            detail = {"approvals": needed, "before": before, "who": who, "reason": reason}
            rows.record(connection, "settings", name, "", detail)

    def approve(self, name: str, version: str, *, who: str, reason: str) -> ModelVersion:
        """Records a person's yes; see `ModelRegistry.approve`."""
        who, reason = person(who), motive(reason)
        with self._database.write() as connection:
            found = one_version(connection, self._models, name, version)
            check_approval(found, who)
            number = int(found.version)
            connection.execute(
                "INSERT INTO approval (name, version, who, reason, time, actor) VALUES (?, ?, ?, ?, ?, ?)",
                (name, number, who, reason, now(), account()),
            )
            after = load_versions(connection, self._models, name, number)[0]
            detail = {"version": number, "who": who, "reason": reason, "approvals": len(after.approvals)}
            rows.record(connection, "approve", name, "", {**detail, "state": after.state})
            return after

    def transition(self, name: str, version: str, state: str, *, who: str, reason: str) -> ModelVersion:
        """Rejects, archives or restores a version; see `ModelRegistry.transition`."""
        who, reason = person(who), motive(reason)
        with self._database.write() as connection:
            found = one_version(connection, self._models, name, version)
            check_transition(found, state)
            number = int(found.version)
            rows.end(connection, name, number, state if state in (REJECTED, ARCHIVED) else "")
            moved: dict[str, Any] = {}
            if CHAMPION in found.aliases and state in (REJECTED, ARCHIVED):  # servers would follow it, live or not
                moved["champion_after"] = rows.move_champion(connection, name, number)
            after = load_versions(connection, self._models, name, number)[0]
            detail = {"version": number, "state": after.state, "before": found.state, "who": who, "reason": reason}
            rows.record(connection, "state", name, "", {**detail, **moved})
            return after

    def download(self, name: str, version: str, path: Path) -> None:
        """Places a version's bundle at `path`; see `ModelRegistry.download`."""
        found = self.get(name, version)
        stored = Bundle.open(found.uri)
        if stored.digest != found.digest:
            raise ArtifactError(f"{found.uri}: expected the bundle {found.digest}. Received: {stored.digest}")
        place_bundle(stored, Path(path))

    def attach(self, name: str, version: str, file: str, content: bytes, *, run: str = "") -> Document:
        """Keeps a file beside a version; see `ModelRegistry.attach`."""
        return documents.attach(self._database, self._models, (name, version), file, content, run)

    def documents(self, name: str, version: str) -> list[Document]:
        """What is kept beside a version; see `ModelRegistry.documents`."""
        return documents.listed(self._database, name, version)

    def document(self, name: str, version: str, file: str) -> bytes:
        """The content of a document; see `ModelRegistry.document`."""
        return documents.read(self._database, self._models, name, version, file)

    def history(self, subject: str | None = None) -> list[Event]:
        """The audit log; see `ModelRegistry.history`."""
        with self._database.read() as connection:
            return verifying.events(connection, subject)

    def verify(self, head: str = "") -> Audit:
        """Verifies the audit log; see `ModelRegistry.verify`."""
        with self._database.read() as connection:
            return verifying.verify(connection, head)

    def _number(self, entry: _Entry) -> int | None:
        with self._database.read() as connection:
            return _number(connection, entry)

    def _again(self, connection: sqlite3.Connection, entry: _Entry) -> ModelVersion:
        number = _number(connection, entry)
        assert number is not None  # versions are never removed
        return self._settled(connection, entry, number, new=False)

    def _settled(self, connection: sqlite3.Connection, entry: _Entry, number: int, new: bool) -> ModelVersion:
        """Blesses a version that is there, and puts the registration into the log."""
        if entry.blessing is not None:
            connection.execute(
                "UPDATE standing SET blessed = 1, judged_against = ? WHERE name = ? AND version = ?",
                (entry.blessing.champion, entry.name, number),
            )
        raised = _raise_settings(connection, entry)
        after = load_versions(connection, self._models, entry.name, number)[0]
        newest = rows.newest_version(connection, entry.name) == number
        if newest and entry.blessing is not None and after.state in (BLESSED, APPROVED):
            rows.point_alias(connection, entry.name, CHALLENGER, number)
            after = load_versions(connection, self._models, entry.name, number)[0]
        detail = {
            "version": number,
            "new": new,
            "digest": entry.digest,
            "blessed": entry.blessing is not None,
            "who": entry.who,
            **({"judged_against": entry.blessing.champion} if entry.blessing else {}),
            **({"facts": verifying.facts(connection, entry.name, number)} if new else {}),
            **raised,
        }
        rows.record(connection, "register", entry.name, entry.run, detail)
        return after


def _raise_settings(connection: sqlite3.Connection, entry: _Entry) -> dict[str, Any]:
    """Keeps a model's settings: approvals go up and never down, the endpoint is the latest that was named.

    Returns what the log has to tell of them.
    """
    before = model_settings(connection, entry.name)
    approvals = max(before.approvals, entry.settings.approvals)
    endpoint = entry.settings.endpoint or before.endpoint
    connection.execute(
        "INSERT INTO model (name, approvals, endpoint) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
        "SET approvals = excluded.approvals, endpoint = excluded.endpoint",
        (entry.name, approvals, endpoint),
    )
    return {"endpoint": endpoint, **({"approvals": approvals} if approvals != before.approvals else {})}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong:
        raise HeadraceError(f"metrics: expected finite numbers. Received: {wrong[0]}={metrics[wrong[0]]}")
    return dict(metrics)


def _number(connection: sqlite3.Connection, entry: _Entry) -> int | None:
    query = "SELECT version FROM model_version WHERE name = ? AND digest = ?"
    row = connection.execute(query, (entry.name, entry.digest)).fetchone()
    return None if row is None else int(row[0])


def _next_number(connection: sqlite3.Connection, name: str) -> int:
    # Two names that differ in case alone would share a folder on a file system that ignores it.
    query = "SELECT name FROM model_version WHERE lower(name) = lower(?1) AND name <> ?1"
    other = connection.execute(query, (name,)).fetchone()
    if other is not None:
        raise HeadraceError(f"model name: expected {other[0]!r}, which is registered. Received: {name!r}")
    query = "SELECT coalesce(max(version), 0) + 1 FROM model_version WHERE name = ?"
    return int(connection.execute(query, (name,)).fetchone()[0])


def _insert(connection: sqlite3.Connection, entry: _Entry, number: int) -> None:
    connection.execute(
        "INSERT INTO model_version (name, version, digest, created, run, metrics, labels, registered_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (entry.name, number, entry.digest, now(), entry.run,
         rows.to_json(entry.metrics), rows.to_json(entry.labels), entry.who),
    )  # fmt: skip
    connection.execute(
        "INSERT INTO standing (name, version, blessed, judged_against, ended) VALUES (?, ?, 0, ?, '')",
        (entry.name, number, UNRECORDED),
    )
