"""A log in a service, read from its beginning, and added to by whoever comes first.

Services of this kind have neither transactions nor a compare-and-set. What they have is an append: entries that
everybody reads in the same order. Each entry names the hash of the one that it was written after. An entry counts if
that is the last one that counts; one that came second, written after an entry that was followed by another by then, is
void for every reader. So of two who change the registry at once one is told to look again.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict
from threading import RLock
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.platforms.audit_chain import FIRST, chained, entry_hash
from headrace.platforms.interface import Audit, Event
from headrace.platforms.ledger.state import State
from headrace.platforms.ledger.store import Store, StoreError
from headrace.platforms.local.account import account, now

_TRIES = 200  # of adding an entry, each of which somebody else's prevented
_PAUSE_S = 0.05


class Ledger:
    """The log of one registry, as far as it was read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = RLock()
        self._start()

    def _start(self) -> None:
        self.state = State()
        self.events: list[Event] = []  # those that count
        self._last = 0  # the number of the last entry that was read, void or not
        self._hashes = {FIRST}
        self._ids: set[str] = set()

    @property
    def head(self) -> str:
        """The hash of the last entry that counts."""
        return self.events[-1].hash if self.events else FIRST

    def refresh(self) -> State:
        """Reads what was added since.

        Raises:
            ArtifactError: an entry is damaged, or does not follow from those before.
            StoreError: the service does not answer.
        """
        with self._lock:
            for number, text in self._store.entries(self._last):
                event, problem = self._judged(number, text)
                if problem:
                    hint = "`headrace models audit --verify` tells more"
                    raise ArtifactError(f"{self._store.uri}: {problem}; nothing was read or changed. {hint}")
                if event is not None:
                    self._take(event)
                self._last = number
            return self.state

    def change(self, decide: Callable[[State], tuple[str, str, str, dict[str, Any]] | None]) -> State:
        """Adds an entry that is decided on what holds at the moment when it is added.

        Args:
            decide: what to add, from the state: action, subject, run and detail; None for nothing. It raises where
                that may not be. It is asked again where somebody else's entry came first, and must change nothing.

        Raises:
            HeadraceError: the service refuses, or others come first again and again.
        """
        with self._lock:
            for attempt in range(_TRIES):
                state = self.refresh()
                found = decide(state)
                if found is None:
                    return state
                action, subject, run, detail = found
                # Without a mark, two who do the same in the same millisecond would both believe that it was them.
                mark = os.urandom(8).hex()
                event = chained(Event(now(), account(), action, subject, run, {**detail, "entry": mark}), self.head)
                self._store.append(self._last, json.dumps(asdict(event), sort_keys=True, allow_nan=False))
                self.refresh()
                if mark in self._ids:
                    return self.state
                time.sleep(_PAUSE_S * random.random() * min(attempt + 1, 10))
        raise StoreError(
            f"{self._store.uri}: expected to add to the log. Received: others' entries first, {_TRIES} times"
        )

    def verify(self, head: str) -> Audit:
        """Reads the whole log anew, and tells each place where it does not hold."""
        with self._lock:
            self._start()
            problems: list[str] = []
            numbers: list[int] = []
            for number, text in self._store.entries(0):
                numbers.append(number)
                event, problem = self._judged(number, text)
                problems += [problem] if problem else []
                if event is not None and not problem:
                    try:
                        self._take(event)
                    except ArtifactError as error:
                        problems.append(str(error))
                elif event is not None:  # go on behind it, so that what follows is not told as well
                    self._hashes.add(event.hash)
                    self.events.append(event)
                self._last = number
            gaps = [str(n) for n in range(1, numbers[-1] + 1) if n not in set(numbers)] if numbers else []
            if gaps:
                problems.append(
                    f"expected every entry from 1 to {numbers[-1]}. Received: none numbered {', '.join(gaps[:5])}"
                )
            if head and not (len(head) >= 12 and any(event.hash.startswith(head) for event in self.events)):
                problems.append(
                    f"expected an entry with the hash {head[:12]}. Received: none in {len(self.events)} entries"
                )
            audit = Audit(len(self.events), self.head if self.events else "", tuple(problems))
            if problems:
                self._start()  # nothing of it is to be built on
            return audit

    def _judged(self, number: int, text: str) -> tuple[Event | None, str]:
        """An entry that counts, or None for a void one; and what is wrong with it."""
        try:
            event = Event(**json.loads(text))
            what = f"entry {number} ({event.time}, {event.action} {event.subject})"
            if event.hash != entry_hash(event, event.before):
                return event, f"{what}: expected content with the hash {event.hash[:12]}. Received: changed content"
        except (ValueError, TypeError, AttributeError) as error:
            return None, f"entry {number}: expected an entry of the audit log. Received: {error}"
        if event.before == self.head:
            return event, ""
        if event.before in self._hashes:
            return None, ""  # it came second
        return event, f"{what}: expected to follow {self.head[:12]}. Received: one that follows {event.before[:12]}"

    def _take(self, event: Event) -> None:
        try:
            self.state.follow(event)
        except (KeyError, TypeError, ValueError) as error:
            about = f"{event.time}, {event.action} {event.subject}"
            raise ArtifactError(
                f"{self._store.uri}: entry ({about}): expected its details. Received: {error!r}"
            ) from None
        self.events.append(event)
        self._hashes.add(event.hash)
        self._ids.add(str(event.detail.get("entry", "")))
