"""What is behind an endpoint, as rows: versions with their shares, the split that they make, and shadows."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence

from headrace.artifacts.slots import runs, unfolded
from headrace.platforms.interface import CHALLENGER, Deployed, Endpoint, Split
from headrace.platforms.local import rows
from headrace.platforms.local.account import now
from headrace.platforms.splitting import ordered


def put(
    connection: sqlite3.Connection,
    endpoint: str,
    model: str,
    answering: Iterable[tuple[int, int]],
    shadows: Iterable[int] = (),
    split: Split | None = None,
) -> None:
    """Puts versions behind an endpoint, in place of all that is.

    Args:
        connection: a writing transaction.
        endpoint: its name.
        model: whose versions.
        answering: versions and their percent.
        shadows: versions.
        split: where several answer.
    """
    for table in ("deployed", "split", "shadow"):
        connection.execute(f"DELETE FROM {table} WHERE endpoint = ?", (endpoint,))
    time = now()
    connection.executemany(
        "INSERT INTO deployed (endpoint, model, version, traffic, updated) VALUES (?, ?, ?, ?, ?)",
        [(endpoint, model, version, percent, time) for version, percent in answering],
    )
    connection.executemany(
        "INSERT INTO shadow (endpoint, model, version, updated) VALUES (?, ?, ?, ?)",
        [(endpoint, model, version, time) for version in shadows],
    )
    if split is not None:
        slots = json.dumps([[int(version), count] for version, count in runs(split.slots)])
        connection.execute(
            "INSERT INTO split (endpoint, base, key, experiment, slots) VALUES (?, ?, ?, ?, ?)",
            (endpoint, int(split.base), split.key, split.experiment, slots),
        )


def put_alone(
    connection: sqlite3.Connection, endpoint: str, model: str, version: int, shadows: Iterable[int] = ()
) -> None:
    """Puts all of an endpoint's traffic on a version, which challenges nobody then."""
    put(connection, endpoint, model, [(version, 100)], shadows)
    rows.drop_alias(connection, model, CHALLENGER, version)


def endpoints(connection: sqlite3.Connection, endpoint: str | None = None) -> list[Endpoint]:
    """All endpoints by name, or one of them."""
    where = "WHERE ?1 IS NULL OR endpoint = ?1"
    found: dict[str, list[Deployed]] = defaultdict(list)
    updated: dict[str, str] = {}
    query = (
        f"SELECT endpoint, model, version, traffic, updated, 0 FROM deployed {where} UNION ALL "
        f"SELECT endpoint, model, version, 0, updated, 1 FROM shadow {where}"
    )
    for name, model, version, traffic, time, shadow in connection.execute(query, (endpoint,)):
        found[name].append(Deployed(model, str(version), traffic, bool(shadow)))
        updated[name] = max(time, updated.get(name, ""))
    splits = {}
    for name, base, key, experiment, slots in connection.execute(
        f"SELECT endpoint, base, key, experiment, slots FROM split {where}", (endpoint,)
    ):
        splits[name] = Split(str(base), key, experiment, unfolded(json.loads(slots)))
    return [Endpoint(name, ordered(found[name]), updated[name], splits.get(name)) for name in sorted(found)]


def one_endpoint(connection: sqlite3.Connection, endpoint: str) -> Endpoint | None:
    """An endpoint, or None."""
    found = endpoints(connection, endpoint)
    return found[0] if found else None


def deployed(connection: sqlite3.Connection, endpoint: str) -> Sequence[Deployed]:
    """What is behind an endpoint; nothing where there is none."""
    found = one_endpoint(connection, endpoint)
    return found.deployed if found else ()
