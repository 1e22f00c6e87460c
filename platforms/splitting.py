"""The rules of a split, the same on every platform: what may be dealt, and who gets which slot."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.slots import SLOTS, deal, runs, unfolded
from headrace.platforms.interface import (
    ARCHIVED,
    CANDIDATE,
    REJECTED,
    ChampionChanged,
    Deployed,
    Endpoint,
    ModelVersion,
    NotAllowed,
    Split,
)
from headrace.platforms.lifecycle import label
from headrace.platforms.local.rows import check_name

_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_EVIDENCE = 1_000_000  # characters of JSON


@dataclass(frozen=True)
class Asked:
    """What is to be behind an endpoint, checked as far as it can be without a registry."""

    model: str
    answering: tuple[Deployed, ...]  # the largest share first
    shadows: tuple[Deployed, ...]

    @property
    def alone(self) -> Deployed | None:
        """The version that is to answer everything; None where several are to answer."""
        return self.answering[0] if len(self.answering) == 1 else None


def ordered(deployed: Sequence[Deployed]) -> tuple[Deployed, ...]:
    """As endpoints have them: the largest share first, of equal ones the newest version; shadows last."""
    return tuple(sorted(deployed, key=lambda one: (one.shadow, -one.traffic, one.model, -int(one.version))))


def asked(endpoint: str, deployed: Sequence[Deployed], key: str = "", experiment: str = "") -> Asked:
    """Reads what a split is to be, with the versions by their numbers.

    Raises:
        HeadraceError: it makes no split; the message says why.
    """
    where = f"endpoint {endpoint}"
    models = sorted({one.model for one in deployed})
    if len(models) != 1:
        raise HeadraceError(f"{where}: expected versions of one model. Received: {', '.join(models) or 'none'}")
    versions = [one.version for one in deployed]
    if twice := sorted({one for one in versions if versions.count(one) > 1}):
        raise HeadraceError(f"{where}: expected each version once. Received: {', '.join(twice)} more than once")
    answering = tuple(one for one in deployed if not one.shadow)
    shadows = tuple(one for one in deployed if one.shadow)
    if wrong := [one for one in answering if not 1 <= one.traffic <= SLOTS]:
        raise HeadraceError(
            f"{where}: expected 1 to 100 percent for each version that answers. Received: {wrong[0].traffic} for "
            f"{wrong[0].version}"
        )
    if wrong := [one for one in shadows if one.traffic]:
        raise HeadraceError(
            f"{where}: expected no share of the traffic for a shadow, which sees copies of all. Received: "
            f"{wrong[0].traffic} percent for {wrong[0].version}"
        )
    if (total := sum(one.traffic for one in answering)) != SLOTS:
        raise HeadraceError(f"{where}: expected shares that add up to 100 percent. Received: {total}")
    if key and not _HEADER.fullmatch(key):
        raise HeadraceError(f"key: expected the name of a header, such as x-user-id. Received: {key!r}")
    if experiment:
        check_name("experiment", experiment)
    return Asked(models[0], ordered(answering), ordered(shadows))


def require_expected(endpoint: str, now: Sequence[Deployed], expected: Endpoint | None) -> None:
    """Refuses a change that was decided on something else than is behind the endpoint now.

    Raises:
        ChampionChanged: nothing was changed.
    """
    if expected is not None and tuple(now) != expected.deployed:
        raise ChampionChanged(
            f"endpoint {endpoint}: expected {words(expected.deployed)} behind it. Received: {words(now)}; "
            "nothing was changed"
        )


def check_shadow(version: ModelVersion) -> None:
    """Refuses a shadow that did not pass its gates or was put away.

    Raises:
        NotAllowed: with the state.
    """
    if version.state in (CANDIDATE, REJECTED, ARCHIVED):
        raise NotAllowed(
            f"{label(version)}: expected a version that passed its gates, as a shadow. Received: one that is "
            f"{version.state}"
        )


def make_split(
    what: Asked, base: tuple[str, str] | None, before: Split | None, key: str, experiment: str, endpoint: str
) -> Split:
    """The split that follows from the one before.

    Args:
        what: is to answer: more than one version.
        base: model and version that were deployed last; None where none was.
        before: the split that goes on; None where one begins.
        key: the header; empty: the server's own.
        experiment: its name; empty: that of the one before, or a new one.
        endpoint: where.

    Raises:
        NotAllowed: what was deployed last is not among those that are to answer.
    """
    shares = {one.version: one.traffic for one in what.answering}
    if base is None or base[0] != what.model or base[1] not in shares:
        serves = f"{base[0]}:{base[1]}" if base else "nothing"
        raise NotAllowed(
            f"endpoint {endpoint}: expected what was deployed there last ({serves}) among the versions that answer, to "
            f"go back to. Received: {words(what.answering)}; `headrace models promote` deploys a version"
        )
    name = experiment or (before.experiment if before else "")
    if not name:
        newest = next(one.version for one in what.answering if one.version != base[1])
        name = f"{endpoint[:100]}-{newest}-{os.urandom(4).hex()}"  # another one each time: others come first then
    goes_on = before is not None and before.experiment == name
    first = {base[1]: shares[base[1]]}
    slots = deal(
        shares if goes_on else {**_others(shares, base[1]), **first}, before.slots if before and goes_on else ()
    )
    return Split(base[1], key.lower(), name, slots)


def _others(shares: Mapping[str, int], base: str) -> dict[str, int]:
    return {version: share for version, share in shares.items() if version != base}


def split_detail(what: Asked, made: Split, before: Sequence[Deployed]) -> dict[str, Any]:
    """What the audit log says of a split: enough to know it from the log alone."""
    return {
        "model": what.model,
        "version": int(made.base),
        "traffic": {one.version: one.traffic for one in what.answering},
        "shadows": [int(one.version) for one in what.shadows],
        "before": [told(one) for one in before],
        "key": made.key,
        "experiment": made.experiment,
        "slots": [[int(version), count] for version, count in runs(made.slots)],
    }


def read_split(detail: Mapping[str, Any]) -> Split:
    """The split that an entry of the audit log tells of."""
    pieces = [(str(int(version)), int(count)) for version, count in detail["slots"]]
    return Split(str(int(detail["version"])), str(detail["key"]), str(detail["experiment"]), unfolded(pieces))


def shares_of(split: Split) -> dict[str, int]:
    """Percent by version."""
    return {version: split.slots.count(version) for version in dict.fromkeys(split.slots)}


def behind(model: str, split: Split, shadows: Sequence[Deployed]) -> tuple[Deployed, ...]:
    """All that is behind an endpoint whose traffic is split."""
    return ordered([*(Deployed(model, version, share) for version, share in shares_of(split).items()), *shadows])


def words_of(who: str, reason: str, evidence: Mapping[str, Any] | None) -> dict[str, Any]:
    """Who, why, and on what evidence, for the audit log.

    Raises:
        HeadraceError: the evidence is nothing that JSON can hold, or too much of it.
    """
    found: dict[str, Any] = {"who": who, **({"reason": reason} if reason else {})}
    if evidence is None:
        return found
    try:
        text = json.dumps(_finite(evidence), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise HeadraceError(f"evidence: expected what JSON can hold. Received: {error}") from None
    if len(text) > _EVIDENCE:
        raise HeadraceError(f"evidence: expected at most {_EVIDENCE} characters of JSON. Received: {len(text)}")
    return {**found, "evidence": json.loads(text)}


def _finite(value: Any) -> Any:
    """A bound may be infinite, and JSON knows no such number: it is written as a word."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def told(one: Deployed) -> str:
    """A version behind an endpoint, in the audit log's words: `homes/3`, `homes/3 90%`, `homes/5 shadow`."""
    share = " shadow" if one.shadow else f" {one.traffic}%" if one.traffic != SLOTS else ""
    return f"{one.model}/{one.version}{share}"


def words(deployed: Sequence[Deployed]) -> str:
    """What is behind an endpoint, in a message."""
    return ", ".join(
        f"{one.version} {'as a shadow' if one.shadow else f'with {one.traffic} percent'}" for one in deployed
    ) or ("nothing")


def taken_out(endpoint: str, deployed: Endpoint, expected_version: str, expected_model: str) -> tuple[str, ...]:
    """The versions that a rollback takes out of a split, the largest share first.

    Raises:
        ChampionChanged: another version is to be taken out than any of these.
    """
    versions = tuple(one.version for one in deployed.candidates)
    model = deployed.base.model
    if (expected_version and expected_version not in versions) or (expected_model or model) != model:
        raise ChampionChanged(
            f"endpoint {endpoint}: expected to take out version {expected_version or versions[0]} of "
            f"{expected_model or model}. Received: a split of {words(deployed.deployed)} of {model}, which takes out "
            f"{', '.join(versions)}; nothing was changed"
        )
    return versions
