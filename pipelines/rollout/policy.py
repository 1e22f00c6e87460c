"""What a rollout does next: pure functions of what it remembers, of the counts and of the time.

Harm ends it at once. Doubt never promotes: without figures, and at the end of its time, a rollout goes back or waits
for a person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.pipelines.rollout import checks
from headrace.pipelines.rollout.figures import Figures
from headrace.pipelines.rollout.state import PAUSED as STOPPED
from headrace.pipelines.rollout.state import Rollout

HOLD, ADVANCE, PROMOTE, ROLLBACK, PAUSE = "hold", "advance", "promote", "rollback", "pause"
_MISSED = 10.0  # requests that should have come and did not: by chance with a probability below 5 in 100,000


@dataclass(frozen=True)
class Decision:
    """What to do, and why."""

    kind: str
    reason: str


def seen(
    rollout: Rollout, counted: Mapping[str, Figures], now: float, ever: Mapping[str, Figures] | None = None
) -> Rollout:
    """The rollout after what the servers counted since its last look.

    Args:
        rollout: before.
        counted: what each version answered since.
        now: seconds since 1970.
        ever: what each version answered since the servers began, to find what is slow; by default `counted`.
    """
    candidate = counted.get(rollout.subject.candidate, Figures())
    baseline = counted.get(rollout.subject.baseline, Figures())
    rollout = _begun(rollout, (candidate, baseline), (ever or counted).get(rollout.subject.baseline, Figures()))
    alike = rollout.settings.requests_per_key
    for check in rollout.checks:
        if check.name != "outcomes":
            rollout = rollout.with_check(checks.look(check, candidate, baseline, rollout.slow, alike))
    missed = 0.0 if candidate.requests else rollout.missed + baseline.requests * rollout.share / (100 - rollout.share)
    blind = None if missed < _MISSED else rollout.blind_since if rollout.blind_since is not None else now
    return replace(
        rollout,
        looked=now,
        step_requests=rollout.step_requests + candidate.requests,
        missed=missed,
        blind_since=blind,
    )


def unseen(rollout: Rollout, now: float) -> Rollout:
    """The rollout when no server answered. A time in which nobody looked either is no time without an answer."""
    last = rollout.looks[-1]["time"] if rollout.looks else now
    anew = rollout.blind_since is None or now - last >= max(rollout.settings.blind_minutes * 60, 1)
    return replace(rollout, blind_since=now if anew else rollout.blind_since)


def _begun(rollout: Rollout, counted: tuple[Figures, Figures], ever: Figures) -> Rollout:
    """Begins the checks that the counts allow to begin."""
    if rollout.check("errors") is None and "errors" in rollout.asked:
        rollout = rollout.with_check(checks.new_check("errors", rollout.settings.errors or 0.0))
    if rollout.check("latency") is None and rollout.slow is not None and "latency" in rollout.asked:
        rollout = rollout.with_check(checks.new_check("latency", rollout.settings.latency or 0.0))
    if rollout.check("drift") is None and "drift" in rollout.asked:
        keys = checks.drift_keys(*counted)
        if keys:
            rollout = rollout.with_check(checks.new_check("drift", rollout.settings.drift or 0.0, keys))
    if (
        rollout.slow is None
    ):  # what is slow is decided by what came before it is used: the checks begin with the next look
        rollout = replace(rollout, slow=checks.slow_bound(ever, rollout.settings.slow_seconds))
    return rollout


def decide(rollout: Rollout, now: float) -> Decision:
    """What follows from what is known."""
    found = {name: _verdict(rollout, name) for name in rollout.asked}
    harmed = [name for name, verdict in found.items() if verdict == checks.HARM]
    if harmed:
        return Decision(ROLLBACK, "; ".join(harm(rollout, name) for name in harmed))
    blind = _blind(rollout, now)
    if blind:
        return Decision(ROLLBACK, blind)
    if now - rollout.started - rollout.paused >= rollout.settings.most_hours * 3600:
        hours = several(rollout.settings.most_hours, "hour")
        doubt = f"still in doubt after {hours}: {_open(found) or 'too few requests'}"
        by_itself = rollout.settings.undecided == "rollback" and rollout.status != STOPPED  # not what a person paused
        return Decision(ROLLBACK if by_itself else PAUSE, doubt)
    waits = _waits(rollout, found, now)
    if waits:
        return Decision(HOLD, waits)
    last = rollout.step >= len(rollout.settings.steps) - 2
    passed = ", ".join(name for name, verdict in found.items() if verdict == checks.PASSED)
    words = f"{passed} passed" if passed else "no harm found"
    return Decision(
        PROMOTE if last else ADVANCE, f"{words} with {several(int(rollout.step_requests), 'request')} in this step"
    )


def _verdict(rollout: Rollout, name: str) -> str:
    check = rollout.check(name)
    return checks.OPEN if check is None else checks.verdict(check, rollout.levels)


def harm(rollout: Rollout, name: str) -> str:
    """What harm a check has found, in words with its numbers."""
    check = rollout.check(name)
    assert check is not None  # it has found harm
    told = checks.summary(check, rollout.levels)
    new, old = told["candidate"], told["baseline"]
    what = {
        "errors": "failed requests",
        "latency": f"requests slower than {rollout.slow or 0:g} s",
        "drift": f"predictions {told.get('at', '')}",
        "outcomes": "mean loss",
    }[name]
    return (
        f"{name}: {what} {_percent(new['share'])} of {new['requests']:,} against {_percent(old['share'])} of "
        f"{old['requests']:,}, more than {_percent(told['margin'])} apart with certainty "
        f"(evidence {told['e_harm']:,g}, harm at {told['harm_at']:,g})"
    )


def _blind(rollout: Rollout, now: float) -> str:
    """Why nobody knows how the candidate does; empty where somebody does, or has not had to wait for long."""
    minutes = rollout.settings.blind_minutes
    if rollout.blind_since is None or now - rollout.blind_since < minutes * 60:
        return ""
    if rollout.missed >= _MISSED:
        missed = f"expected some {int(rollout.missed):,} requests to reach version {rollout.subject.candidate}"
        return f"{missed}. Received: none for {several(minutes, 'minute')}; the server may have refused it"
    return f"no server has answered for {several(minutes, 'minute')}"


def _waits(rollout: Rollout, found: Mapping[str, str], now: float) -> str:
    """What the step still needs; empty where it has all."""
    settings = rollout.settings
    if rollout.blind_since is not None:
        return "figures of the new version"
    seconds = settings.step_minutes * 60 - (now - rollout.step_since)
    requests = settings.step_requests - rollout.step_requests
    needs = []
    if seconds > 0:
        needs.append(f"{seconds / 60:.0f} minutes" if seconds > 90 else several(math.ceil(seconds), "second"))
    if requests > 0:
        needs.append(several(math.ceil(requests), "request"))
    last = rollout.step >= len(settings.steps) - 2
    if (last or settings.prove == "each") and _open(found):
        needs.append(f"evidence on {_open(found)}")
    return " and ".join(needs)


def _open(found: Mapping[str, str]) -> str:
    return ", ".join(name for name, verdict in found.items() if verdict == checks.OPEN)


def several(count: float, unit: str) -> str:
    """A count with its unit, which is plural for all but 1."""
    return f"{count:,.10g} {unit}{'s' * (count != 1)}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.3g} %"
