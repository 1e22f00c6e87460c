"""Endpoints: which version each name serves. Servers read this; nothing is started here."""

from __future__ import annotations

import builtins
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    ANY_CHAMPION,
    ARCHIVED,
    CANDIDATE,
    CHAMPION,
    REJECTED,
    ChampionChanged,
    Deployed,
    Endpoint,
    NotAllowed,
    RolledBack,
)
from headrace.platforms.lifecycle import check_deployable, motive, person
from headrace.platforms.local import rows, splits
from headrace.platforms.local.account import now, who_asks
from headrace.platforms.local.database import Database
from headrace.platforms.local.schema import insert_deployment
from headrace.platforms.local.verifying import told_pile
from headrace.platforms.local.versions import load_versions, model_settings, one_version
from headrace.platforms.splitting import (
    asked,
    check_shadow,
    make_split,
    require_expected,
    split_detail,
    taken_out,
    told,
    words_of,
)


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
            # What the others are to have would be a guess: a split says it of all.
            raise HeadraceError(f"endpoint {endpoint}: expected 100 percent of the traffic. Received: {traffic}")
        with self._database.write() as connection:
            found = one_version(connection, self._models, name, version)
            number = int(found.version)
            _require_champion(connection, name, number, expected_champion)
            check_deployable(found, model_settings(connection, name).approvals)
            self._deploy(connection, endpoint, (name, number), run=run, words=words_of(who_asks(who), reason, None))
            return splits.endpoints(connection, endpoint)[0]

    def split(
        self,
        endpoint: str,
        deployed: Sequence[Deployed],
        *,
        key: str = "",
        expected: Endpoint | None = None,
        experiment: str = "",
        who: str = "",
        reason: str = "",
        run: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """Deals an endpoint's traffic to several versions; see `Endpoints.split`."""
        rows.check_name("endpoint", endpoint)
        words = words_of(who_asks(who), reason, evidence)
        with self._database.write() as connection:
            there = splits.one_endpoint(connection, endpoint)
            require_expected(endpoint, there.deployed if there else (), expected)
            what = asked(endpoint, self._checked(connection, deployed), key, experiment)
            shadows = [int(one.version) for one in what.shadows]
            if what.alone is not None:
                served = what.model, int(what.alone.version)
                self._deploy(connection, endpoint, served, run=run, words=words, shadows=shadows)
                return splits.endpoints(connection, endpoint)[0]
            pile = _pile(connection, endpoint)
            base = (pile[0][1], str(pile[0][2])) if pile else None
            made = make_split(what, base, there.split if there else None, key, experiment, endpoint)
            answering = [(int(one.version), one.traffic) for one in what.answering]
            splits.put(connection, endpoint, what.model, answering, shadows, made)
            detail = split_detail(what, made, there.deployed if there else ())
            rows.record(connection, "split", endpoint, run, {**detail, **words})
            return splits.endpoints(connection, endpoint)[0]

    def _checked(self, connection: sqlite3.Connection, deployed: Sequence[Deployed]) -> builtins.list[Deployed]:
        """The same versions by their numbers, each of which may be where it is to be."""
        found = []
        for one in deployed:
            version = one_version(connection, self._models, one.model, one.version)
            if one.shadow:
                check_shadow(version)
            else:
                check_deployable(version, model_settings(connection, one.model).approvals)
            found.append(Deployed(one.model, version.version, one.traffic, one.shadow))
        return found

    def _deploy(
        self,
        connection: sqlite3.Connection,
        endpoint: str,
        served: tuple[str, int],
        *,
        run: str,
        words: Mapping[str, Any],
        shadows: Sequence[int] = (),
    ) -> None:
        """Puts a version behind an endpoint and makes it the champion."""
        name, number = served
        before = [told(item) for item in splits.deployed(connection, endpoint)]
        splits.put_alone(connection, endpoint, name, number, shadows)
        champion = rows.point_alias(connection, name, CHAMPION, number)
        insert_deployment(connection, endpoint, name, number, now())
        detail = {"model": name, "version": number, "traffic": 100, "before": before, "champion": champion}
        more = {"shadows": list(shadows)} if shadows else {}
        rows.record(connection, "deploy", endpoint, run, {**detail, **more, **words})

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
            there = splits.one_endpoint(connection, endpoint)
            if there is not None and there.split is not None:
                versions = taken_out(endpoint, there, expected_version, expected_model)
                _require_told(connection, endpoint, pile)
                _, name, back = pile[0]
                return _back(connection, endpoint, name, back, [int(one) for one in versions], run, who, reason)
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
            return _back(connection, endpoint, name, back, [taken], run, who, reason)

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint, or None; see `Endpoints.get`."""
        with self._database.read() as connection:
            return splits.one_endpoint(connection, endpoint)

    def list(self) -> list[Endpoint]:
        """All endpoints, by name."""
        with self._database.read() as connection:
            return splits.endpoints(connection)


def _back(
    connection: sqlite3.Connection,
    endpoint: str,
    name: str,
    back: int,
    taken: Sequence[int],
    run: str,
    who: str,
    reason: str,
) -> RolledBack:
    """Serves a version alone again, and rejects what is taken out, where that serves nowhere else."""
    splits.put_alone(connection, endpoint, name, back)
    rejected = []
    for version in taken:
        query = "SELECT 1 FROM deployed WHERE model = ? AND version = ?"
        if connection.execute(query, (name, version)).fetchone() is None:
            rows.end(connection, name, version, REJECTED)
            rejected.append(version)
    champion = after = _champion(connection, name)
    if champion is None or champion in rejected:  # what serves elsewhere stays the champion
        after = rows.move_champion(connection, name, taken[0] if champion is None else champion)
    detail = {"model": name, "version": back, "before": taken[0], "champion": champion, "champion_after": after}
    also = [version for version in rejected if version != taken[0]]
    words = {"rejected": taken[0] in rejected, "who": who, "reason": reason, **({"also": also} if also else {})}
    rows.record(connection, "rollback", endpoint, run, {**detail, **words})
    return RolledBack(splits.endpoints(connection, endpoint)[0], name, str(back), str(taken[0]))


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
    known = ", ".join(item.name for item in splits.endpoints(connection)) or "none yet"
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
