"""The tables of the registry's SQLite file, and how a file of an older format becomes one of this.

What is a fact of the past is only added to: versions, approvals, documents, deployments, the audit log. What holds now
(`alias`, `deployed`, `standing`, `model`) follows from those: `headrace models audit --verify` compares the two.
"""

from __future__ import annotations

import json
import sqlite3

from headrace.artifacts.decision import UNRECORDED
from headrace.platforms.audit_chain import FIRST, chained
from headrace.platforms.interface import CHALLENGER, CHAMPION, Event

FORMAT_VERSION = 3  # in SQLite's user_version
APPLICATION = 0x48524143  # "HRAC" in SQLite's application_id: this file is a registry of ours

_AUDIT = """
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    run TEXT NOT NULL,
    detail TEXT NOT NULL,   -- JSON object
    before TEXT NOT NULL,   -- the hash of the entry before
    hash TEXT NOT NULL UNIQUE
) STRICT;
CREATE INDEX audit_subject ON audit (subject, id);
CREATE TRIGGER audit_is_immutable BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
"""
_VERSION_TRIGGERS = """
CREATE TRIGGER version_is_immutable BEFORE UPDATE ON model_version
    BEGIN SELECT RAISE(ABORT, 'a registered version is immutable'); END;
CREATE TRIGGER version_is_kept BEFORE DELETE ON model_version
    BEGIN SELECT RAISE(ABORT, 'a registered version is kept'); END;
"""
_SINCE_2 = f"""
CREATE TABLE model (
    name TEXT PRIMARY KEY,
    approvals INTEGER NOT NULL CHECK (approvals BETWEEN 0 AND 2),
    endpoint TEXT NOT NULL
) STRICT;
CREATE TABLE standing (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    blessed INTEGER NOT NULL CHECK (blessed IN (0, 1)),
    judged_against TEXT,            -- the champion's digest; NULL: there was none; '{UNRECORDED}': nobody said
    ended TEXT NOT NULL CHECK (ended IN ('', 'rejected', 'archived')),
    PRIMARY KEY (name, version),
    FOREIGN KEY (name, version) REFERENCES model_version (name, version)
) STRICT;
CREATE TABLE approval (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    time TEXT NOT NULL,
    actor TEXT NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    FOREIGN KEY (name, version) REFERENCES model_version (name, version)
) STRICT;
CREATE INDEX approval_of ON approval (name, version, id);
CREATE TABLE deployment (           -- what an endpoint served, in order; a rollback takes off the last
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    time TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1)),
    FOREIGN KEY (model, version) REFERENCES model_version (name, version)
) STRICT;
CREATE INDEX deployment_of ON deployment (endpoint, id);
CREATE TABLE document (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    file TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    created TEXT NOT NULL,
    FOREIGN KEY (name, version) REFERENCES model_version (name, version)
) STRICT;
CREATE INDEX document_of ON document (name, version, file, id);
CREATE TRIGGER document_is_immutable BEFORE UPDATE ON document
    BEGIN SELECT RAISE(ABORT, 'documents are only added to'); END;
CREATE TRIGGER document_is_kept BEFORE DELETE ON document
    BEGIN SELECT RAISE(ABORT, 'documents are only added to'); END;
"""
_SINCE_3 = """
CREATE TABLE split (                -- of an endpoint that several versions answer; `deployed` has their shares
    endpoint TEXT PRIMARY KEY,
    base INTEGER NOT NULL,          -- the version that was deployed last
    key TEXT NOT NULL,              -- a header's name; empty: the server's own
    experiment TEXT NOT NULL,
    slots TEXT NOT NULL             -- JSON: [[version, how many slots in a row], ...], 100 in all
) STRICT;
CREATE TABLE shadow (
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (endpoint, model, version),
    FOREIGN KEY (model, version) REFERENCES model_version (name, version)
) STRICT;
"""
SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {FORMAT_VERSION};
CREATE TABLE model_version (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    created TEXT NOT NULL,
    run TEXT NOT NULL,
    metrics TEXT NOT NULL,  -- JSON object
    labels TEXT NOT NULL,   -- JSON object
    registered_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (name, version),
    UNIQUE (name, digest)
) STRICT;
CREATE TABLE alias (
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated TEXT NOT NULL,
    PRIMARY KEY (name, alias),
    FOREIGN KEY (name, version) REFERENCES model_version (name, version)
) STRICT;
CREATE TABLE deployed (
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    traffic INTEGER NOT NULL CHECK (traffic BETWEEN 1 AND 100),
    updated TEXT NOT NULL,
    PRIMARY KEY (endpoint, model, version),
    FOREIGN KEY (model, version) REFERENCES model_version (name, version)
) STRICT;
{_VERSION_TRIGGERS}{_AUDIT}{_SINCE_2}{_SINCE_3}
"""


def upgrade(connection: sqlite3.Connection, version: int, now: str, account: str) -> None:
    """Makes a file of an older format one of this, within the caller's writing transaction."""
    if version < 2:
        _from_1(connection, now, account)
    for statement in statements(_SINCE_3):  # nothing was ever split before
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _from_1(connection: sqlite3.Connection, now: str, account: str) -> None:
    """Makes a file of format 1 one of format 2.

    The entries of the audit log are chained as they stand: from here on none can be changed unseen, and what was done
    to them before cannot be known. Versions count as blessed where the register step wrote them (it takes no others,
    and leaves the digest of the dataset as a label) or an endpoint served them.
    """
    found = connection.execute("SELECT time, actor, action, subject, run, detail FROM audit ORDER BY id").fetchall()
    events = [
        Event(time, actor, action, subject, run, json.loads(detail))
        for time, actor, action, subject, run, detail in found
    ]
    for statement in (
        "DROP TABLE audit",  # with its index and triggers
        "DROP TRIGGER version_is_immutable",
        "ALTER TABLE model_version ADD COLUMN registered_by TEXT NOT NULL DEFAULT ''",
        *statements(_AUDIT + _SINCE_2),
    ):
        connection.execute(statement)
    told = {"from": 1, "to": 2, "entries": len(events)}
    head = FIRST
    for event in [*events, Event(now, account, "migrate", "registry", "", told)]:
        head = insert_event(connection, chained(event, head))
    _tell_what_was(connection, events)
    connection.execute(statements(_VERSION_TRIGGERS)[0])


def _tell_what_was(connection: sqlite3.Connection, events: list[Event]) -> None:
    """Fills the new tables from what the old file tells."""
    for event in events:
        version = event.detail.get("version")
        if event.action == "register" and event.detail.get("new"):
            who = event.actor.partition("@")[0]
            query = "UPDATE model_version SET registered_by = ? WHERE name = ? AND version = ?"
            connection.execute(query, (who, event.subject, version))
        if event.action == "deploy":
            insert_deployment(
                connection, event.subject, event.detail["model"], int(event.detail["version"]), event.time
            )
    connection.execute(
        "INSERT INTO standing (name, version, blessed, judged_against, ended) SELECT name, version, "
        "json_extract(labels, '$.dataset') IS NOT NULL OR EXISTS "
        "(SELECT 1 FROM deployment WHERE model = name AND deployment.version = model_version.version), "
        "?, '' FROM model_version",
        (UNRECORDED,),
    )
    connection.execute(
        "INSERT INTO model (name, approvals, endpoint) SELECT DISTINCT name, 0, '' FROM model_version",
    )
    connection.execute(
        "DELETE FROM alias WHERE alias = ? AND version = "
        "(SELECT version FROM alias AS other WHERE other.name = alias.name AND other.alias = ?)",
        (CHALLENGER, CHAMPION),
    )


def insert_event(connection: sqlite3.Connection, event: Event) -> str:
    """Adds a chained event to the audit log, and returns its hash."""
    detail = json.dumps(dict(event.detail), sort_keys=True, ensure_ascii=False, allow_nan=False)
    connection.execute(
        "INSERT INTO audit (time, actor, action, subject, run, detail, before, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (event.time, event.actor, event.action, event.subject, event.run, detail, event.before, event.hash),
    )
    return event.hash


def insert_deployment(connection: sqlite3.Connection, endpoint: str, model: str, version: int, time: str) -> None:
    """Puts a version on an endpoint's pile of what it served; one that lies there as the last is put there anew.

    The numbers of the rows say which of several endpoints was deployed to last: so a row of its own tells of that, and
    the one before counts no more.
    """
    query = "SELECT id, model, version FROM deployment WHERE endpoint = ? AND NOT undone ORDER BY id DESC LIMIT 1"
    last = connection.execute(query, (endpoint,)).fetchone()
    if last is not None and last[1:] == (model, version):
        connection.execute("UPDATE deployment SET undone = 1 WHERE id = ?", last[:1])
    connection.execute(
        "INSERT INTO deployment (endpoint, model, version, time) VALUES (?, ?, ?, ?)",
        (endpoint, model, version, time),
    )


def statements(script: str) -> list[str]:
    """A script's statements one by one: `executescript` would end the transaction that they belong to."""
    found, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if part.strip() and sqlite3.complete_statement(part):
            found.append(part.strip())
            part = ""
    return found
