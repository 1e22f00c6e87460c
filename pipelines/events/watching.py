"""The watcher of one machine: files and hours, started one after the other, until it is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.event import Event
from headrace.pipelines.events.handler import AGAIN, FULL, Handler
from headrace.pipelines.events.hours import Hours
from headrace.pipelines.events.looking import Folders

_FIRST_S, _LONGEST_S = 2.0, 300.0  # between two tries of what failed


@dataclass
class _Waiting:
    """An event that could not start its pipeline yet."""

    tries: int = 0
    until: float = 0.0


@dataclass
class Watcher:
    """Looks, and handles what it finds.

    Attributes:
        handler: starts pipelines.
        folders: says which files are whole.
        hours: says which schedules are due.
        now: seconds since 1970.
    """

    handler: Handler
    folders: Folders
    hours: Hours
    now: Callable[[], float] = time.time
    _done: set[tuple[str, int]] = field(default_factory=set)
    _waiting: dict[tuple[str, int], _Waiting] = field(default_factory=dict)

    def look(self) -> bool:
        """Handles what is there now.

        Returns:
            Whether something is to be tried again.

        Raises:
            StoreError: the ledger cannot be used.
        """
        now = self.now()
        found = [*self.hours.due(now), *self.folders.look()]
        there = {(event.subject, event.generation) for event in found}
        self._done &= there  # what has gone or changed need not be remembered: the ledger does
        self._waiting = {name: wait for name, wait in self._waiting.items() if name in there}
        for event in found:
            name = (event.subject, event.generation)
            if name in self._done or (name in self._waiting and self._waiting[name].until > now):
                continue
            if not self._handled(event, name, now):
                break  # there is no place for one more run: those behind it would not find one either
        return bool(self._waiting)

    def _handled(self, event: Event, name: tuple[str, int], now: float) -> bool:
        outcomes = self.handler.handle(event)
        again = [outcome for outcome in outcomes if outcome.state in AGAIN]
        if not again:
            self._done.add(name)
            self._waiting.pop(name, None)
            return True
        wait = self._waiting.setdefault(name, _Waiting())
        if any(outcome.state == FULL for outcome in again):
            return False
        wait.until = now + min(_FIRST_S * 2**wait.tries, _LONGEST_S)
        wait.tries += 1
        return True

    def watch(self, stop: threading.Event, every_s: float, complain: Callable[[str], None]) -> None:
        """Looks again and again, until it is told to stop. What keeps it from looking is told once, and waited for."""
        told = ""
        while not stop.is_set():
            try:
                self.look()
                told = ""
            except (HeadraceError, OSError) as error:
                if str(error) != told:
                    complain(str(error))
                told = str(error)
            stop.wait(every_s)
