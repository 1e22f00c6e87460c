"""Endpoints: which version each name serves. Servers read this; nothing is started here."""

from __future__ import annotations

import sqlite3
from itertools import groupby
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    ANY_CHAMPION,
    ARCHIVED,
    CANDIDATE,
    CHALLENGER,
    CHAMPION,
    REJECTED,
    ChampionChanged,
    Deployed,
    Endpoint,
    NotAllowed,
    RolledBack,
)
from headrace.platforms.lifecycle import check_deployable, motive, person
from headrace.platforms.local import rows
from headrace.platforms.local.account import now, who_asks
from headrace.platforms.local.database import Database
from headrace.platforms.local.schema import insert_deployment
from headrace.platforms.local.verifying import told_pile
from headrace.platforms.local.versions import load_versions, model_settings, one_version

_QUERY = "SELECT endpoint, model, version, traffic, updated FROM deployed"
_ORDER = "ORDER BY endpoint, traffic DESC, model, version DESC"


class LocalEndpoints:
    """The endpoints in a home folder's registry. Implements `platforms.interface.Endpoints`."""

    def __init__(self, home: Path, database: Database) -> None:
        self._models = Path(home) / "models"
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
        who: str = "",
        reason: str = "",
    ) -> Endpoint:
        """Puts a version behind an endpoint and makes it the champion; see `Endpoints.deploy`."""
        rows.check_name("endpoint", endpoint)
        if traffic != 100:
            # A share needs a router that honours it; until there is one, a part would be all or nothing.
            raise HeadraceError(f"endpoint {endpoint}: expected 100 percent of the traffic. Received: {traffic}")
        who = who_asks(who)
        with self._database.write() as connection:
            found = one_version(connection, self._models, name, version)
            number = int(found.version)
            _require_champion(connection, name, number, expected_champion)
            check_deployable(found, model_settings(connection, name).approvals)
            before = [f"{item.model}/{item.version}" for item in _deployed(connection, endpoint)]
            _serve(connection, endpoint, name, number)
            champion = rows.point_alias(connection, name, CHAMPION, number)
            insert_deployment(connection, endpoint, name, number, now())
            detail = {
                "model": name,
                "version": number,
                "traffic": traffic,
                "before": before,
                "champion": champion,
                "who": who,
                **({"reason": reason} if reason else {}),
            }
            rows.record(connection, "deploy", endpoint, run, detail)
            return _endpoints(connection, endpoint)[0]

    def rollback(
        self,
        endpoint: str,
        *,
        who: str,
        reason: str,
        run: str = "",
        expected_version: str = "",
        expected_model: str = "",
    ) -> RolledBack:
        """Serves again what served before; see `Endpoints.rollback`."""
        who, reason = person(who), motive(reason)
        with self._database.write() as connection:
            pile = _pile(connection, endpoint)
            if not pile:
                raise HeadraceError(_no_such_endpoint(connection, endpoint))
            (_, name, taken), *earlier = pile
            if (expected_version or str(taken), expected_model or name) != (str(taken), name):
                raise ChampionChanged(
                    f"endpoint {endpoint}: expected version {expected_version or taken} of {expected_model or name} to "
                    f"serve. Received: version {taken} of {name}; nothing was changed"
                )
            _require_told(connection, endpoint, pile)
            back, skipped = _earlier(connection, self._models, endpoint, name, taken, earlier)
            passed = [entry for entry, _, _ in pile[: 1 + skipped]]
            connection.executemany("UPDATE deployment SET undone = 1 WHERE id = ?", [(entry,) for entry in passed])
            _serve(connection, endpoint, name, back)
            rejected = connection.execute(
                "SELECT 1 FROM deployed WHERE model = ? AND version = ?", (name, taken)
            ).fetchone() is None  # fmt: skip
            if rejected:
                rows.end(connection, name, taken, REJECTED)
            champion = after = _champion(connection, name)
            if champion is None or (champion == taken and rejected):  # what serves elsewhere stays the champion
                after = rows.move_champion(connection, name, taken)
            detail = {"model": name, "version": back, "before": taken, "champion": champion, "champion_after": after}
            words = {"rejected": rejected, "who": who, "reason": reason}
            rows.record(connection, "rollback", endpoint, run, {**detail, **words})
            return RolledBack(_endpoints(connection, endpoint)[0], name, str(back), str(taken))

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint, or None; see `Endpoints.get`."""
        with self._database.read() as connection:
            found = _endpoints(connection, endpoint)
        return found[0] if found else None

    def list(self) -> list[Endpoint]:
        """All endpoints, by name."""
        with self._database.read() as connection:
            return _endpoints(connection)


def _serve(connection: sqlite3.Connection, endpoint: str, name: str, number: int) -> None:
    """Puts all of an endpoint's traffic on a version, which challenges nobody then."""
    connection.execute("DELETE FROM deployed WHERE endpoint = ?", (endpoint,))
    connection.execute(
        "INSERT INTO deployed (endpoint, model, version, traffic, updated) VALUES (?, ?, ?, 100, ?)",
        (endpoint, name, number, now()),
    )
    rows.drop_alias(connection, name, CHALLENGER, number)


def _champion(connection: sqlite3.Connection, name: str) -> int | None:
    query = "SELECT version FROM alias WHERE name = ? AND alias = ?"
    row = connection.execute(query, (name, CHAMPION)).fetchone()
    return None if row is None else int(row[0])


def _pile(connection: sqlite3.Connection, endpoint: str) -> list[tuple[int, str, int]]:
    """What an endpoint served: (entry, model, version), the one that serves now first."""
    query = "SELECT id, model, version FROM deployment WHERE endpoint = ? AND NOT undone ORDER BY id DESC"
    return connection.execute(query, (endpoint,)).fetchall()


def _require_told(connection: sqlite3.Connection, endpoint: str, pile: list[tuple[int, str, int]]) -> None:
    """Refuses a pile that the log does not lead to: a version could lie on it that never was allowed to serve."""
    if [(model, version) for _, model, version in reversed(pile)] != told_pile(connection, endpoint):
        raise NotAllowed(
            f"endpoint {endpoint}: expected what it served before to be as the log says. Received: something else in "
            "the registry; `headrace models audit --verify` tells what, `headrace models promote` serves a version"
        )


def _earlier(
    connection: sqlite3.Connection,
    models: Path,
    endpoint: str,
    name: str,
    taken: int,
    earlier: list[tuple[int, str, int]],
) -> tuple[int, int]:
    """The version that served before and may serve again, and how many entries of the pile are passed over."""
    seen = []
    for skipped, (_, model, version) in enumerate(earlier):
        if model != name:
            seen.append(f"version {version} of the model {model}")
            break
        found = load_versions(connection, models, name, version)[0]
        if version != taken and found.state not in (CANDIDATE, REJECTED, ARCHIVED):
            return version, skipped
        if version != taken:
            seen.append(f"version {version}, which is {found.state}")
    raise NotAllowed(
        f"endpoint {endpoint}: expected a version of {name} that served before version {taken}, to go back to. "
        f"Received: {', '.join(seen) or 'none, it was the first'}; "
        f"`headrace models promote {name}:VERSION --reason ...` serves another"
    )


def _no_such_endpoint(connection: sqlite3.Connection, endpoint: str) -> str:
    known = ", ".join(item.name for item in _endpoints(connection)) or "none yet"
    return f"endpoint: expected one that serves ({known}). Received: {endpoint!r}"


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
