"""Files beside a version's bundle, such as its model card: named by their content, so that none is ever written over.

models/<name>/documents/<sha256>
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from pathlib import Path

from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import write_bytes
from headrace.platforms.interface import Document
from headrace.platforms.local import rows
from headrace.platforms.local.account import now
from headrace.platforms.local.database import Database
from headrace.platforms.local.files import writing

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NEWEST = (
    "SELECT file, digest, bytes, created FROM document WHERE id IN "
    "(SELECT max(id) FROM document WHERE name = ? AND version = ? GROUP BY file)"
)


def attach(database: Database, models: Path, version: tuple[str, str], file: str, content: bytes, run: str) -> Document:
    """Keeps a file beside a version; see `ModelRegistry.attach`. The same content again changes nothing."""
    if not _FILE.fullmatch(file):
        rule = "up to 128 letters, digits, `.`, `_`, `-`, starting with a letter or digit"
        raise HeadraceError(f"document: expected {rule}. Received: {file!r}")
    name = version[0]
    digest = hashlib.sha256(content).hexdigest()
    place = _place(models, name, digest)
    there = {item.file: item for item in listed(database, *version)}.get(file)
    if there is not None and there.digest == f"sha256:{digest}" and _content(place) == content:
        return there
    with writing(place):  # before its row: so a row always has its file
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, content)
        place.chmod(0o444)
    with database.write() as connection:
        number = rows.version_number(connection, *version)
        kept = {item.file: item for item in _listed(connection, name, number)}.get(file)
        if kept is not None and kept.digest == f"sha256:{digest}":
            return kept
        document = Document(file, f"sha256:{digest}", len(content), now())
        connection.execute(
            "INSERT INTO document (name, version, file, digest, bytes, created) VALUES (?, ?, ?, ?, ?, ?)",
            (name, number, file, document.digest, document.bytes, document.created),
        )
        before = kept.digest if kept else None
        detail = {"version": number, "file": file, "digest": document.digest, "before": before}
        rows.record(connection, "attach", name, run, detail)
        return document


def listed(database: Database, name: str, version: str) -> list[Document]:
    """What is kept beside a version; see `ModelRegistry.documents`."""
    with database.read() as connection:
        return _listed(connection, name, rows.version_number(connection, name, version))


def read(database: Database, models: Path, name: str, version: str, file: str) -> bytes:
    """The content of a document; see `ModelRegistry.document`."""
    kept = {item.file: item for item in listed(database, name, version)}
    if file not in kept:
        known = ", ".join(kept) or "none yet"
        raise HeadraceError(f"{name} version {version}: expected a document ({known}). Received: {file!r}")
    place = _place(models, name, kept[file].digest.partition(":")[2])
    content = _content(place)
    if content is None or f"sha256:{hashlib.sha256(content).hexdigest()}" != kept[file].digest:
        received = "no such file" if content is None else "changed content"
        raise ArtifactError(f"{place}: expected the document {file}. Received: {received}")
    return content


def _content(place: Path) -> bytes | None:
    """What a file holds; None where there is none."""
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None


def _listed(connection: sqlite3.Connection, name: str, number: int) -> list[Document]:
    return [Document(*row) for row in connection.execute(f"{_NEWEST} ORDER BY file", (name, number))]


def _place(models: Path, name: str, digest: str) -> Path:
    return models / name / "documents" / digest
