"""The ledger of what was started: an event starts each rule's pipeline once.

    starts/RULE/DIGEST.json    the latest generation of a subject that the rule has seen, and what became of it
    dead/RULE/KEY.json         an event that could not start anything, with the reason

A document changes only if it is still as it was read, so of two who are told of the same event one claims it. A claim
ends by itself: who is killed between claiming and starting is followed by whoever is told of the event next, with the
same key, by which the place where runs go knows a run that it has already.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.event import Event
from headrace.pipelines.events.store import Store, StoreError

CLAIMED, STARTED, FAILED, DEAD = "claimed", "started", "failed", "dead"
# what claiming may say beside CLAIMED
DONE, OLDER, BUSY, SPENT = "done", "older", "busy", "spent"
_FORMAT, _REMEMBERED, _TRIES = 1, 20, 50


@dataclass(frozen=True)
class Entry:
    """What became of a subject's latest generation.

    Attributes:
        rule: its name.
        subject: what the event was about.
        generation: the latest that was seen.
        state: `claimed`, `started`, `failed` (to be tried again) or `dead`.
        attempt: how often it was claimed, from 1.
        owner: who claimed it last.
        until: when a claim ends, seconds since 1970.
        event: the event's id, for people.
        run: `id` and `url` of the run that was started; `end`, the state that it ended in, where that is known.
        error: why it failed last.
        before: the last generations before this one, with their runs.
    """

    rule: str
    subject: str
    generation: int
    state: str
    attempt: int = 1
    owner: str = ""
    until: float = 0.0
    event: str = ""
    run: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    before: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Claim:
    """The answer to who wants to start something: `claimed`, or why not."""

    state: str
    entry: Entry
    key: str


class Ledger:
    """Claims, starts and dead letters in a store."""

    def __init__(
        self,
        store: Store,
        *,
        lease_s: float = 240.0,
        attempts: int = 5,
        now: Callable[[], float] = time.time,
    ) -> None:
        """A ledger.

        Args:
            store: where it is kept.
            lease_s: how long a claim holds. What is started takes less, or two would start it.
            attempts: how often an event is claimed, before it is a dead letter.
            now: seconds since 1970.
        """
        self.store, self._lease, self._attempts, self._now = store, lease_s, attempts, now
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"

    def claim(self, rule: str, event: Event) -> Claim:
        """Asks for the right to start a rule's pipeline for an event.

        Returns:
            `claimed`: it is ours for the lease. `done`: it was started before, or is a dead letter. `older`: a later
            state of the same subject was seen before. `busy`: somebody else is about to. `spent`: it was tried as
            often as may be, and is to be buried.

        Raises:
            StoreError: the ledger cannot be read or written.
        """
        name, key = _name(rule, event.subject), event.key(rule)
        owner = f"{self._owner}/{secrets.token_hex(4)}"  # of two threads, only one owns it
        for _ in range(_TRIES):
            there, version = self._read(name)
            if there is not None and there.owner == owner:  # a write that came through, and whose answer was lost
                return Claim(CLAIMED, there, key)
            refused = self._refused(there, event)
            if there is not None and refused:
                return Claim(refused, there, key)
            entry = self._next(there, rule, event, owner)
            if self.store.write(name, _bytes(entry), version):
                return Claim(CLAIMED, entry, key)
        raise StoreError(f"{self.store.uri}: expected to claim {event.id}. Received: others were faster, every time")

    def _refused(self, there: Entry | None, event: Event) -> str:
        if there is None or there.generation < event.generation:
            return ""
        if there.generation > event.generation:
            return OLDER
        if there.state in (STARTED, DEAD):
            return DONE
        if there.state == CLAIMED and there.until > self._now():
            return BUSY
        return SPENT if there.attempt >= self._attempts else ""

    def _next(self, there: Entry | None, rule: str, event: Event, owner: str) -> Entry:
        entry = Entry(
            rule, event.subject, event.generation, CLAIMED, 1, owner, self._now() + self._lease, event.id
        )  # fmt: skip
        if there is None:
            return entry
        if there.generation == event.generation:
            return replace(entry, attempt=there.attempt + 1, error=there.error, before=there.before)
        return replace(entry, before=_remembered(there))

    def last(self, claim: Claim) -> bool:
        """Whether no attempt is left after this claim."""
        return claim.entry.attempt >= self._attempts

    def started(self, claim: Claim, run: str, url: str = "") -> None:
        """Writes down that a claim led to a run.

        Raises:
            StoreError: the ledger cannot be written. The run goes on: whoever is told of the event again finds it.
        """
        self._settle(
            claim, lambda entry: replace(entry, state=STARTED, run={**entry.run, "id": run, "url": url}, error="")
        )

    def failed(self, claim: Claim, error: str) -> None:
        """Writes down that nothing could be started; the next delivery tries again."""
        self._settle(claim, lambda entry: replace(entry, state=FAILED, until=0.0, error=error[:2000]))

    def returned(self, claim: Claim) -> None:
        """Gives a claim back that was not used, so that it does not count as an attempt."""
        self._settle(claim, lambda entry: replace(entry, state=FAILED, until=0.0, attempt=entry.attempt - 1))

    def buried(self, claim: Claim, event: Event, error: str) -> str:
        """Keeps an event as a dead letter, with the reason, and starts nothing for it any more; returns its key."""
        letter = {
            "format": _FORMAT,
            "rule": claim.entry.rule,
            "error": error,
            "time": self._now(),
            "event": event.as_json(),
        }
        self._put(f"dead/{claim.entry.rule}/{claim.key}.json", json.dumps(letter, sort_keys=True).encode())
        self._settle(claim, lambda entry: replace(entry, state=DEAD, until=0.0, error=error[:2000]))
        return claim.key

    def ended(self, claim: Claim, state: str) -> None:
        """Writes down how the run of a claim ended, for who has watched it to its end."""
        self._settle(claim, lambda entry: replace(entry, run={**entry.run, "end": state}))

    def claim_of(self, entry: Entry) -> Claim:
        """The claim that an entry came from, for who goes on with its run."""
        return Claim(CLAIMED, entry, "")

    def entries(self) -> list[Entry]:
        """All that is known, by rule and subject."""
        found = [self._read(name)[0] for name in self.store.names("starts/")]
        return sorted((entry for entry in found if entry is not None), key=lambda entry: (entry.rule, entry.subject))

    def dead(self) -> list[tuple[str, dict[str, Any]]]:
        """The dead letters: key, and `rule`, `error`, `time`, `event`."""
        letters = []
        for name in self.store.names("dead/"):
            if (found := self.store.read(name)) is not None:
                letters.append((name.rpartition("/")[2].removesuffix(".json"), json.loads(found[0])))
        return letters

    def revive(self, key: str) -> tuple[str, Event]:
        """Takes an event out of the dead letters, so that it can start its pipeline after all; with the rule's name.

        Raises:
            HeadraceError: no such dead letter.
        """
        for name in self.store.names("dead/"):
            if name.endswith(f"/{key}.json") and (found := self.store.read(name)) is not None:
                letter = json.loads(found[0])
                event = Event.from_json(letter["event"])
                entry = Entry(letter["rule"], event.subject, event.generation, CLAIMED)
                # first the entry, then the letter: a kill between the two leaves a letter too many, and loses nothing
                self._settle(Claim(DEAD, entry, key), lambda there: replace(there, state=FAILED, attempt=0, until=0.0))
                self.store.remove(name, found[1])
                return letter["rule"], event
        raise HeadraceError(f"expected a dead letter; `headrace watch --dead` lists them. Received: {key!r}")

    def _settle(self, claim: Claim, change: Callable[[Entry], Entry]) -> None:
        """Changes the entry of a claim; one that was superseded meanwhile is changed where it is remembered."""
        name = _name(claim.entry.rule, claim.entry.subject)
        for _ in range(_TRIES):
            there, version = self._read(name)
            if there is None:
                return
            if there.generation == claim.entry.generation:
                if there.owner != claim.entry.owner and claim.entry.owner:
                    return  # the lease was over, and somebody else has gone on with it
                changed = change(there)
            else:
                changed = replace(there, before=_mended(there.before, change(claim.entry)))
            if self.store.write(name, _bytes(changed), version):
                return
        raise StoreError(f"{self.store.uri}: expected to write {name}. Received: others were faster, every time")

    def _put(self, name: str, content: bytes) -> None:
        for _ in range(_TRIES):
            found = self.store.read(name)
            if self.store.write(name, content, found[1] if found else 0):
                return
        raise StoreError(f"{self.store.uri}: expected to write {name}. Received: others were faster, every time")

    def _read(self, name: str) -> tuple[Entry | None, int]:
        found = self.store.read(name)
        if found is None:
            return None, 0
        try:
            said = json.loads(found[0])
            if said.pop("format") != _FORMAT:
                raise ValueError("another format")
            return Entry(**{**said, "before": tuple(said["before"])}), found[1]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            told = f"expected an entry of format {_FORMAT}. Received: {error}"
            raise HeadraceError(f"{self.store.uri}/{name}: {told}") from None


def _name(rule: str, subject: str) -> str:
    return f"starts/{rule}/{hashlib.sha256(subject.encode()).hexdigest()[:40]}.json"


def _bytes(entry: Entry) -> bytes:
    return json.dumps({"format": _FORMAT, **asdict(entry)}, sort_keys=True).encode()


def _remembered(entry: Entry) -> tuple[Mapping[str, Any], ...]:
    line = {"generation": entry.generation, "state": entry.state, "run": dict(entry.run)}
    return (line, *entry.before)[:_REMEMBERED]


def _mended(before: tuple[Mapping[str, Any], ...], entry: Entry) -> tuple[Mapping[str, Any], ...]:
    def mended(line: Mapping[str, Any]) -> Mapping[str, Any]:
        state = line["state"] if entry.state == CLAIMED else entry.state
        return {**line, "state": state, "run": {**line["run"], **entry.run}}

    return tuple(mended(line) if line["generation"] == entry.generation else line for line in before)
