"""What a server is to serve: a bundle, or whatever a name means from one moment to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headrace.artifacts.bundle import Bundle

POLL_SECONDS = 0.5  # between two looks at what a name means


@dataclass(frozen=True)
class Target:
    """A bundle to be served."""

    path: Path
    version: str | None = None  # the registry's number of it, which a bundle cannot know of itself

    def __str__(self) -> str:
        return str(self.path) if self.version is None else f"version {self.version}"

    def open(self, *, verify: bool = True) -> Bundle:
        """The bundle, under its registered version.

        Raises:
            ArtifactError: it is damaged, incomplete, or written by a newer version.
        """
        bundle = Bundle.open(self.path, verify)
        return bundle if self.version is None else bundle.registered(self.version)


@dataclass(frozen=True)
class Member:
    """One version of a plan."""

    target: Target
    weight: int = 100  # percent of the requests; 0 of a shadow
    shadow: bool = False  # sees copies of the requests, and answers nobody


@dataclass(frozen=True)
class Plan:
    """All that a server is to serve at a time: the version with the largest weight first, shadows last."""

    members: tuple[Member, ...]
    key: str = ""  # the header whose value decides which version answers; empty: x-routing-key
    experiment: str = ""  # the name of the split, which is also the salt of the hash of keys; empty: nothing is split
    slots: tuple[int, ...] = ()  # of a split: by slot the place of the member that answers; see `artifacts.slots`

    @classmethod
    def of(cls, target: Target) -> Plan:
        """Of one version alone."""
        return cls((Member(target),))

    @property
    def answering(self) -> tuple[Member, ...]:
        """Those that answer requests."""
        return tuple(member for member in self.members if not member.shadow)

    @property
    def shadows(self) -> tuple[Target, ...]:
        """What sees copies of the requests."""
        return tuple(member.target for member in self.members if member.shadow)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What answers requests."""
        return tuple(member.target for member in self.answering)

    @property
    def main(self) -> Target:
        """What answers most."""
        return self.members[0].target

    def __str__(self) -> str:
        if len(self.members) == 1:
            return str(self.main)
        return ", ".join(f"{one.target} {'as a shadow' if one.shadow else f'{one.weight}%'}" for one in self.members)

    def open(self, *, verify: bool = True) -> Opened:
        """The bundles of those that answer.

        Raises:
            ArtifactError: one is damaged, incomplete, or written by a newer version.
        """
        return Opened(self, tuple(target.open(verify=verify) for target in self.targets))

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold of it; see `from_dict`."""
        return asdict(self) | {
            "members": [[str(m.target.path), m.target.version, m.weight, m.shadow] for m in self.members]
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """The plan that `to_dict` made these values of."""
        members = tuple(
            Member(Target(Path(path), version), weight, shadow) for path, version, weight, shadow in values["members"]
        )
        return cls(members, values["key"], values["experiment"], tuple(values["slots"]))


class Opened(NamedTuple):
    """A plan, with the bundles of those that answer, in their order."""

    plan: Plan
    bundles: tuple[Bundle, ...]

    @property
    def main(self) -> Bundle:
        """The one that answers most."""
        return self.bundles[0]

    def titled(self) -> str:
        """What is served, in a sentence."""
        if len(self.bundles) == 1:
            told = titled(self.main)
        else:
            pairs = zip(self.plan.answering, self.bundles, strict=True)
            told = ", ".join(f"{titled(bundle)} {member.weight}%" for member, bundle in pairs)
        shadows = ", ".join(f"{target.version or target}" for target in self.plan.shadows)
        return f"{told}, shadow {shadows}" if shadows else told


def planned(what: Target | Plan) -> Plan:
    """A bundle alone as a plan."""
    return what if isinstance(what, Plan) else Plan.of(what)


Follow = Callable[[], Target | Plan]
"""Says what is to be served now; it is asked again and again, and raises HeadraceError where nobody can tell."""


def changed_inputs(before: Bundle, after: Bundle) -> str:
    """What requests have to say otherwise to another model, in words; empty where nothing."""
    old, new = ({item.name: item.type for item in bundle.signature.inputs} for bundle in (before, after))
    changes = [
        *(f"without {name}" for name in old if name not in new),
        *(f"with {name}, a {kind}" for name, kind in new.items() if name not in old),
        *(f"with {name} as a {kind}" for name, kind in new.items() if old.get(name, kind) != kind),
    ]
    return "; ".join(changes)


def titled(bundle: Bundle) -> str:
    """A model in a sentence: its name, its version if it has one, and the beginning of its digest."""
    version = f" {bundle.version}" if bundle.version else ""
    return f"{bundle.name}{version} ({bundle.digest[:19]})"
