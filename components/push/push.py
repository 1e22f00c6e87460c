"""From a registered version and the evidence on it to an endpoint that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.components.push.canary import Canary
from headrace.components.register.blessing import require_decision, require_infra
from headrace.platforms.interface import (
    CHAMPION,
    LIVE,
    ChampionChanged,
    Deployed,
    Endpoint,
    ModelVersion,
    Platform,
    WaitsForApproval,
)
from headrace.platforms.lifecycle import check_deployable

WAITS = "waits for approval"
CANARY = "canary"
BEHIND = "waits for another rollout"


@dataclass(frozen=True)
class Evidence:
    """What must speak for a version before it is pushed."""

    decision: Path  # the gate's decision, headrace/decision
    infra: Path  # the real server's answers, headrace/infra


@dataclass(frozen=True)
class Pushed:
    """What pushing did."""

    endpoint: str
    version: str
    changed: bool  # False: this version was there already
    before: str | None  # "model/version" that served before, if any
    state: str = LIVE
    """`WAITS`: nothing was changed, people have to say yes first. `CANARY`: it has the first share of the traffic.
    `BEHIND`: nothing was changed, another version is on its way."""


def push(
    platform: Platform,
    name: str,
    version: str,
    evidence: Evidence,
    endpoint: str,
    *,
    run: str = "",
    approvals: int = 0,
    canary: Canary | None = None,
) -> Pushed:
    """Puts all of an endpoint's traffic on a version and makes it the model's champion.

    With `canary`, and where a version of the model serves already, it gets the first share instead: the champion stays,
    and `headrace rollout start ENDPOINT` goes on from there.

    Pushing the version that is there already changes nothing. Any other is pushed only while the champion is
    the one that the decision compared it with: of two runs at once, the second has to be judged again. A version that
    lacks approvals, of those that the registry or `approvals` ask for, is not pushed. That is no error: it waits.

    Raises:
        NotAllowed: the version was rejected or archived.
        ChampionChanged: another version became the champion since the decision.
        NotBlessed: the decision or the server's report is about another bundle, or not passed.
        HeadraceError: the version is not registered, the evidence is damaged, or the platform refuses.
    """
    registered = platform.registry.get(name, version)
    verdict = require_decision(evidence.decision, registered.digest)
    require_infra(evidence.infra, registered.digest)
    current = platform.endpoints.get(endpoint)
    before = None if current is None else f"{current.main.model}/{current.main.version}"
    wanted = (Deployed(name, registered.version, 100),)
    if current is not None and current.deployed == wanted and CHAMPION in registered.aliases:
        print(f"endpoint {endpoint} serves {name} version {registered.version} already: nothing to push")
        return Pushed(endpoint, registered.version, changed=False, before=before)
    seen = verdict.champion_digest
    try:
        check_deployable(registered, max(approvals, registered.approvals_needed))
        if canary is not None and current is not None and current.main.model == name:
            return _first_share(platform, registered, current, seen, canary, run)
        platform.endpoints.deploy(endpoint, name, registered.version, run=run, expected_champion=seen)
    except WaitsForApproval as waits:
        print(f"{WAITS}: {waits}")
        return Pushed(endpoint, registered.version, changed=False, before=before, state=WAITS)
    print(f"endpoint {endpoint} now serves {name} version {registered.version} (before: {before or 'nothing'})")
    return Pushed(endpoint, registered.version, changed=True, before=before)


def _first_share(
    platform: Platform, new: ModelVersion, there: Endpoint, seen: str | None, canary: Canary, run: str
) -> Pushed:
    """Gives a version the first step of a canary release, beside the champion that it was judged against."""
    base, candidates = there.base, [one.version for one in there.candidates]
    before = f"{base.model}/{base.version}"
    if new.version in candidates:
        print(f"endpoint {there.name} has {new.name} version {new.version} on its way already: nothing to push")
        return Pushed(there.name, new.version, changed=False, before=before, state=CANARY)
    if candidates:
        print(
            f"{BEHIND}: endpoint {there.name} is rolling out {new.name} version {', '.join(candidates)}. When that is "
            f"over, run again, or `headrace rollout start {new.name}:{new.version}`"
        )
        return Pushed(there.name, new.version, changed=False, before=before, state=BEHIND)
    if platform.registry.get(base.model, base.version).digest != seen:
        raise ChampionChanged(
            f"the champion of {new.name} changed while this run was judged; run again. "
            f"expected: {'none' if seen is None else seen[:19]}. Received: version {base.version}"
        )
    share = canary.steps[0]
    kept = [one for one in there.shadows if one.version != new.version]
    parts = [
        Deployed(new.name, new.version, share),
        *([Deployed(new.name, base.version, 100 - share)] if share < 100 else []),
    ]
    told = {"candidate": new.version, "settings": canary.to_json()}
    key = there.split.key if there.split else ""
    reason = f"canary: the first of {len(canary.steps)} steps"
    platform.endpoints.split(
        there.name, [*parts, *kept], key=key, expected=there, run=run, reason=reason, evidence=told
    )
    print(f"endpoint {there.name} gives {new.name} version {new.version} {share} % of the traffic (before: {before})")
    if share == 100:
        return Pushed(there.name, new.version, changed=True, before=before)
    print(f"`headrace rollout start {there.name}` takes it from there")
    return Pushed(there.name, new.version, changed=True, before=before, state=CANARY)
