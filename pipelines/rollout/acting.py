"""What a rollout changes behind its endpoint, and how it finds out what became of a change when it was killed in
between.

A change is kept before it is done. The registry takes it only if the endpoint is as it was when it was decided, so
of two who act at once one is told; and an endpoint that is as neither before nor after was changed by somebody else,
who is right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.pipelines.rollout import checks
from headrace.pipelines.rollout.state import (
    ABORTED,
    PAUSED,
    PROMOTED,
    ROLLED_BACK,
    SUPERSEDED,
    Action,
    Rollout,
)
from headrace.platforms.interface import REJECTED, ChampionChanged, Deployed, Endpoint, Platform
from headrace.platforms.local.account import who_asks

ADVANCE, PROMOTE, ROLLBACK, ABORT = "advance", "promote", "rollback", "abort"
_ENDS = {PROMOTE: PROMOTED, ROLLBACK: ROLLED_BACK, ABORT: ABORTED}


def wanted(rollout: Rollout, share: int, now: Endpoint | None) -> tuple[Deployed, ...]:
    """All that is to be behind the endpoint when the candidate has a share; other shadows stay."""
    subject = rollout.subject
    ours = (subject.candidate, subject.baseline)
    kept = [one for one in (now.shadows if now else ()) if one.version not in ours]
    shares = {subject.candidate: share, subject.baseline: 100 - share}
    return (*(Deployed(subject.model, version, part) for version, part in shares.items() if part), *kept)


def is_so(rollout: Rollout, share: int, now: Endpoint | None) -> bool:
    """Whether the candidate has this share, and the version before all the rest."""
    answering = {one.version: one.traffic for one in now.deployed if not one.shadow} if now else {}
    subject = rollout.subject
    expected = {subject.candidate: share, subject.baseline: 100 - share}
    return answering == {version: part for version, part in expected.items() if part}


def plan(rollout: Rollout, kind: str, reason: str, who: str = "") -> Rollout:
    """The rollout with a change that is still to be done, and the evidence for it."""
    share = {ADVANCE: rollout.settings.steps[min(rollout.step + 1, len(rollout.settings.steps) - 1)], PROMOTE: 100}
    action = Action(kind, share.get(kind, 0), reason, who or f"rollout of {who_asks()}", evidence(rollout))
    return replace(rollout, action=action)


def evidence(rollout: Rollout) -> dict[str, Any]:
    """What is known, for the audit log."""
    return {
        "rollout": rollout.id,
        "candidate": rollout.subject.candidate,
        "baseline": rollout.subject.baseline,
        "step": rollout.share,
        "requests_in_step": int(rollout.step_requests),
        "slow_seconds": rollout.slow,
        "false_rollback": rollout.settings.false_rollback,
        "missed_regression": rollout.settings.missed_regression,
        "checks": rollout.summaries(),
        **({"settings": rollout.settings.to_json()} if rollout.step < 0 else {}),  # whoever goes on needs them
    }


def carry_out(platform: Platform, rollout: Rollout, now: float) -> Rollout:
    """Does what was planned, unless it is done already; the rollout as it stands then.

    Raises:
        HeadraceError: the registry cannot be written. What was planned stays planned.
    """
    action = rollout.action
    assert action is not None
    subject = rollout.subject
    there = platform.endpoints.get(subject.endpoint)
    if not is_so(rollout, action.share, there):
        if not is_so(rollout, rollout.share, there):
            return superseded(rollout, there)
        if rollout.status == PAUSED and action.kind in (ADVANCE, PROMOTE):  # by somebody, after it was decided
            return replace(rollout, action=None)
        try:
            platform.endpoints.split(
                subject.endpoint,
                wanted(rollout, action.share, there),
                key=there.split.key if there and there.split else "",
                expected=there,
                who=action.who,
                reason=action.reason,
                run=rollout.id,
                evidence=action.evidence,
            )
        except ChampionChanged:
            return superseded(rollout, platform.endpoints.get(subject.endpoint))
    if action.kind == ROLLBACK:
        _reject(platform, rollout, action)
    return _done(rollout, action, now)


def _reject(platform: Platform, rollout: Rollout, action: Action) -> None:
    """Marks what did harm, so that the next run does not push it again. Who was not seen has done none."""
    if not any(found["verdict"] == checks.HARM for found in action.evidence["checks"]):
        return
    subject = rollout.subject
    found = platform.registry.get(subject.model, subject.candidate)
    if found.state == REJECTED or found.endpoints:  # done before a kill; or somebody serves it elsewhere too
        return
    reason = f"taken back from endpoint {subject.endpoint}: {action.reason}"[:2000]
    platform.registry.transition(subject.model, subject.candidate, REJECTED, who=action.who, reason=reason)


def _done(rollout: Rollout, action: Action, now: float) -> Rollout:
    rollout = replace(rollout, action=None, note=action.reason)
    if action.kind in _ENDS:
        return replace(rollout, status=_ENDS[action.kind])
    boundaries = (*rollout.boundaries, (now, action.share))
    rollout = replace(rollout, boundaries=boundaries, step=rollout.step + 1, step_since=now)
    begun = tuple(checks.next_step(check) for check in rollout.checks)
    return replace(rollout, checks=begun, step_requests=0.0, missed=0.0, blind_since=None)


def superseded(rollout: Rollout, there: Endpoint | None) -> Rollout:
    """The rollout after somebody else changed the endpoint."""
    shares = ", ".join(f"{one.version} {one.traffic} %" for one in there.deployed) if there else "nothing"
    note = f"expected version {rollout.subject.candidate} to have {rollout.share} %. Received: {shares}; it was changed"
    return replace(rollout, status=SUPERSEDED, action=None, note=note)
