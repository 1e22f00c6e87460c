"""What a rollout remembers between two looks: all that is needed to go on after a kill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from headrace.components.push.canary import Canary, canary
from headrace.pipelines.rollout import checks
from headrace.pipelines.rollout.checks import Check, Levels
from headrace.pipelines.rollout.checks import levels as spent
from headrace.pipelines.rollout.figures import Reading

RUNNING, PAUSED = "running", "paused"
PROMOTED, ROLLED_BACK, ABORTED, SUPERSEDED = "promoted", "rolled back", "aborted", "superseded"
OVER = (PROMOTED, ROLLED_BACK, ABORTED, SUPERSEDED)
FORMAT = 1
_PLAIN = ("id", "started", "status", "step", "step_since", "step_requests", "looked", "blind_since", "missed", "slow",
          "note", "paused", "paused_at")  # fmt: skip
_LOOKS = 400  # kept for the report: every second one goes when there are more


@dataclass(frozen=True)
class Subject:
    """What is rolled out, where, in place of what."""

    endpoint: str
    model: str
    candidate: str  # a version
    baseline: str
    digests: Mapping[str, str]  # of both versions' bundles


@dataclass(frozen=True)
class Action:
    """A change of the endpoint that was decided; it is kept before it is done, and may have been done already."""

    kind: str  # advance | promote | rollback | abort
    share: int  # of the candidate, in percent, afterwards
    reason: str
    who: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Rollout:
    """A rollout as it stands."""

    id: str
    subject: Subject
    settings: Canary
    started: float  # seconds since 1970, as all times here
    status: str = RUNNING
    step: int = -1  # an index of `settings.steps`; -1: it has not begun
    step_since: float = 0.0
    step_requests: float = 0.0  # that the candidate answered in this step
    looked: float = 0.0  # when the counts were last read
    blind_since: float | None = None  # since when nothing is heard of the candidate that should be
    missed: float = 0.0  # requests that the candidate should have had since its last
    slow: float | None = None  # seconds from which a request is slow
    checks: tuple[Check, ...] = ()
    servers: Mapping[str, Reading] = field(default_factory=dict)  # by address: what was read last
    outcomes: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)  # by step: what was seen
    boundaries: tuple[tuple[float, int], ...] = ()  # when which share began, for outcomes that come later
    action: Action | None = None
    note: str = ""  # what it waits for, or why it ended
    looks: tuple[Mapping[str, Any], ...] = ()  # for the report
    paused: float = 0.0  # seconds from its start to when a person last resumed it: doubt is counted from there
    paused_at: float | None = None

    @property
    def share(self) -> int:
        """The candidate's share of the traffic now, in percent."""
        return self.settings.steps[self.step] if self.step >= 0 else 0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in OVER

    @property
    def levels(self) -> Levels:
        """The error probabilities of each check."""
        return spent(self.settings, len(self.asked))

    @property
    def asked(self) -> tuple[str, ...]:
        """The checks that have to be passed."""
        return tuple(name for name in checks.NAMES if getattr(self.settings, name) is not None)

    def check(self, name: str) -> Check | None:
        """A check that has begun."""
        return next((check for check in self.checks if check.name == name), None)

    def with_check(self, check: Check) -> Rollout:
        """With a check added, or in place of the one of its name."""
        others = tuple(one for one in self.checks if one.name != check.name)
        return replace(self, checks=(*others, check))

    def summaries(self) -> list[dict[str, Any]]:
        """What each check has found; of one that has not begun, that."""
        found = []
        for name in self.asked:
            check = self.check(name)
            begun = {"check": name, "verdict": checks.OPEN, "margin": getattr(self.settings, name)}
            found.append(checks.summary(check, self.levels) if check else begun)
        return found

    def remembered(self, look: Mapping[str, Any]) -> Rollout:
        """With one more look; of many, every second is forgotten."""
        looks = (*self.looks, look)
        return replace(self, looks=looks if len(looks) <= _LOOKS else (*looks[:-1:2], looks[-1]))


def to_json(rollout: Rollout) -> dict[str, Any]:
    """The rollout as JSON has it."""
    plain = {name: getattr(rollout, name) for name in _PLAIN}
    return {
        "format": FORMAT,
        **plain,
        "subject": asdict(rollout.subject),
        "settings": rollout.settings.to_json(),
        "checks": [checks.to_json(check) for check in rollout.checks],
        "servers": {url: asdict(reading) for url, reading in rollout.servers.items()},
        "outcomes": {step: list(found) for step, found in rollout.outcomes.items()},
        "boundaries": [list(item) for item in rollout.boundaries],
        "action": None if rollout.action is None else asdict(rollout.action),
        "looks": list(rollout.looks),
    }


def from_json(found: Mapping[str, Any]) -> Rollout:
    """The rollout that `to_json` wrote."""
    kept = {name: value for name, value in found.items() if name != "format"}
    kept |= {
        "subject": Subject(**found["subject"]),
        "settings": canary(found["settings"]),
        "checks": tuple(checks.from_json(check) for check in found["checks"]),
        "servers": {url: Reading(**reading) for url, reading in found["servers"].items()},
        "outcomes": {step: tuple(sums) for step, sums in found["outcomes"].items()},
        "boundaries": tuple((float(time), int(share)) for time, share in found["boundaries"]),
        "action": None if found["action"] is None else Action(**found["action"]),
        "looks": tuple(found["looks"]),
    }
    return Rollout(**kept)
