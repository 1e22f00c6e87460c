"""Whether the audit log is whole, and whether the registry's tables say what the log says.

The chain shows that no entry was changed. That alone would not show a row of `alias` or `deployed` that somebody
changed with SQLite's own tool: so the log is followed from its beginning, and held against the tables.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.artifacts.decision import UNRECORDED
from headrace.platforms.audit_chain import verify_chain
from headrace.platforms.interface import ARCHIVED, CHALLENGER, CHAMPION, REJECTED, Audit, Event

_Facts = dict[tuple[Any, ...], Any]  # by what they are of: a version's name and number, an endpoint
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


def facts(connection: sqlite3.Connection, name: str, number: int) -> str:
    """A digest of what was registered with a version and never changes: time, run, metrics and labels."""
    query = "SELECT created, run, metrics, labels FROM model_version WHERE name = ? AND version = ?"
    return _digest(connection.execute(query, (name, number)).fetchone())


def _digest(row: tuple[str, ...]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(row).encode()).hexdigest()


def told_pile(connection: sqlite3.Connection, endpoint: str) -> list[tuple[str, int]] | None:
    """What an endpoint served, as the log tells it: (model, version), the one that serves now last.

    None where the log's entries are not such as this version writes.
    """
    pile: list[tuple[str, int]] = []
    try:
        for event in events(connection, endpoint):
            if event.action in ("deploy", "rollback"):
                _stack(pile, event)
    except (KeyError, TypeError, ValueError):
        return None
    return pile


def _stack(pile: list[tuple[str, int]], event: Event) -> None:
    """Puts on a pile what was deployed, unless it lies there as the last; a rollback takes off what came after."""
    served = (event.detail["model"], int(event.detail["version"]))
    if event.action == "rollback":
        while pile and pile[-1] != served:
            pile.pop()
    elif pile[-1:] != [served]:
        pile.append(served)


def _detail(text: str) -> dict[str, Any]:
    try:
        detail = json.loads(text)
    except (ValueError, RecursionError):
        return {"unreadable": text}
    return detail if isinstance(detail, dict) else {"unreadable": text}


@dataclass
class _Told:
    """What must hold after the events that were followed."""

    digests: _Facts = field(default_factory=dict)
    facts: _Facts = field(default_factory=dict)
    registrants: _Facts = field(default_factory=dict)
    judged: _Facts = field(default_factory=dict)
    champions: _Facts = field(default_factory=dict)
    aliases: _Facts = field(default_factory=dict)  # the others; None: taken away since
    newest: dict[str, int] = field(default_factory=dict)  # the number of a model's newest version
    endpoints: _Facts = field(default_factory=dict)
    ended: _Facts = field(default_factory=dict)
    blessed: _Facts = field(default_factory=dict)
    needed: _Facts = field(default_factory=dict)
    homes: _Facts = field(default_factory=dict)  # the endpoint that a model's spec names
    piles: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    approvals: _Facts = field(default_factory=dict)
    accounts: _Facts = field(default_factory=dict)  # that approvals were typed in
    documents: _Facts = field(default_factory=dict)
    splits: _Facts = field(default_factory=dict)
    shadows: _Facts = field(default_factory=dict)
    migrated: set[tuple[Any, ...]] = field(default_factory=set)  # versions of which an older log tells less

    def follow(self, event: Event) -> None:
        """Takes in one event."""
        detail, name = event.detail, event.subject
        version = (name, detail.get("version"))
        if event.action == "migrate":
            self.migrated = set(self.digests)
            self.aliases.clear()  # other rules held before: see `_beside`
        elif event.action == "register":
            self._register(event, version)
        elif event.action == "settings":
            self.needed[name,] = detail["approvals"]
        elif event.action == "approve":
            self.approvals.setdefault(version, []).append(f"{detail['who']}: {detail['reason']}")
            self.accounts.setdefault(version, []).append(event.actor)
        elif event.action == "state":
            self._end(version, detail["state"] if detail["state"] in (REJECTED, ARCHIVED) else "")
            if "champion_after" in detail:
                self.champions[name,] = detail["champion_after"]
        elif event.action == "alias" and detail["alias"] == CHAMPION:  # format 1 let it be set by hand
            self.champions[name,] = detail["version"]
        elif event.action == "alias":
            self.aliases[name, detail["alias"]] = detail["version"]
        elif event.action == "split":
            shares = detail["traffic"].items()
            self.endpoints[name,] = tuple(sorted(_served(detail["model"], int(one), share) for one, share in shares))
            pieces = json.dumps(detail["slots"])
            self.splits[name,] = (int(detail["version"]), detail["key"], detail["experiment"], pieces)
            self._shadow(name, detail["model"], detail["shadows"])
        elif event.action in ("deploy", "rollback"):
            self.splits.pop((name,), None)
            self._shadow(name, detail["model"], detail.get("shadows", []))
            _stack(self.piles.setdefault(name, []), event)
            self.endpoints[name,] = (_served(detail["model"], detail["version"], detail.get("traffic", 100)),)
            # Before `champion_after` was written, a rollback always moved the champion to what it put back.
            self.champions[detail["model"],] = detail.get("champion_after", detail["version"])
            self._challenge_no_more((detail["model"], detail["version"]))
            if detail.get("rejected"):
                self._end((detail["model"], detail["before"]), REJECTED)
            for other in detail.get("also", []):
                self._end((detail["model"], other), REJECTED)
        elif event.action == "attach":
            self.documents[name, detail["version"], detail["file"]] = detail["digest"]

    def _register(self, event: Event, version: tuple[Any, ...]) -> None:
        detail = event.detail
        if detail["new"]:
            self.newest[event.subject] = max(detail["version"], self.newest.get(event.subject, 0))
            self.digests[version] = detail["digest"]
            self.blessed[version], self.ended[version], self.judged[version] = 0, "", UNRECORDED
            self.registrants[version] = detail.get("who", event.actor.partition("@")[0])  # as migration has it
            if "facts" in detail:
                self.facts[version] = detail["facts"]
        if detail.get("blessed"):
            self.blessed[version], self.judged[version] = 1, detail["judged_against"]
            calm = not self.ended.get(version) and not self._is_live(version)
            if calm and detail["version"] == self.newest.get(event.subject):
                self.aliases[event.subject, CHALLENGER] = detail["version"]
        if "endpoint" in detail:
            self.homes[event.subject,] = detail["endpoint"]
        self.needed[event.subject,] = detail.get("approvals", self.needed.get((event.subject,), 0))

    def _end(self, version: tuple[Any, ...], ended: str) -> None:
        self.ended[version] = ended
        self.approvals.pop(version, None)
        self.accounts.pop(version, None)
        self._challenge_no_more(version)
        for key in [key for key in self.shadows if key[1:] == version]:
            del self.shadows[key]

    def _challenge_no_more(self, version: tuple[Any, ...]) -> None:
        name, number = version
        if self.aliases.get((name, CHALLENGER)) == number:
            self.aliases[name, CHALLENGER] = None

    def _is_live(self, version: tuple[Any, ...]) -> bool:
        alone = _served(*version)
        return any(text.partition(" with ")[0] == alone for served in self.endpoints.values() for text in served)

    def _shadow(self, endpoint: str, model: str, versions: Iterable[int]) -> None:
        for key in [key for key in self.shadows if key[0] == endpoint]:
            del self.shadows[key]
        self.shadows |= {(endpoint, model, int(version)): "a shadow" for version in versions}

    def differences(self, connection: sqlite3.Connection) -> Iterable[str]:
        """Where the tables say something else."""
        for what, told, found in self._beside(connection):
            for key in sorted({*told, *found}, key=str):
                if told.get(key) != found.get(key):
                    about = ":".join(str(part) for part in key)
                    yield (
                        f"{what} {about}: expected {_shown(told.get(key))}, as the log says. "
                        f"Received: {_shown(found.get(key))} in the registry"
                    )

    def _beside(self, connection: sqlite3.Connection) -> Iterable[tuple[str, _Facts, _Facts]]:
        """What the log leads to, beside what the tables say of the same."""

        def now(query: str, keys: int) -> _Facts:
            rows = connection.execute(query).fetchall()
            return {row[:keys]: row[keys] if len(row) == keys + 1 else row[keys:] for row in rows}

        def of_told(found: _Facts, told: _Facts) -> _Facts:  # what older versions did not write into the log stands
            return {key: value for key, value in found.items() if key in told}

        blessed = now("SELECT name, version, blessed FROM standing", 2)
        for version in self.migrated:  # the format before did not tell: what migration found stands
            self.blessed[version] = max(self.blessed.get(version, 0), blessed.get(version, 0))
        newest = (
            "SELECT name, version, file, digest FROM document WHERE id IN "
            "(SELECT max(id) FROM document GROUP BY name, version, file)"
        )
        registered = now("SELECT name, version, created, run, metrics, labels FROM model_version", 2)
        facts = {key: _digest(row) for key, row in registered.items()}
        champion = f"SELECT name, version FROM alias WHERE alias = '{CHAMPION}'"
        aliases = now(f"SELECT name, alias, version FROM alias WHERE alias <> '{CHAMPION}'", 2)
        older = {name for name, _ in self.migrated}  # what is told of their aliases since is all that is known
        self.aliases = {key: value for key, value in aliases.items() if key[0] in older} | self.aliases
        judged = now("SELECT name, version, judged_against FROM standing", 2)
        return (
            ("the digest of", self.digests, now("SELECT name, version, digest FROM model_version", 2)),
            ("the metrics and labels of", self.facts, of_told(facts, self.facts)),
            ("who registered", self.registrants, now("SELECT name, version, registered_by FROM model_version", 2)),
            ("the champion that was judged against", self.judged, judged),
            ("the blessing of", self.blessed, blessed),
            ("the end of", self.ended, now("SELECT name, version, ended FROM standing", 2)),
            ("the approvals of", self.approvals, _approvals(connection, "who || ': ' || reason")),
            ("the accounts behind the approvals of", self.accounts, _approvals(connection, "actor")),
            ("the approvals that are asked for of", self.needed, now("SELECT name, approvals FROM model", 1)),
            ("the endpoint meant for", self.homes, of_told(now("SELECT name, endpoint FROM model", 1), self.homes)),
            (f"the {CHAMPION} of", self.champions, now(champion, 1)),
            ("the alias", self.aliases, aliases),
            ("the version behind", self.endpoints, _endpoints(connection)),
            ("the split of", self.splits, now("SELECT endpoint, base, key, experiment, slots FROM split", 1)),
            ("the version", self.shadows, now("SELECT endpoint, model, version, 'a shadow' FROM shadow", 3)),
            ("the document", self.documents, now(newest, 3)),
            ("what was served as number", _numbered(self.piles), _numbered(_piles(connection))),
        )


def _approvals(connection: sqlite3.Connection, what: str) -> _Facts:
    found: _Facts = {}
    query = f"SELECT name, version, {what} FROM approval WHERE NOT ended ORDER BY id"
    for *version, told in connection.execute(query):
        found.setdefault(tuple(version), []).append(told)
    return found


def _endpoints(connection: sqlite3.Connection) -> _Facts:
    found: _Facts = {}
    for endpoint, *served in connection.execute("SELECT endpoint, model, version, traffic FROM deployed"):
        found[endpoint,] = tuple(sorted((*found.get((endpoint,), ()), _served(*served))))
    return found


def _piles(connection: sqlite3.Connection) -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    query = "SELECT endpoint, model, version FROM deployment WHERE NOT undone ORDER BY id"
    for endpoint, model, version in connection.execute(query):
        found.setdefault(endpoint, []).append((model, version))
    return found


def _served(model: str, version: int, traffic: int = 100) -> str:
    return f"{model} {version}" + ("" if traffic == 100 else f" with {traffic} percent")


def _numbered(piles: dict[str, list[tuple[str, int]]]) -> _Facts:
    """What lies where on which pile, so that a difference is told by its place."""
    return {(at, name): entry for name, pile in piles.items() for at, entry in enumerate(pile, start=1)}


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, tuple | list):
        return " ".join(str(part) for part in value)
    return str(value)[:80]
