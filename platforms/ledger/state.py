"""What a registry's log leads to: versions, aliases, approvals, endpoints. Entries are followed one by one, and nothing
else changes it. So whoever has read the same entries knows the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headrace.artifacts.decision import UNRECORDED
from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    CHALLENGER,
    CHAMPION,
    LIVE,
    REJECTED,
    Approval,
    Deployed,
    Document,
    Endpoint,
    Event,
    ModelSettings,
    ModelVersion,
    Split,
)
from headrace.platforms.lifecycle import standing
from headrace.platforms.splitting import behind, ordered, read_split


@dataclass
class Held:
    """One version."""

    number: int
    digest: str
    uri: str
    created: str
    run: str
    metrics: dict[str, float]
    labels: dict[str, str]
    registered_by: str
    blessed: bool = False
    judged_against: str | None = UNRECORDED
    ended: str = ""  # rejected or archived
    approvals: list[Approval] = field(default_factory=list)
    documents: dict[str, tuple[Document, str]] = field(default_factory=dict)  # by name, with the place of the content


class Served(NamedTuple):
    """A version that was put behind an endpoint, by the event of this number."""

    model: str
    version: int
    event: int


@dataclass
class State:
    """All that holds after the entries that were followed."""

    models: dict[str, dict[int, Held]] = field(default_factory=dict)
    aliases: dict[str, dict[str, int]] = field(default_factory=dict)
    settings: dict[str, ModelSettings] = field(default_factory=dict)
    deployed: dict[str, tuple[str, int, str]] = field(default_factory=dict)  # endpoint -> model, version, since when
    splits: dict[str, Split] = field(default_factory=dict)  # of endpoints that several versions answer
    shadows: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)  # endpoint -> model, versions
    piles: dict[str, list[Served]] = field(default_factory=dict)  # what an endpoint served, what it serves last
    followed: int = 0  # events

    def version(self, name: str, held: Held) -> ModelVersion:
        """A version as the interface has it."""
        endpoints = sorted(key for key in self.deployed if (name, held.number) in self.answering(key))
        given = tuple(held.approvals)
        needed = self.kept(name).approvals
        calm = held.ended or standing(held.blessed, given, needed)
        return ModelVersion(
            name=name,
            version=str(held.number),
            digest=held.digest,
            uri=held.uri,
            created=held.created,
            run=held.run,
            metrics=dict(held.metrics),
            labels=dict(held.labels),
            aliases=tuple(sorted(key for key, number in self.aliases.get(name, {}).items() if number == held.number)),
            state=LIVE if endpoints else calm,
            registered_by=held.registered_by,
            approvals=given,
            approvals_needed=needed,
            judged_against=held.judged_against,
            endpoints=tuple(endpoints),
        )

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a model, oldest first."""
        return [self.version(name, held) for _, held in sorted(self.models.get(name, {}).items())]

    def find(self, name: str, version: str) -> Held:
        """A version by its number or an alias.

        Raises:
            HeadraceError: there is no such model, version or alias; it says which there are.
        """
        known, aliases = self.models.get(name, {}), self.aliases.get(name, {})
        plain = version.isascii() and version.isdigit()
        number = int(version[:18]) if plain else aliases.get(version)
        if number is not None and number in known:
            return known[number]
        if not known:
            names = ", ".join(sorted(self.models)[:20]) or "none yet"
            raise HeadraceError(f"model: expected a registered one ({names}). Received: {name!r}")
        newest = max(known)
        there = ", ".join(["1" if newest == 1 else f"1 to {newest}", *sorted(aliases)])
        raise HeadraceError(f"model {name}: expected a registered version ({there}). Received: {version!r}")

    def kept(self, name: str) -> ModelSettings:
        """A model's settings."""
        return self.settings.get(name, ModelSettings())

    def endpoint(self, name: str) -> Endpoint | None:
        """An endpoint, or None."""
        if name not in self.deployed:
            return None
        model, number, since = self.deployed[name]
        _, numbers = self.shadows.get(name, (model, ()))
        shadows = [Deployed(model, str(shadow), 0, shadow=True) for shadow in numbers]
        split = self.splits.get(name)
        alone = ordered([Deployed(model, str(number), 100), *shadows])
        return Endpoint(name, behind(model, split, shadows) if split else alone, since, split)

    def answering(self, endpoint: str) -> set[tuple[str, int]]:
        """The versions that have a share of an endpoint's traffic."""
        if endpoint not in self.deployed:
            return set()
        model, number, _ = self.deployed[endpoint]
        split = self.splits.get(endpoint)
        return {(model, int(version)) for version in split.slots} if split else {(model, number)}

    def tops(self) -> dict[str, Served]:
        """What each endpoint serves, by the endpoint's name."""
        return {endpoint: pile[-1] for endpoint, pile in self.piles.items()}

    def follow(self, event: Event) -> None:
        """Takes in one event.

        Raises:
            KeyError, TypeError, ValueError: its details are not those of such an event.
        """
        deed = _DEEDS.get(event.action)
        if deed is None:
            raise ValueError(f"no action of this version: {event.action}. Upgrade headrace to read it")
        self.followed += 1
        deed(self, event, dict(event.detail))


def served_last(name: str, tops: Iterable[Served]) -> int | None:
    """The version of a model that endpoints serve and that was put there last; None where none serves it."""
    found = max((top for top in tops if top.model == name), key=lambda top: top.event, default=None)
    return found.version if found else None


def _register(state: State, event: Event, detail: dict[str, Any]) -> None:
    name, number = event.subject, int(detail["version"])
    model = state.models.setdefault(name, {})
    if detail["new"]:
        model[number] = Held(
            number=number,
            digest=detail["digest"],
            uri=detail["uri"],
            created=event.time,
            run=event.run,
            metrics=dict(detail["metrics"]),
            labels=dict(detail["labels"]),
            registered_by=detail["who"],
        )
    held, before = model[number], state.kept(name)
    approvals = detail.get("approvals", before.approvals)
    state.settings[name] = ModelSettings(approvals, detail.get("endpoint") or before.endpoint)
    if detail["blessed"]:
        held.blessed, held.judged_against = True, detail["judged_against"]
        if number == max(model) and state.version(name, held).state in (BLESSED, APPROVED):
            state.aliases.setdefault(name, {})[CHALLENGER] = number


def _alias(state: State, event: Event, detail: dict[str, Any]) -> None:
    state.aliases.setdefault(event.subject, {})[detail["alias"]] = int(detail["version"])


def _settings(state: State, event: Event, detail: dict[str, Any]) -> None:
    before = state.kept(event.subject)
    state.settings[event.subject] = ModelSettings(int(detail["approvals"]), before.endpoint)


def _approve(state: State, event: Event, detail: dict[str, Any]) -> None:
    held = state.models[event.subject][int(detail["version"])]
    held.approvals.append(Approval(detail["who"], detail["reason"], event.time, event.actor))


def _transition(state: State, event: Event, detail: dict[str, Any]) -> None:
    ended = detail["state"] if detail["state"] in (REJECTED, ARCHIVED) else ""
    _end(state, event.subject, int(detail["version"]), ended)
    if "champion_after" in detail:  # it was the champion; older logs do not tell, and left it so
        _crown(state, event.subject, detail["champion_after"])


def _end(state: State, name: str, number: int, ended: str) -> None:
    held = state.models[name][number]
    held.ended = ended
    held.approvals.clear()
    for endpoint, (model, versions) in state.shadows.items():
        if model == name:
            state.shadows[endpoint] = (model, tuple(version for version in versions if version != number))
    _drop_challenger(state, name, number)


def _drop_challenger(state: State, name: str, number: int) -> None:
    if state.aliases.get(name, {}).get(CHALLENGER) == number:
        del state.aliases[name][CHALLENGER]


def _crown(state: State, name: str, number: int | None) -> None:
    """Moves the alias `champion`, or drops it."""
    aliases = state.aliases.setdefault(name, {})
    if number is None:
        aliases.pop(CHAMPION, None)
    else:
        aliases[CHAMPION] = state.models[name][int(number)].number  # there has to be one


def _serve(state: State, event: Event, detail: dict[str, Any]) -> None:
    name, number = detail["model"], int(detail["version"])
    state.models[name][number]  # there has to be one
    state.deployed[event.subject] = (name, number, event.time)
    state.splits.pop(event.subject, None)
    _shadow(state, event, detail)
    _crown(state, name, detail.get("champion_after", number))  # older logs do not tell: it was the one put there
    _drop_challenger(state, name, number)


def _shadow(state: State, event: Event, detail: dict[str, Any]) -> None:
    known = state.models[detail["model"]]
    state.shadows[event.subject] = (detail["model"], tuple(known[int(one)].number for one in detail.get("shadows", ())))


def _split(state: State, event: Event, detail: dict[str, Any]) -> None:
    name, split = detail["model"], read_split(detail)
    for version in split.slots:
        state.models[name][int(version)]  # there has to be one
    state.deployed[event.subject] = (name, int(split.base), event.time)
    state.splits[event.subject] = split
    _shadow(state, event, detail)


def _deploy(state: State, event: Event, detail: dict[str, Any]) -> None:
    _serve(state, event, detail)
    served = Served(detail["model"], int(detail["version"]), state.followed)
    state.piles.setdefault(event.subject, []).append(served)


def _rollback(state: State, event: Event, detail: dict[str, Any]) -> None:
    pile = state.piles[event.subject]
    del pile[len(pile) - int(detail["undone"]) :]
    _serve(state, event, detail)
    if detail["rejected"]:
        _end(state, detail["model"], int(detail["before"]), REJECTED)
    for other in detail.get("also", ()):
        _end(state, detail["model"], int(other), REJECTED)


def _attach(state: State, event: Event, detail: dict[str, Any]) -> None:
    held = state.models[event.subject][int(detail["version"])]
    document = Document(detail["file"], detail["digest"], int(detail["bytes"]), event.time)
    held.documents[document.file] = (document, detail["place"])


_DEEDS: dict[str, Callable[[State, Event, dict[str, Any]], None]] = {
    "register": _register,
    "alias": _alias,
    "settings": _settings,
    "approve": _approve,
    "state": _transition,
    "deploy": _deploy,
    "split": _split,
    "rollback": _rollback,
    "attach": _attach,
}
