"""One look at a rollout after the other: read, count, decide, act. Each look survives a kill at any place in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.rollout import acting, checks, policy
from headrace.pipelines.rollout.figures import Figures, Reading, since, total
from headrace.pipelines.rollout.reading import Pages
from headrace.pipelines.rollout.state import PAUSED, RUNNING, Rollout
from headrace.pipelines.rollout.store import Rollouts
from headrace.platforms.interface import Platform

Sums = Mapping[str, tuple[float, float, float, float]]  # by step: candidate's loss and count, baseline's
Outcomes = Callable[[Rollout], Sums]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Driver:
    """What a rollout is driven with."""

    platform: Platform
    rollouts: Rollouts
    look: Callable[[Rollout], Pages]
    outcomes: Outcomes | None = None
    say: Say = print
    clock: Callable[[], float] = time.time
    told: dict[str, str] = field(default_factory=dict)  # what was said of the outcomes last, not to say it at each look


def drive(driver: Driver, endpoint: str, every: float, *, wait: Callable[[float], object] = time.sleep) -> Rollout:
    """Looks every so many seconds until the rollout is over.

    A registry that cannot be written at the moment is said and tried again with the next look.

    Raises:
        HeadraceError: there is no rollout at the endpoint.
    """
    said = ""
    while True:
        try:
            rollout = once(driver, endpoint)
        except HeadraceError as error:
            if driver.rollouts.current(endpoint) is None:
                raise
            if str(error) != said:
                driver.say(f"cannot act, trying again: {error}")
            said = str(error)
        else:
            said = ""
            if rollout.over:
                return rollout
        wait(every)


def once(driver: Driver, endpoint: str) -> Rollout:
    """One look, and what follows from it.

    Raises:
        HeadraceError: there is no rollout at the endpoint, or the registry cannot be written.
    """
    before = driver.rollouts.current(endpoint)
    if before is None:
        raise HeadraceError(f"endpoint {endpoint}: expected a rollout. Received: none was ever begun there")
    if before.over:
        return before
    if before.action is not None:  # decided, and killed before it was known to be done
        return act(driver, endpoint)
    pages = driver.look(before)
    sums = _sums(driver, before)
    with driver.rollouts.change(endpoint) as change:
        rollout = change.rollout
        if rollout is None or rollout.action is not None or rollout.looked != before.looked:
            return rollout or _last(driver, endpoint)  # somebody else was faster: their look counts
        there = driver.platform.endpoints.get(endpoint)
        if not acting.is_so(rollout, rollout.share, there):
            rollout = change.save(acting.superseded(rollout, there))
            driver.say(f"superseded: {rollout.note}")
            return rollout
        rollout = change.save(_looked(driver, rollout, pages, sums))
    return act(driver, endpoint) if rollout.action is not None else rollout


def _looked(driver: Driver, rollout: Rollout, pages: Pages, sums: Sums) -> Rollout:
    """The rollout with what was seen, and with what follows planned."""
    now = driver.clock()
    failed = {**pages.failed, **_of_several(rollout, pages.readings)}
    if pages.readings:
        counted = total(_grown(rollout, url, new) for url, new in pages.readings.items())
        ever = total(since(None, new) for new in pages.readings.values())
        rollout = replace(policy.seen(rollout, counted, now, ever), servers={**rollout.servers, **pages.readings})
    else:
        rollout = policy.unseen(rollout, now)
    rollout = with_outcomes(rollout, sums)
    rollout = rollout.remembered(_remembered(rollout, now))
    decision = policy.decide(rollout, now)
    note = "; ".join([decision.reason, *failed.values()])
    if decision.kind in (policy.ADVANCE, policy.PROMOTE) and rollout.status == PAUSED:
        decision, note = policy.Decision(policy.HOLD, ""), f"paused, else: {note}"
    if decision.kind == policy.PAUSE and rollout.status == RUNNING:
        driver.say(f"paused: {decision.reason}")
        return replace(rollout, status=PAUSED, paused_at=now, note=decision.reason)
    if decision.kind in (policy.ADVANCE, policy.PROMOTE, policy.ROLLBACK):
        return acting.plan(rollout, decision.kind, decision.reason)
    if rollout.status == RUNNING and note != rollout.note and _newsworthy(rollout.note, note):
        driver.say(f"{rollout.share} %: waits for {note}")
    return replace(rollout, note=note)


def _grown(rollout: Rollout, url: str, new: Reading) -> Mapping[str, Figures]:
    """What a server counted since it was read last; all of one that began since then, or since the rollout did.

    Nothing of another one that ran before: what it counted is older, or was counted already.
    """
    before = rollout.servers.get(url)
    if before is not None and before.started == new.started:
        return since(before, new)
    return since(None, new) if _began_after(new, rollout.started if before is None else rollout.looked) else {}


def _of_several(rollout: Rollout, readings: Mapping[str, Reading]) -> dict[str, str]:
    """Which addresses are those of more than one server, as that of a load balancer: what they count is no use."""
    return {
        url: f"{url}: expected one server behind it. Received: pages of several, or of one whose clock is behind; "
        "name each with --metrics"
        for url, new in readings.items()
        if (before := rollout.servers.get(url)) is not None
        and before.started != new.started
        and not _began_after(new, rollout.looked)
    }


def _began_after(reading: Reading, moment: float) -> bool:
    try:
        return float(reading.started) >= moment
    except ValueError:
        return False


def act(driver: Driver, endpoint: str) -> Rollout:
    """Carries out what is planned, if it still is.

    Raises:
        HeadraceError: the registry refuses it, or cannot be written. It stays planned.
    """
    with driver.rollouts.change(endpoint) as change:
        rollout = change.rollout
        if rollout is None or rollout.action is None:
            return rollout or _last(driver, endpoint)
        kind = rollout.action.kind
        done = change.save(acting.carry_out(driver.platform, rollout, driver.clock()))
    subject = done.subject
    if not done.over and done.step == rollout.step:
        return done  # somebody paused it after that was decided
    if done.over:
        driver.say(f"{done.status}: {done.note}")
    else:
        driver.say(f"{kind}: {subject.model}:{subject.candidate} has {done.share} % now: {done.note}")
    return done


def with_outcomes(rollout: Rollout, sums: Sums) -> Rollout:
    """The rollout after the ground truth that came since the last look: each step's answers for themselves."""
    if "outcomes" not in rollout.asked or not sums:
        return rollout
    check = rollout.check("outcomes") or checks.new_check("outcomes", rollout.settings.outcomes or 0.0)
    counted = dict(rollout.outcomes)
    for step, now in sums.items():
        before = rollout.outcomes.get(step, (0.0, 0.0, 0.0, 0.0))
        if any(after < was - 1e-9 for after, was in zip(now, before, strict=True)):
            continue  # a file is just being written anew, or was taken away: what was counted must not count again
        new = [max(0.0, after - was) for after, was in zip(now, before, strict=True)]
        found = (min(new[0], new[1]), new[1], min(new[2], new[3]), new[3])
        check = checks.outcome_look(check, found, rollout.settings.requests_per_key)
        counted[step] = now
    return replace(rollout.with_check(check), outcomes=counted)


def _sums(driver: Driver, rollout: Rollout) -> Sums:
    """What the outcomes say; where they cannot be read, that is said, and nothing came."""
    if driver.outcomes is None or "outcomes" not in rollout.asked:
        return {}
    try:
        found = driver.outcomes(rollout)
    except HeadraceError as error:
        if driver.told.get(rollout.id) != str(error):
            driver.say(f"outcomes: {error}")
        driver.told[rollout.id] = str(error)
        return {}
    driver.told.pop(rollout.id, None)
    return found


def _remembered(rollout: Rollout, now: float) -> dict[str, Any]:
    """One look, for the report."""
    told = {}
    for found in rollout.summaries():
        keep = ("verdict", "difference", "between", "e_harm", "e_health")
        told[found["check"]] = {name: found[name] for name in keep if name in found}
    return {"time": now, "share": rollout.share, "requests": rollout.step_requests, "checks": told}


def _newsworthy(before: str, now: str) -> bool:
    """Whether a note says something else than other numbers."""
    return _words(before) != _words(now)


def _words(text: str) -> str:
    return "".join(letter for letter in text if not letter.isdigit() and letter not in ".,")


def _last(driver: Driver, endpoint: str) -> Rollout:
    found = driver.rollouts.current(endpoint)
    assert found is not None  # rollouts are kept
    return found
