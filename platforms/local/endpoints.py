"""Endpoints: which version each name serves. Servers read this; nothing is started here."""

from __future__ import annotations

import sqlite3
from itertools import groupby

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import ANY_CHAMPION, CHAMPION, ChampionChanged, Deployed, Endpoint
from headrace.platforms.local import rows
from headrace.platforms.local.database import Database

_QUERY = "SELECT endpoint, model, version, traffic, updated FROM deployed"
_ORDER = "ORDER BY endpoint, traffic DESC, model, version DESC"


class LocalEndpoints:
    """The endpoints in a home folder's registry. Implements `platforms.interface.Endpoints`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deploy(
        self,
        endpoint: str,
        name: str,
        version: str,
        *,
        traffic: int = 100,
        run: str = "",
        expected_champion: str | None = ANY_CHAMPION,
    ) -> Endpoint:
        """Puts a version behind an endpoint and makes it the champion; see `Endpoints.deploy`."""
        rows.check_name("endpoint", endpoint)
        if traffic != 100:
            # A share needs a router that honours it; until there is one, a part would be all or nothing.
            raise HeadraceError(f"endpoint {endpoint}: expected 100 percent of the traffic. Received: {traffic}")
        with self._database.write() as connection:
            number = rows.version_number(connection, name, version)
            _require_champion(connection, name, number, expected_champion)
            before = [f"{item.model}/{item.version}" for item in _deployed(connection, endpoint)]
            connection.execute("DELETE FROM deployed WHERE endpoint = ?", (endpoint,))
            connection.execute(
                "INSERT INTO deployed (endpoint, model, version, traffic, updated) VALUES (?, ?, ?, ?, ?)",
                (endpoint, name, number, traffic, rows.now()),
            )
            champion = rows.point_alias(connection, name, CHAMPION, number)
            detail = {
                "model": name,
                "version": number,
                "traffic": traffic,
                "before": before,
                "champion": champion,
            }
            rows.record(connection, "deploy", endpoint, run, detail)
            return _endpoints(connection, endpoint)[0]

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint, or None; see `Endpoints.get`."""
        with self._database.read() as connection:
            found = _endpoints(connection, endpoint)
        return found[0] if found else None

    def list(self) -> list[Endpoint]:
        """All endpoints, by name."""
        with self._database.read() as connection:
            return _endpoints(connection)


def _require_champion(connection: sqlite3.Connection, name: str, number: int, expected: str | None) -> None:
    """Compares the champion with the expected one, in the caller's writing transaction."""
    if expected == ANY_CHAMPION:
        return
    row = connection.execute(
        "SELECT version, digest FROM alias JOIN model_version USING (name, version) WHERE name = ? AND alias = ?",
        (name, CHAMPION),
    ).fetchone()
    if row is None and expected is None:
        return
    if row is not None and (row[0] == number or row[1] == expected):
        return
    now = "none" if row is None else f"version {row[0]} ({row[1][:19]})"
    raise ChampionChanged(
        f"the champion of {name} changed while this run was judged; run again. "
        f"expected: {'none' if expected is None else expected[:19]}. Received: {now}"
    )


def _endpoints(connection: sqlite3.Connection, endpoint: str | None = None) -> list[Endpoint]:
    found = connection.execute(f"{_QUERY} WHERE ?1 IS NULL OR endpoint = ?1 {_ORDER}", (endpoint,))
    return [_endpoint(name, list(group)) for name, group in groupby(found, key=lambda row: row[0])]


def _endpoint(name: str, found: list[tuple[str, str, int, int, str]]) -> Endpoint:
    deployed = tuple(Deployed(model, str(version), traffic) for _, model, version, traffic, _ in found)
    return Endpoint(name, deployed, max(updated for *_, updated in found))


def _deployed(connection: sqlite3.Connection, endpoint: str) -> tuple[Deployed, ...]:
    found = _endpoints(connection, endpoint)
    return found[0].deployed if found else ()
