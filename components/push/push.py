"""From a registered version and the evidence on it to an endpoint that serves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.components.register.blessing import require_decision, require_infra
from headrace.platforms.interface import CHAMPION, LIVE, Deployed, Platform, WaitsForApproval
from headrace.platforms.lifecycle import check_deployable

WAITS = "waits for approval"


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
    state: str = LIVE  # or `WAITS`: then nothing was changed, and people have to say yes first


def push(
    platform: Platform,
    name: str,
    version: str,
    evidence: Evidence,
    endpoint: str,
    *,
    run: str = "",
    approvals: int = 0,
) -> Pushed:
    """Puts all of an endpoint's traffic on a version and makes it the model's champion.

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
        platform.endpoints.deploy(endpoint, name, registered.version, run=run, expected_champion=seen)
    except WaitsForApproval as waits:
        print(f"{WAITS}: {waits}")
        return Pushed(endpoint, registered.version, changed=False, before=before, state=WAITS)
    print(f"endpoint {endpoint} now serves {name} version {registered.version} (before: {before or 'nothing'})")
    return Pushed(endpoint, registered.version, changed=True, before=before)
