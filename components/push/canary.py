"""What a canary release is asked to do: its steps, and what has to be shown on the way. Read without pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

from headrace.artifacts.errors import HeadraceError

STEPS = (1, 5, 25, 50, 100)
PROVE = ("last", "each")
MARGINS = ("errors", "latency", "drift", "outcomes")
OFF = "off"  # a margin where there is no null: the check is left out
UNDECIDED = ("pause", "rollback")


@dataclass(frozen=True)
class Canary:
    """How a new version gets more and more of the traffic, and what takes it away again.

    The margins `errors`, `latency`, `drift` and `outcomes` are differences of shares: 0.005 is half a percentage
    point. A difference up to the margin counts as none; None leaves the check out.
    """

    steps: tuple[int, ...] = STEPS  # percent of the traffic, the last is 100
    step_minutes: float = 10.0  # that each step takes at least
    step_requests: int = 500  # that the new version answers in each step at least
    errors: float | None = 0.005  # more failed requests
    latency: float | None = 0.02  # more requests slower than `slow_seconds`
    slow_seconds: float | None = None  # None: what 99 % of the requests of the version before stay below
    drift: float | None = 0.1  # of the predictions: the largest difference of their cumulative shares
    outcomes: float | None = 0.02  # a larger mean loss, where ground truth is joined
    false_rollback: float = 0.01  # how often a version that is not worse may be taken back, over all checks and looks
    missed_regression: float = 0.05  # how often a version that is worse may be promoted
    prove: str = "last"  # before which steps every check has to be passed: the last one, or each
    most_hours: float = 24.0  # after which a rollout that still is in doubt ends as `undecided` says
    undecided: str = "pause"
    requests_per_key: float = 1.0  # where a key decides who answers: requests of one key are alike, and count as one
    blind_minutes: float = 5.0  # without figures of the new version, after which it is taken back

    def __post_init__(self) -> None:
        steps = self.steps
        whole = all(isinstance(step, int) and not isinstance(step, bool) for step in steps)
        rising = whole and all(low < high for low, high in pairwise(steps))
        _check(
            bool(steps) and rising and steps[0] >= 1 and steps[-1] == 100,
            "steps",
            "whole percentages that rise, from 1 or more to 100",
            list(steps),
        )
        for name in MARGINS:
            margin = getattr(self, name)
            _check(margin is None or 0 < margin < 1, name, "a share above 0 and below 1, or null", margin)
        for name in ("false_rollback", "missed_regression"):
            share = getattr(self, name)
            _check(0 < share <= 0.5, name, "a probability above 0, up to 0.5", share)
        for name in ("step_minutes", "most_hours", "blind_minutes"):
            _check(0 <= getattr(self, name) < 1e6, name, "0 or more", getattr(self, name))
        _check(self.step_requests >= 1, "step_requests", "1 or more", self.step_requests)
        _check(self.requests_per_key >= 1, "requests_per_key", "1 or more", self.requests_per_key)
        _check(self.slow_seconds is None or self.slow_seconds > 0, "slow_seconds", "more than 0", self.slow_seconds)
        _check(self.prove in PROVE, "prove", " or ".join(PROVE), self.prove)
        _check(self.undecided in UNDECIDED, "undecided", " or ".join(UNDECIDED), self.undecided)
        _check(any(getattr(self, name) is not None for name in MARGINS),
               "canary", "one check at least, of errors, latency, drift, outcomes", "none")  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "steps": list(self.steps)}


def canary(found: Mapping[str, Any]) -> Canary:
    """Reads what a compiled pipeline, an audit log or a command line says; what it does not say has its default.

    Raises:
        HeadraceError: an unknown setting, or one that cannot be.
    """
    known = {item.name for item in fields(Canary)}
    unknown = sorted(set(found) - known)
    if unknown:
        raise HeadraceError(f"canary: expected only {', '.join(sorted(known))}. Received: {', '.join(unknown)}")
    values: dict[str, Any] = {
        name: None if name in MARGINS and value == OFF else value for name, value in found.items()
    }
    if "steps" in values:
        _check(isinstance(values["steps"], list | tuple), "steps", "a list of percentages", values["steps"])
        values["steps"] = tuple(values["steps"])
    try:
        return Canary(**values)
    except TypeError as error:
        raise HeadraceError(f"canary: expected numbers. Received: {dict(found)} ({error})") from None


def _check(fine: bool, what: str, expected: str, received: object) -> None:
    if not fine:
        raise HeadraceError(f"{what}: expected {expected}. Received: {received}")
