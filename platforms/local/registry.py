"""Models and their versions: rows in SQLite, bundles in `models/<name>/<version>/` of the home folder.

A version's row is written after its folder is in place, in a transaction that excludes other writers. So a
row always has its bundle; a folder without a row is what a killed process left, and the next registration
replaces it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.interface import CHAMPION, Event, ModelVersion
from headrace.platforms.local import rows
from headrace.platforms.local.database import Database
from headrace.platforms.local.files import copy_bundle, move, partial_folder, place_bundle, writing


@dataclass(frozen=True)
class _Entry:
    """What is to be registered."""

    name: str
    digest: str
    run: str
    metrics: dict[str, float]
    labels: dict[str, str]


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
    ) -> ModelVersion:
        """Stores a bundle as the next version; see `ModelRegistry.register`."""
        rows.check_name("model", name)
        source = Bundle.open(bundle, verify=False)  # checked below: where it lies, or where it arrives
        entry = _Entry(name, source.digest, run, _finite(metrics), dict(labels or {}))
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
                move(folder, self._folder(name, number))
                _insert(connection, entry, number)
                return self._version(connection, name, number)

    def models(self) -> list[str]:
        """The names of all models; see `ModelRegistry.models`."""
        with self._database.read() as connection:
            names = connection.execute("SELECT DISTINCT name FROM model_version ORDER BY name")
            return [str(name) for (name,) in names]

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a model, oldest first; see `ModelRegistry.versions`."""
        with self._database.read() as connection:
            query = "SELECT version FROM model_version WHERE name = ? ORDER BY version"
            numbers = [int(number) for (number,) in connection.execute(query, (name,))]
            return [self._version(connection, name, number) for number in numbers]

    def get(self, name: str, version: str) -> ModelVersion:
        """One version, by number or alias; see `ModelRegistry.get`."""
        with self._database.read() as connection:
            return self._version(connection, name, rows.version_number(connection, name, version))

    def champion(self, name: str) -> ModelVersion | None:
        """The version that serves, or None; see `ModelRegistry.champion`."""
        with self._database.read() as connection:
            query = "SELECT version FROM alias WHERE name = ? AND alias = ?"
            row = connection.execute(query, (name, CHAMPION)).fetchone()
            return None if row is None else self._version(connection, name, int(row[0]))

    def set_alias(self, name: str, alias: str, version: str, *, run: str = "") -> None:
        """Points an alias at a version; see `ModelRegistry.set_alias`."""
        rows.check_alias(alias)
        with self._database.write() as connection:
            number = rows.version_number(connection, name, version)
            before = rows.point_alias(connection, name, alias, number)
            rows.record(connection, "alias", name, run, {"alias": alias, "version": number, "before": before})

    def download(self, name: str, version: str, path: Path) -> None:
        """Places a version's bundle at `path`; see `ModelRegistry.download`."""
        found = self.get(name, version)
        stored = Bundle.open(found.uri)
        if stored.digest != found.digest:
            raise ArtifactError(f"{found.uri}: expected the bundle {found.digest}. Received: {stored.digest}")
        place_bundle(stored, Path(path))

    def history(self, subject: str | None = None) -> list[Event]:
        """The audit log; see `ModelRegistry.history`."""
        with self._database.read() as connection:
            found = connection.execute(
                "SELECT time, actor, action, subject, run, detail FROM audit "
                "WHERE ?1 IS NULL OR subject = ?1 ORDER BY id",
                (subject,),
            )
            return [
                Event(time, actor, action, about, by, json.loads(detail))
                for time, actor, action, about, by, detail in found
            ]

    def _folder(self, name: str, number: int) -> Path:
        return self._models / name / str(number)

    def _number(self, entry: _Entry) -> int | None:
        with self._database.read() as connection:
            return _number(connection, entry)

    def _again(self, connection: sqlite3.Connection, entry: _Entry) -> ModelVersion:
        number = _number(connection, entry)
        assert number is not None  # versions are never removed
        rows.record(connection, "register", entry.name, entry.run, {"version": number, "new": False})
        return self._version(connection, entry.name, number)

    def _version(self, connection: sqlite3.Connection, name: str, number: int) -> ModelVersion:
        query = "SELECT digest, created, run, metrics, labels FROM model_version WHERE name = ? AND version = ?"
        digest, created, run, metrics, labels = connection.execute(query, (name, number)).fetchone()
        query = "SELECT alias FROM alias WHERE name = ? AND version = ? ORDER BY alias"
        aliases = tuple(alias for (alias,) in connection.execute(query, (name, number)))
        return ModelVersion(
            name=name,
            version=str(number),
            digest=digest,
            uri=str(self._folder(name, number)),
            created=created,
            run=run,
            metrics=json.loads(metrics),
            labels=json.loads(labels),
            aliases=aliases,
        )


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
    metrics, labels = rows.to_json(entry.metrics), rows.to_json(entry.labels)
    connection.execute(
        "INSERT INTO model_version (name, version, digest, created, run, metrics, labels) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry.name, number, entry.digest, rows.now(), entry.run, metrics, labels),
    )
    detail = {"version": number, "new": True, "digest": entry.digest}
    rows.record(connection, "register", entry.name, entry.run, detail)
