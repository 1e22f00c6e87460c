"""From what the command line asks to serve to a plan: names with shares, shadows, or an endpoint that says it all."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST
from headrace.artifacts.slots import SLOTS, deal
from headrace.platforms.interface import NAME_PATTERN, Endpoint, ModelVersion, Platform
from headrace.platforms.meant import meant
from headrace.serving.target import Member, Plan, Target

HEADER_PATTERN = "[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
Fetch = Callable[[ModelVersion], Target]  # where a registered version's bundle is on this machine


@dataclass(frozen=True)
class Asked:
    """What is to be served."""

    names: tuple[str, ...]  # endpoints, models, folders
    shares: tuple[int | None, ...] = (None,)  # percent of each; None: what is left
    shadows: tuple[str, ...] = ()
    key: str = ""  # the header that decides; empty: the endpoint's, or the server's own
    experiment: str = ""

    @property
    def label(self) -> str:
        """What others find this server by: the endpoint or model."""
        return self.names[0] if len(self.names) == 1 else self.names[0].partition(":")[0]

    @property
    def for_ever(self) -> bool:
        """Whether it means the same at any time: folders, and versions by their numbers."""
        return all(_is_folder(name) or name.partition(":")[2].isdigit() for name in (*self.names, *self.shadows))

    @property
    def only_folders(self) -> bool:
        """Whether no registry has to be asked."""
        return all(_is_folder(name) for name in (*self.names, *self.shadows))

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Asked:
        """The same again."""
        found: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**found)


def asked(words: Sequence[str], shadows: Sequence[str] = (), key: str = "", experiment: str = "") -> Asked:
    """Reads `churn`, or `churn:3=90 churn:4=10`: one of several may go without a share, and gets what is left.

    Raises:
        HeadraceError: the shares are none, or do not add up to 100.
    """
    if experiment and not re.fullmatch(NAME_PATTERN, experiment):
        raise HeadraceError(f"experiment: expected up to 128 letters, digits, `.`, `_`, `-`. Received: {experiment!r}")
    if key and not re.fullmatch(HEADER_PATTERN, key):
        raise HeadraceError(f"key: expected the name of a header, such as x-user-id. Received: {key!r}")
    names, shares = zip(*(_word(word) for word in words), strict=True)
    known = [share for share in shares if share is not None]
    left = SLOTS - sum(known)
    open_ones = len(shares) - len(known)
    told = " ".join(words)
    if open_ones > 1 or (open_ones == 1 and left < 1):
        raise HeadraceError(f"shares: expected NAME=PERCENT of each model, 100 in all. Received: {told}")
    if not open_ones and left:
        raise HeadraceError(f"shares: expected 100 percent in all. Received: {sum(known)} ({told})")
    whole = (None,) if len(names) == 1 else tuple(left if share is None else share for share in shares)
    return Asked(tuple(names), whole, tuple(shadows), key, experiment)


def _word(word: str) -> tuple[str, int | None]:
    name, sign, share = word.rpartition("=")
    if not sign or _is_folder(word):
        return word, None
    if not (share.isascii() and share.isdigit() and 1 <= int(share) <= SLOTS):
        raise HeadraceError(f"share: expected whole percent from 1 to 100, as in {name}=10. Received: {word}")
    return name, int(share)


def resolve(what: Asked, platform: Platform, fetch: Fetch, where: str, *, strict: bool = True) -> Plan:
    """The plan that is meant at this moment.

    Args:
        what: was asked for.
        platform: where names are looked up.
        fetch: brings bundles onto this machine.
        where: the platform is, in words.
        strict: False passes over shadows that are not to be had: nobody waits for them.

    Raises:
        HeadraceError: nothing has one of the names, or two are the same version.
    """

    def target(name: str) -> Target:
        return Target(Path(name)) if _is_folder(name) else fetch(meant(platform, name, where))

    shadows = []
    for name in what.shadows:
        try:
            shadows.append(Member(target(name), 0, shadow=True))
        except HeadraceError:
            if strict:
                raise
    (first, *others) = what.names
    endpoint = None if others or ":" in first or _is_folder(first) else platform.endpoints.get(first)
    if endpoint is not None:
        plan = of_endpoint(endpoint, lambda model, version: fetch(platform.registry.get(model, version)))
        key, experiment = what.key or plan.key, what.experiment or plan.experiment
        return _checked(Plan((*plan.members, *shadows), key, experiment, plan.slots))
    if not others:
        return _checked(Plan((Member(target(first)), *shadows)))
    return _checked(_of_names(what, [target(name) for name in what.names], shadows))


def of_endpoint(endpoint: Endpoint, find: Callable[[str, str], Target]) -> Plan:
    """The plan of an endpoint.

    Args:
        endpoint: as the registry has it.
        find: the bundle of a model's version.
    """
    found = [(one, find(one.model, one.version)) for one in endpoint.deployed]
    members = tuple(Member(target, one.traffic, one.shadow) for one, target in found)
    if endpoint.split is None:
        return Plan(members)
    places = {one.version: place for place, (one, _) in enumerate(found)}
    slots = tuple(places[version] for version in endpoint.split.slots)
    return Plan(members, endpoint.split.key, endpoint.split.experiment, slots)


def _of_names(what: Asked, targets: Sequence[Target], shadows: Sequence[Member]) -> Plan:
    """The first takes no slots from the others: theirs stay while their shares grow from one start to the next."""
    shares = {str(place): share or 0 for place, share in enumerate(what.shares)}
    dealt = deal({**{place: share for place, share in shares.items() if place != "0"}, "0": shares["0"]})
    order = sorted(range(len(targets)), key=lambda place: (-shares[str(place)], place))
    members = tuple(Member(targets[place], shares[str(place)]) for place in order)
    slots = tuple(order.index(int(owner)) for owner in dealt)
    name = what.experiment or re.sub(r"[^!-~]", "_", "+".join(Path(name).name for name in what.names))[:128]
    return Plan((*members, *shadows), what.key, name, slots)


def _checked(plan: Plan) -> Plan:
    targets = [member.target for member in plan.members]
    if twice := [target for target in targets if targets.count(target) > 1]:
        raise HeadraceError(f"serve: expected versions that differ. Received: {twice[0]} more than once")
    return plan


def _is_folder(name: str) -> bool:
    return (Path(name) / MANIFEST).is_file()
