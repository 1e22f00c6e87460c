"""A person's promotion: the same rules as a run's push, on every platform."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.artifacts.decision import UNRECORDED
from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import ChampionChanged, Deployed, ModelVersion, Platform
from headrace.platforms.lifecycle import check_deployable, label, motive, person


@dataclass(frozen=True)
class Promoted:
    """What a promotion did."""

    endpoint: str
    version: ModelVersion  # as it is now
    before: str  # the model's version that was the champion; empty where there was none
    changed: bool  # False: the endpoint served this version already


def promote(
    platform: Platform, name: str, version: str, *, who: str, reason: str, endpoint: str = "", anyway: bool = False
) -> Promoted:
    """Puts a registered version behind its model's endpoint. Of two promotions at once, the second is told.

    Args:
        platform: where the registry is.
        name: the model's name.
        version: a version's number or alias.
        who: who asks for it.
        reason: why.
        endpoint: where; by default the one that serves the model, else that of its spec, else one of its name.
        anyway: also where the version was never held against the champion of now.

    Raises:
        ChampionChanged: the version was judged against another champion; or somebody else was faster.
        WaitsForApproval: approvals are lacking.
        NotAllowed: the version is a candidate, rejected or archived.
        HeadraceError: there is no such version, or several endpoints serve the model.
    """
    who, reason = person(who), motive(reason)
    registered, champion = platform.registry.get(name, version), platform.registry.champion(name)
    check_deployable(registered, registered.approvals_needed)
    where = endpoint or _endpoint(name, champion) or platform.registry.settings(name).endpoint or name
    serving = platform.endpoints.get(where)
    before = champion.version if champion else ""
    if (
        serving is not None
        and serving.deployed == (Deployed(name, registered.version, 100),)
        and before == (registered.version)
    ):
        return Promoted(where, registered, before, changed=False)
    if not anyway:
        _require_compared(platform, registered, champion)
    expected = champion.digest if champion else None
    platform.endpoints.deploy(where, name, registered.version, expected_champion=expected, who=who, reason=reason)
    return Promoted(where, platform.registry.get(name, registered.version), before, changed=True)


def _endpoint(name: str, champion: ModelVersion | None) -> str:
    """The endpoint that serves the champion; none where nothing does."""
    found = champion.endpoints if champion else ()
    if len(found) > 1:
        raise HeadraceError(f"endpoint: expected one of {', '.join(found)}, which serve {name}. Received: none named")
    return found[0] if found else ""


def _require_compared(platform: Platform, version: ModelVersion, champion: ModelVersion | None) -> None:
    """Refuses a version whose gates held it against another champion, unless it served before."""
    if champion is None or champion.version == version.version or version.judged_against == champion.digest:
        return
    served = any(
        event.action in ("deploy", "rollback")
        and event.detail.get("model") == version.name
        and str(event.detail.get("version")) == version.version
        for event in platform.registry.history()
    )
    if served:
        return
    against = version.judged_against
    known = {item.digest: f"version {item.version}" for item in platform.registry.versions(version.name)}
    received = (
        "none" if against is None else "nobody knows which" if against == UNRECORDED else known.get(against, against)
    )
    raise ChampionChanged(
        f"{label(version)}: expected to have been judged against the champion, version {champion.version}. "
        f"Received: {received}. Run its pipeline again, or promote it --anyway"
    )
