"""From an event to what it starts: by the rules, once, with a dead letter where nothing helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.event import OBJECT, Event, EventError
from headrace.pipelines.events.ledger import BUSY, CLAIMED, DEAD, DONE, FAILED, OLDER, SPENT, STARTED, Claim, Ledger
from headrace.pipelines.events.patterns import filled
from headrace.pipelines.events.rules import Rule
from headrace.pipelines.events.starting import Starter

__all__ = ["AGAIN", "BUSY", "DEAD", "DONE", "FAILED", "FULL", "OLDER", "STARTED", "Handler", "Outcome"]

FULL = "full"
AGAIN = frozenset({BUSY, FULL, FAILED})  # what a later delivery may bring further


@dataclass(frozen=True)
class Outcome:
    """What came of an event for one rule.

    Attributes:
        rule: its name.
        state: `started`; `done`: it was before; `older`: a later state of the object or a later hour was seen before;
            `busy`: it is being started; `full`: there is no place for one more run now; `failed`: to be tried again;
            `dead`.
        key: of the event for this rule.
        run: the run's id, where there is one.
        url: where people look at it.
        error: why nothing was started.
    """

    rule: str
    state: str
    key: str
    run: str = ""
    url: str = ""
    error: str = ""


class Handler:
    """Handles events, from as many threads and processes as there are."""

    def __init__(
        self,
        rules: Callable[[], Sequence[Rule]],
        ledger: Ledger,
        starter: Starter,
        *,
        own: Sequence[str] = (),
        say: Callable[[str, dict[str, Any]], None] = lambda text, fields: None,
    ) -> None:
        """A handler.

        Args:
            rules: the rules of now.
            ledger: what was started before.
            starter: where pipelines are started.
            own: addresses below which pipelines write: what appears there starts nothing, or each run would start one.
            say: is told of everything that happens, in words and as fields.
        """
        self.rules, self.ledger, self._starter, self._say = rules, ledger, starter, say
        self._own = tuple(f"{address.rstrip('/')}/" for address in own if address)

    def handle(self, event: Event, only: str = "") -> list[Outcome]:
        """Starts what an event starts.

        Args:
            event: what happened.
            only: the one rule that it is for; empty: all that mean it.

        Returns:
            What came of it for each rule; none where no rule means it.

        Raises:
            StoreError: the ledger cannot be read or written; a later delivery tries again.
            RulesError: the rules cannot be read.
        """
        if event.kind == OBJECT and event.subject.startswith(self._own):
            return []
        outcomes = []
        for rule in self.rules():
            if rule.means(event) and only in ("", rule.name):
                outcome = self._one(rule, event)
                outcomes.append(outcome)
                if outcome.state != FULL:  # a machine with one place would say nothing else
                    self._say(_words(outcome, event), {"event": event.id, "subject": event.subject, **vars(outcome)})
        return outcomes

    def _one(self, rule: Rule, event: Event) -> Outcome:
        claim = self.ledger.claim(rule.name, event)
        if claim.state == SPENT:
            return self._buried(rule, event, claim, claim.entry.error or "it ended the process that was to start it")
        if claim.state != CLAIMED:
            known = claim.entry.run if claim.state != OLDER else {}
            return Outcome(
                rule.name, claim.state, claim.key, known.get("id", ""), known.get("url", ""), claim.entry.error
            )
        try:
            given = {
                name: filled(value, event, f"rule {rule.name}: {name}") if isinstance(value, str) else value
                for name, value in rule.parameters.items()
            }
        except EventError as error:  # this event will never have it
            return self._buried(rule, event, claim, str(error))
        if not self._starter.reserve():
            self.ledger.returned(claim)
            return Outcome(rule.name, FULL, claim.key, error="as many runs as may be are running")
        try:
            run = self._starter.start(rule, given, claim.key, lambda state: self.ledger.ended(claim, state))
        except (HeadraceError, OSError) as error:
            return self._failed(rule, event, claim, str(error))
        except ValueError as error:  # a text, say, that cannot be handed to a process: trying again does not help
            return self._buried(rule, event, claim, f"expected a pipeline that can be started. Received: {error}")
        self.ledger.started(claim, run.id, run.url)
        return Outcome(rule.name, STARTED, claim.key, run.id, run.url)

    def _failed(self, rule: Rule, event: Event, claim: Claim, error: str) -> Outcome:
        if self.ledger.last(claim):
            return self._buried(rule, event, claim, error)
        self.ledger.failed(claim, error)
        return Outcome(rule.name, FAILED, claim.key, error=error)

    def _buried(self, rule: Rule, event: Event, claim: Claim, error: str) -> Outcome:
        self.ledger.buried(claim, event, error)
        return Outcome(rule.name, DEAD, claim.key, error=error)


def _words(outcome: Outcome, event: Event) -> str:
    """A line for people."""
    told = {
        STARTED: f"started {outcome.run} {outcome.url}".rstrip(),
        DONE: f"was started before{f' as {outcome.run}' if outcome.run else ''}",
        OLDER: "is older than what was seen before",
        BUSY: "is being started",
        FULL: f"waits: {outcome.error}",
        FAILED: f"could not be started, and will be tried again: {outcome.error}",
        DEAD: f"is a dead letter, {outcome.key}: {outcome.error}",
    }[outcome.state]
    return f"{outcome.rule}: {event.subject} {told}"
