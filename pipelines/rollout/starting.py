"""How a rollout begins or goes on, and what a person may do with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.canary import Canary, canary
from headrace.pipelines.rollout import acting, driving
from headrace.pipelines.rollout.driving import Driver
from headrace.pipelines.rollout.policy import several
from headrace.pipelines.rollout.state import ABORTED, PAUSED, RUNNING, Rollout, Subject
from headrace.platforms.interface import REJECTED, Endpoint, Platform

BEGUN, WENT_ON = "begun", "went on"


def endpoint_of(platform: Platform, name: str, endpoint: str = "") -> str:
    """The endpoint that is meant: by name, or the one that serves the model of `churn:4`, or that its spec names.

    Raises:
        HeadraceError: several endpoints serve the model, or there is no such endpoint.
    """
    model, separator, _ = name.partition(":")
    if endpoint or (not separator and platform.endpoints.get(name) is not None):
        return endpoint or name
    serving = [one.name for one in platform.endpoints.list() if one.main.model == model]
    if len(serving) > 1:
        raise HeadraceError(
            f"endpoint: expected one of {', '.join(serving)}, which serve {model}. Received: none named"
        )
    return serving[0] if serving else platform.registry.settings(model).endpoint or model


def start(
    driver: Driver, name: str, endpoint: str, asked: Mapping[str, Any], *, reason: str = "", who: str = ""
) -> tuple[Rollout, str]:
    """Begins a rollout, or finds the one that goes on; and whether it was `BEGUN` or `WENT_ON`.

    Args:
        driver: with which it is driven.
        name: the candidate as `churn:4`; or the endpoint, whose split a push began.
        endpoint: where.
        asked: settings, by the names of `Canary`, in place of what the push asked for, or of the defaults.
        reason: why, in words.
        who: who asks for it.

    Raises:
        NotAllowed: the candidate may not serve.
        HeadraceError: nothing serves there, another version is being rolled out, or there is nothing to roll out.
    """
    current = driver.rollouts.current(endpoint)
    if current is not None and not current.over:
        return _goes_on(current, name, asked, driver.platform), WENT_ON
    rollout = _new(driver, name, endpoint, asked)
    if rollout.step < 0:
        rollout = acting.plan(rollout, acting.ADVANCE, reason or f"canary of {rollout.subject.candidate}", who)
    with driver.rollouts.change(endpoint) as change:
        if change.rollout is not None:
            raise HeadraceError(f"endpoint {endpoint}: expected no rollout. Received: one that began at the same time")
        change.save(rollout)
    if rollout.action is None:
        return rollout, BEGUN
    try:
        return driving.act(driver, endpoint), BEGUN
    except HeadraceError as error:
        with driver.rollouts.change(endpoint) as change:
            if change.rollout is not None:
                change.save(replace(change.rollout, status=ABORTED, action=None, note=f"not begun: {error}"))
        raise


def _goes_on(current: Rollout, name: str, asked: Mapping[str, Any], platform: Platform) -> Rollout:
    subject = current.subject
    _, separator, version = name.partition(":")
    if separator and platform.registry.get(subject.model, version).version != subject.candidate:
        raise HeadraceError(
            f"endpoint {subject.endpoint}: expected to go on with {subject.model}:{subject.candidate}, which is being "
            f"rolled out. Received: {name}; `headrace rollout abort {subject.endpoint} --reason ...` ends that first"
        )
    kept = current.settings.to_json()
    changed = [key for key, value in asked.items() if kept[key] != (list(value) if key == "steps" else value)]
    if changed:
        raise HeadraceError(
            f"endpoint {subject.endpoint}: expected the settings that its rollout began with, on which its error rates "
            f"rest. Received: another {', '.join(changed)}"
        )
    return current


def _new(driver: Driver, name: str, endpoint: str, asked: Mapping[str, Any]) -> Rollout:
    platform, now = driver.platform, driver.clock()
    there = platform.endpoints.get(endpoint)
    model, separator, version = name.partition(":")
    if there is None:
        raise HeadraceError(
            f"endpoint {endpoint}: expected one that serves a version already, to hold the new one against. "
            f"Received: nothing there; `headrace models promote {name if separator else 'MODEL:VERSION'} --reason ...`"
        )
    if separator and there.main.model != model:
        raise HeadraceError(f"endpoint {endpoint}: expected one that serves {model}. Received: {there.main.model}")
    model = there.main.model
    candidate = platform.registry.get(model, version).version if separator else _candidate(there)
    subject = _subject(platform, there, candidate)
    share = next((one.traffic for one in there.candidates if one.version == candidate), 0)
    settings = canary({**(_of_push(platform, there, candidate) if share else {}), **asked})
    if share and share not in settings.steps:
        raise HeadraceError(
            f"endpoint {endpoint}: expected version {candidate} at one of the steps "
            f"{', '.join(map(str, settings.steps))}. Received: {share} percent; give --steps with it"
        )
    others = [one.version for one in there.candidates if one.version != candidate]
    if others:
        raise HeadraceError(
            f"endpoint {endpoint}: expected two versions at most. Received: also {', '.join(others)}; `headrace models "
            f"rollback {model} --endpoint {endpoint} --reason ...` takes out what is beside the champion"
        )
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    rollout = Rollout(f"rollout-{endpoint}-{candidate}-{stamp}-{os.urandom(2).hex()}", subject, settings, now)
    if settings.steps == (100,):
        raise HeadraceError(
            f"steps: expected one below 100. Received: 100; `headrace models promote {model}:{candidate}`"
        )
    if there.split is not None and there.split.key and settings.requests_per_key == 1:
        driver.say(
            f"the traffic is dealt by the header {there.split.key}: where one key sends many requests, say how many by "
            "--requests-per-key; the error rates do not hold otherwise"
        )
    if not share:
        return rollout
    step = settings.steps.index(share)
    return replace(rollout, step=step, step_since=now, boundaries=((now, share),))


def _candidate(there: Endpoint) -> str:
    if len(there.candidates) == 1:
        return there.candidates[0].version
    found = ", ".join(one.version for one in there.candidates) or "none"
    raise HeadraceError(
        f"endpoint {there.name}: expected one new version beside {label_of(there)}. Received: {found}; "
        f"name it, as `headrace rollout start {there.base.model}:VERSION`"
    )


def label_of(there: Endpoint) -> str:
    """The version that was deployed, as `churn:3`."""
    return f"{there.base.model}:{there.base.version}"


def _subject(platform: Platform, there: Endpoint, candidate: str) -> Subject:
    model, baseline = there.base.model, there.base.version
    if candidate == baseline:
        raise HeadraceError(
            f"endpoint {there.name}: expected another version than {label_of(there)}, which serves. "
            f"Received: {candidate}"
        )
    digests = {version: platform.registry.get(model, version).digest for version in (candidate, baseline)}
    return Subject(there.name, model, candidate, baseline, digests)


def _of_push(platform: Platform, there: Endpoint, candidate: str) -> dict[str, Any]:
    """The settings that the push asked for, which began the split."""
    for event in reversed(platform.registry.history(there.name)):
        told = event.detail.get("evidence")
        if event.action == "split" and isinstance(told, Mapping) and str(told.get("candidate")) == candidate:
            found = told.get("settings")
            return dict(found) if isinstance(found, Mapping) else {}
    return {}


def pause(driver: Driver, endpoint: str, reason: str, who: str) -> Rollout:
    """Keeps a rollout where it is. Harm still ends it.

    Raises:
        HeadraceError: none goes on there.
    """
    with driver.rollouts.change(endpoint) as change:
        rollout = _going_on(change.rollout, endpoint)
        if rollout.status == PAUSED:
            return rollout
        note = f"paused by {who}: {reason}"
        return change.save(replace(rollout, status=PAUSED, paused_at=driver.clock(), note=note))


def resume(driver: Driver, endpoint: str, reason: str, who: str) -> Rollout:
    """Lets a rollout go on; the time that it may be in doubt begins anew.

    Raises:
        HeadraceError: none goes on there.
    """
    with driver.rollouts.change(endpoint) as change:
        rollout = _going_on(change.rollout, endpoint)
        spent = driver.clock() - rollout.started
        note = f"resumed by {who}: {reason}"
        return change.save(replace(rollout, status=RUNNING, paused=spent, paused_at=None, note=note))


def abort(driver: Driver, endpoint: str, reason: str, who: str, *, reject: bool = False) -> Rollout:
    """Gives everything back to the version before; with `reject` the candidate is not to be pushed again.

    Raises:
        HeadraceError: none goes on there, or the registry cannot be written.
    """
    with driver.rollouts.change(endpoint) as change:
        rollout = _going_on(change.rollout, endpoint)
        there = driver.platform.endpoints.get(endpoint)
        if rollout.action is not None and acting.is_so(rollout, rollout.action.share, there):  # killed right after
            rollout = change.save(acting.carry_out(driver.platform, rollout, driver.clock()))
        if not rollout.over:
            change.save(acting.plan(rollout, acting.ABORT, f"aborted: {reason}", who))
    if rollout.over:
        raise HeadraceError(
            f"endpoint {endpoint}: expected a rollout that goes on. Received: one that has just been "
            f"{rollout.status}; `headrace models rollback {endpoint} --reason ...` undoes a promotion"
        )
    rollout = driving.act(driver, endpoint)
    registry, subject = driver.platform.registry, rollout.subject
    if reject and rollout.status == ABORTED:
        found = registry.get(subject.model, subject.candidate)
        if found.state != REJECTED:
            registry.transition(subject.model, subject.candidate, REJECTED, who=who, reason=reason)
    return rollout


def _going_on(rollout: Rollout | None, endpoint: str) -> Rollout:
    if rollout is None:
        raise HeadraceError(f"endpoint {endpoint}: expected a rollout that goes on. Received: none")
    return rollout


def described(settings: Canary) -> str:
    """The settings in a line."""
    checks = [f"{name} within {getattr(settings, name):g}" for name in ("errors", "latency", "drift", "outcomes")
              if getattr(settings, name) is not None]  # fmt: skip
    steps = ", ".join(f"{step} %" for step in settings.steps)
    least = f"at least {several(settings.step_minutes, 'minute')} and {several(settings.step_requests, 'request')} each"
    return f"{steps}; {least}; {', '.join(checks)}"
