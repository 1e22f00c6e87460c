"""From the registry's rows to model versions: five queries, however many versions are asked for."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

from headrace.platforms.interface import LIVE, Approval, ModelSettings, ModelVersion
from headrace.platforms.lifecycle import standing
from headrace.platforms.local import rows

_Key = tuple[str, int]


def version_folder(models: Path, name: str, number: int) -> Path:
    """Where a version's bundle lies."""
    return models / name / str(number)


def one_version(connection: sqlite3.Connection, models: Path, name: str, version: str) -> ModelVersion:
    """A version by its number or alias.

    Raises:
        HeadraceError: there is no such model, version or alias.
    """
    return load_versions(connection, models, name, rows.version_number(connection, name, version))[0]


def load_versions(
    connection: sqlite3.Connection, models: Path, name: str | None = None, number: int | None = None
) -> list[ModelVersion]:
    """Versions in the order of name and number: one, a model's, or all.

    Args:
        connection: an open transaction.
        models: the folder of the bundles.
        name: a model's name; None for all.
        number: a version of that model; None for all.
    """
    which = _Which(connection, name, number)
    needed = dict(which("SELECT name, approvals FROM model WHERE {}", version=False))
    states = {(row[0], row[1]): row[2:] for row in which("SELECT name, version, blessed, judged_against, ended FROM "
              "standing WHERE {}")}  # fmt: skip
    aliases, endpoints, approvals = defaultdict(list), defaultdict(list), defaultdict(list)
    for model, version, alias in which("SELECT name, version, alias FROM alias WHERE {} ORDER BY alias"):
        aliases[model, version].append(str(alias))
    for model, version, endpoint in which(
        "SELECT model, version, endpoint FROM deployed WHERE {model} ORDER BY endpoint"
    ):
        endpoints[model, version].append(str(endpoint))
    query = "SELECT name, version, who, reason, time, actor FROM approval WHERE NOT ended AND {} ORDER BY id"
    for model, version, *approval in which(query):
        approvals[model, version].append(Approval(*approval))
    query = (
        "SELECT name, version, digest, created, run, metrics, labels, registered_by FROM model_version WHERE {} "
        "ORDER BY name, version"
    )
    found = []
    for model, version, digest, created, run, metrics, labels, by in which(query):
        key: _Key = (model, version)
        blessed, judged_against, ended = states[key]
        given = tuple(approvals[key])
        found.append(
            ModelVersion(
                name=model,
                version=str(version),
                digest=digest,
                uri=str(version_folder(models, model, version)),
                created=created,
                run=run,
                metrics=json.loads(metrics),
                labels=json.loads(labels),
                aliases=tuple(aliases[key]),
                state=LIVE if endpoints[key] else ended or standing(bool(blessed), given, needed[model]),
                registered_by=by,
                approvals=given,
                approvals_needed=needed[model],
                judged_against=judged_against,
                endpoints=tuple(endpoints[key]),
            )
        )
    return found


def model_settings(connection: sqlite3.Connection, name: str) -> ModelSettings:
    """What is kept of a model; the defaults where there is none."""
    row = connection.execute("SELECT approvals, endpoint FROM model WHERE name = ?", (name,)).fetchone()
    return ModelSettings() if row is None else ModelSettings(*row)


class _Which:
    """Queries about one version, one model or all, each with the condition that its index can use."""

    def __init__(self, connection: sqlite3.Connection, name: str | None, number: int | None) -> None:
        self._connection, self._name, self._number = connection, name, number

    def __call__(self, query: str, version: bool = True) -> list[tuple[Any, ...]]:
        column = "model" if "{model}" in query else "name"
        terms: list[str] = []
        values: list[str | int] = []
        if self._name is not None:
            terms.append(f"{column} = ?")
            values.append(self._name)
            if version and self._number is not None:
                terms.append("version = ?")
                values.append(self._number)
        condition = " AND ".join(terms) or "1"
        return self._connection.execute(query.replace("{model}", "{}").format(condition), values).fetchall()
