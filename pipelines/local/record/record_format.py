"""The tables of the record of runs, and the way from an older format to this one."""

from __future__ import annotations

import sqlite3

FORMAT_VERSION = 2

_SCHEMA = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, pipeline TEXT NOT NULL, state TEXT NOT NULL,
    started REAL NOT NULL, finished REAL, labels TEXT NOT NULL, parameters TEXT NOT NULL,
    outputs TEXT NOT NULL DEFAULT '{}', error TEXT NOT NULL DEFAULT '', ir_digest TEXT NOT NULL,
    pid INTEGER NOT NULL, pid_started INTEGER NOT NULL, boot TEXT NOT NULL, options TEXT NOT NULL DEFAULT '{}');
CREATE TABLE tasks (
    run TEXT NOT NULL REFERENCES runs(id), path TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
    component TEXT NOT NULL, state TEXT NOT NULL, leaf INTEGER NOT NULL,
    started REAL NOT NULL, seconds REAL NOT NULL,
    cached INTEGER NOT NULL, attempts INTEGER NOT NULL, parameters TEXT NOT NULL, outputs TEXT NOT NULL,
    log TEXT, reason TEXT NOT NULL, error TEXT, key TEXT NOT NULL, max_rss_kib INTEGER NOT NULL,
    made_of TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (run, path));
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY, uri TEXT NOT NULL, digest TEXT, type TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX artifacts_by_digest ON artifacts (digest);
CREATE TABLE uses (
    run TEXT NOT NULL, path TEXT NOT NULL, direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
    name TEXT NOT NULL, position INTEGER NOT NULL, artifact INTEGER NOT NULL REFERENCES artifacts(id),
    PRIMARY KEY (run, path, direction, name, position));
CREATE INDEX uses_by_artifact ON uses (artifact);
CREATE TABLE cache (
    key TEXT PRIMARY KEY, run TEXT NOT NULL, path TEXT NOT NULL, created REAL NOT NULL,
    reusable INTEGER NOT NULL, outputs TEXT NOT NULL, artifacts TEXT NOT NULL);
CREATE TABLE code (content TEXT PRIMARY KEY, imports TEXT NOT NULL);
CREATE TABLE pipelines (digest TEXT PRIMARY KEY, ir BLOB NOT NULL)
"""

_MIGRATIONS = {
    1: """
ALTER TABLE runs ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tasks ADD COLUMN made_of TEXT NOT NULL DEFAULT '{}';
CREATE TABLE pipelines (digest TEXT PRIMARY KEY, ir BLOB NOT NULL)
""",
}


def bring_up_to_date(db: sqlite3.Connection) -> int:
    """Makes the tables, or takes those of an older format on; returns the version found before.

    To be called within a transaction. A newer version is left alone.
    """
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    if found < FORMAT_VERSION:
        steps = [_SCHEMA] if found == 0 else [_MIGRATIONS[version] for version in range(found, FORMAT_VERSION)]
        for statement in ";".join(steps).split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    return found
