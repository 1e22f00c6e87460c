"""What a server is to serve: a bundle, or whatever a name means from one moment to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    """All that a server is to serve at a time: the version with the largest weight first."""

    members: tuple[Member, ...]
    key: str = ""  # the header whose value decides which version answers; empty: x-routing-key
    salt: str = ""  # of the hash of that value: another one deals anew

    @classmethod
    def of(cls, target: Target) -> Plan:
        """Of one version alone."""
        return cls((Member(target),))


Follow = Callable[[], Target]
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
