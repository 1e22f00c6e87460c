"""Whether the audit log is whole, and whether the registry's tables say what the log says.

The chain shows that no entry was changed. That alone would not show a row of `alias` or `deployed` that somebody
changed with SQLite's own tool: so the log is followed from its beginning, and held against the tables.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.platforms.audit_chain import verify_chain
from headrace.platforms.interface import ARCHIVED, CHAMPION, REJECTED, Audit, Event

_SHOWN = 50  # problems; a log that was replaced as a whole has as many as entries


def events(connection: sqlite3.Connection, subject: str | None = None) -> list[Event]:
    """The audit log, oldest first. A detail that is no JSON any more is shown as `unreadable`."""
    query = "SELECT time, actor, action, subject, run, detail, before, hash FROM audit"
    where, values = (" WHERE subject = ?", (subject,)) if subject is not None else ("", ())
    found = connection.execute(f"{query}{where} ORDER BY id", values)
    return [
        Event(time, actor, action, about, run, _detail(detail), before, own)
        for time, actor, action, about, run, detail, before, own in found
    ]


def verify(connection: sqlite3.Connection, head: str = "") -> Audit:
    """Follows the chain, and holds the tables against the log; see `ModelRegistry.verify`."""
    log = events(connection)
    audit = verify_chain(log, head)
    told = _Told()
    for event in log:
        try:
            told.follow(event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{event.time} {event.action} {event.subject}: expected its details. Received: {error!r}"
            audit = replace(audit, problems=(*audit.problems, problem))
    problems = (*audit.problems, *told.differences(connection))
    if len(problems) > _SHOWN:
        problems = (*problems[:_SHOWN], f"and {len(problems) - _SHOWN} more")
    return replace(audit, problems=problems)


def _detail(text: str) -> dict[str, Any]:
    try:
        detail = json.loads(text)
    except ValueError:
        return {"unreadable": text}
    return detail if isinstance(detail, dict) else {"unreadable": text}


@dataclass
class _Told:
    """What must hold after the events that were followed."""

    digests: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    champions: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    endpoints: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    ended: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    blessed: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    needed: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    approvals: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    documents: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    migrated: set[tuple[Any, ...]] = field(default_factory=set)  # versions of which an older log tells less

    def follow(self, event: Event) -> None:
        """Takes in one event."""
        detail, name = event.detail, event.subject
        version = (name, detail.get("version"))
        if event.action == "migrate":
            self.migrated = set(self.digests)
        elif event.action == "register":
            self._register(event, version)
        elif event.action == "settings":
            self.needed[name,] = detail["approvals"]
        elif event.action == "approve":
            self.approvals.setdefault(version, []).append(detail["who"])
        elif event.action == "state":
            self._end(version, detail["state"] if detail["state"] in (REJECTED, ARCHIVED) else "")
        elif event.action == "alias" and detail["alias"] == CHAMPION:  # format 1 let it be set by hand
            self.champions[name,] = detail["version"]
        elif event.action in ("deploy", "rollback"):
            self.endpoints[name,] = (detail["model"], detail["version"])
            self.champions[detail["model"],] = detail["version"]
            if detail.get("rejected"):
                self._end((detail["model"], detail["before"]), REJECTED)
        elif event.action == "attach":
            self.documents[name, detail["version"], detail["file"]] = detail["digest"]

    def _register(self, event: Event, version: tuple[Any, ...]) -> None:
        detail = event.detail
        if detail["new"]:
            self.digests[version] = detail["digest"]
            self.blessed[version], self.ended[version] = 0, ""
        if detail.get("blessed"):
            self.blessed[version] = 1
        self.needed[event.subject,] = detail.get("approvals", self.needed.get((event.subject,), 0))

    def _end(self, version: tuple[Any, ...], ended: str) -> None:
        self.ended[version] = ended
        self.approvals.pop(version, None)

    def differences(self, connection: sqlite3.Connection) -> Iterable[str]:
        """Where the tables say something else."""

        def now(query: str, keys: int) -> dict[tuple[Any, ...], Any]:
            rows = connection.execute(query).fetchall()
            return {row[:keys]: row[keys] if len(row) == keys + 1 else row[keys:] for row in rows}

        approvals: dict[tuple[Any, ...], Any] = {}
        for name, version, who in connection.execute("SELECT name, version, who FROM approval WHERE NOT ended "
                                                     "ORDER BY id"):  # fmt: skip
            approvals.setdefault((name, version), []).append(who)
        blessed = now("SELECT name, version, blessed FROM standing", 2)
        for version in self.migrated:  # the format before did not tell: what migration found stands
            self.blessed[version] = max(self.blessed.get(version, 0), blessed.get(version, 0))
        newest = (
            "SELECT name, version, file, digest FROM document WHERE id IN "
            "(SELECT max(id) FROM document GROUP BY name, version, file)"
        )
        champion = f"SELECT name, version FROM alias WHERE alias = '{CHAMPION}'"
        for what, told, found in (
            ("the digest of", self.digests, now("SELECT name, version, digest FROM model_version", 2)),
            ("the blessing of", self.blessed, blessed),
            ("the end of", self.ended, now("SELECT name, version, ended FROM standing", 2)),
            ("the approvals of", self.approvals, approvals),
            ("the approvals that are asked for of", self.needed, now("SELECT name, approvals FROM model", 1)),
            (f"the {CHAMPION} of", self.champions, now(champion, 1)),
            ("the version behind", self.endpoints, now("SELECT endpoint, model, version FROM deployed", 1)),
            ("the document", self.documents, now(newest, 3)),
        ):
            for key in sorted({*told, *found}, key=str):
                if told.get(key) != found.get(key):
                    about = ":".join(str(part) for part in key)
                    yield (
                        f"{what} {about}: expected {_shown(told.get(key))}, as the log says. "
                        f"Received: {_shown(found.get(key))} in the registry"
                    )


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple | list):
        return " ".join(str(part) for part in value)
    return str(value)[:80]
