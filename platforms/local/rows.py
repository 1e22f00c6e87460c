"""What registry and endpoints share: finding a version's row, checking names, moving aliases, writing the audit log."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.audit_chain import FIRST, chained
from headrace.platforms.interface import CHALLENGER, CHAMPION, NAME_PATTERN, Event
from headrace.platforms.local.account import account, now
from headrace.platforms.local.schema import insert_event

_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,62}")  # starts with a letter, so that no alias looks like a version


def check_name(kind: str, name: str) -> None:
    """Refuses a model's or endpoint's name that could not be a folder's or an address's.

    Raises:
        HeadraceError: with the rule.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        rule = "up to 128 letters, digits, `.`, `_`, `-`, starting with a letter or digit"
        raise HeadraceError(f"{kind} name: expected {rule}. Received: {name!r}")


def check_alias(alias: str) -> None:
    """Refuses an alias that could be taken for a version's number.

    Raises:
        HeadraceError: with the rule.
    """
    if not _ALIAS.fullmatch(alias):
        rule = "up to 63 lower-case letters, digits and `-`, starting with a letter"
        raise HeadraceError(f"alias: expected {rule}. Received: {alias!r}")


def version_number(connection: sqlite3.Connection, name: str, version: str) -> int:
    """The number of a registered version, from that number as text or from an alias.

    Raises:
        HeadraceError: there is no such model, version or alias; it says which there are.
    """
    if version.isascii() and version.isdigit():
        query = "SELECT version FROM model_version WHERE name = ? AND version = ?"
        row = connection.execute(query, (name, int(version[:18]))).fetchone()
    else:
        row = connection.execute("SELECT version FROM alias WHERE name = ? AND alias = ?", (name, version)).fetchone()
    if row is not None:
        return int(row[0])
    raise HeadraceError(_no_such_version(connection, name, version))


def _no_such_version(connection: sqlite3.Connection, name: str, version: str) -> str:
    (newest,) = connection.execute("SELECT max(version) FROM model_version WHERE name = ?", (name,)).fetchone()
    if newest is None:
        names = connection.execute("SELECT DISTINCT name FROM model_version ORDER BY name LIMIT 20")
        known = ", ".join(row[0] for row in names) or "none yet"
        return f"model: expected a registered one ({known}). Received: {name!r}"
    aliases = [row[0] for row in connection.execute("SELECT alias FROM alias WHERE name = ?", (name,))]
    known = ", ".join(["1" if newest == 1 else f"1 to {newest}", *sorted(aliases)])
    return f"model {name}: expected a registered version ({known}). Received: {version!r}"


def point_alias(connection: sqlite3.Connection, name: str, alias: str, version: int) -> int | None:
    """Points an alias at a version, and returns the version that it pointed at before."""
    query = "SELECT version FROM alias WHERE name = ? AND alias = ?"
    before = connection.execute(query, (name, alias)).fetchone()
    connection.execute(
        "INSERT INTO alias (name, alias, version, updated) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name, alias) DO UPDATE SET version = excluded.version, updated = excluded.updated",
        (name, alias, version, now()),
    )
    return None if before is None else int(before[0])


def drop_alias(connection: sqlite3.Connection, name: str, alias: str, version: int) -> None:
    """Takes an alias away from a version, if it points at this one."""
    connection.execute("DELETE FROM alias WHERE name = ? AND alias = ? AND version = ?", (name, alias, version))


def end(connection: sqlite3.Connection, name: str, version: int, ended: str) -> None:
    """Marks a version as rejected or archived, or as neither; its approvals end, and it is no challenger or shadow."""
    query = "UPDATE standing SET ended = ? WHERE name = ? AND version = ?"
    connection.execute(query, (ended, name, version))
    connection.execute("UPDATE approval SET ended = 1 WHERE name = ? AND version = ?", (name, version))
    connection.execute("DELETE FROM shadow WHERE model = ? AND version = ?", (name, version))
    drop_alias(connection, name, CHALLENGER, version)


def move_champion(connection: sqlite3.Connection, name: str, gone: int) -> int | None:
    """Takes `champion` away from a version that serves nowhere: to the live one that was deployed last, or to none."""
    query = (
        "SELECT version FROM deployment WHERE NOT undone AND model = ? AND EXISTS (SELECT 1 FROM deployed WHERE "
        "deployed.endpoint = deployment.endpoint AND deployed.model = deployment.model "
        "AND deployed.version = deployment.version) ORDER BY id DESC LIMIT 1"
    )
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        drop_alias(connection, name, CHAMPION, gone)
        return None
    point_alias(connection, name, CHAMPION, int(row[0]))
    return int(row[0])


def newest_version(connection: sqlite3.Connection, name: str) -> int:
    """The number of a model's newest version.

    Raises:
        HeadraceError: there is no such model; it says which there are.
    """
    (newest,) = connection.execute("SELECT max(version) FROM model_version WHERE name = ?", (name,)).fetchone()
    if newest is None:
        raise HeadraceError(_no_such_version(connection, name, ""))
    return int(newest)


def record(connection: sqlite3.Connection, action: str, subject: str, run: str, detail: Mapping[str, Any]) -> None:
    """Adds a line to the audit log, chained to the one before, in the transaction of the deed itself."""
    insert_event(connection, chained(Event(now(), account(), action, subject, run, dict(detail)), head(connection)))


def head(connection: sqlite3.Connection) -> str:
    """The hash of the audit log's last entry."""
    row = connection.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return FIRST if row is None else str(row[0])


def to_json(value: Mapping[str, Any]) -> str:
    """An object as JSON; NaN is refused, since JSON has none."""
    return json.dumps(dict(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
