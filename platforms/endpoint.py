"""What is behind an endpoint: versions with their shares of the traffic, and shadows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deployed:
    """One model version behind an endpoint, with its share of the traffic in percent.

    A shadow sees copies of the requests and answers nobody: its share is 0, all others have 1 to 100.
    """

    model: str
    version: str
    traffic: int
    shadow: bool = False


@dataclass(frozen=True)
class Split:
    """How the traffic of an endpoint is dealt to several versions of one model."""

    base: str  # the version that was deployed, from which the others take; a rollback gives it everything again
    key: str  # the header whose value decides who answers; empty: the server's own, x-routing-key
    experiment: str  # the name of this split, from its beginning to its end; also the salt of the hash of keys
    slots: tuple[str, ...]  # the version of each slot; see `artifacts.slots`


@dataclass(frozen=True)
class Endpoint:
    """A name that answers predictions, and what is behind it: the largest share first, 100 in all; shadows last."""

    name: str
    deployed: tuple[Deployed, ...]
    updated: str  # ISO 8601, UTC
    split: Split | None = None  # where more than one version answers

    @property
    def main(self) -> Deployed:
        """The version that answers most requests."""
        return self.deployed[0]

    @property
    def base(self) -> Deployed:
        """The version that was deployed: the one that answers all requests, or what a split takes from."""
        return self.main if self.split is None else next(d for d in self.deployed if d.version == self.split.base)

    @property
    def candidates(self) -> tuple[Deployed, ...]:
        """The versions that answer beside the base, the largest share first."""
        return tuple(one for one in self.deployed if one.traffic and one != self.base)

    @property
    def shadows(self) -> tuple[Deployed, ...]:
        """The versions that see copies of the requests."""
        return tuple(one for one in self.deployed if one.shadow)


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did: the version that was taken out, which is rejected now, and the one that serves again."""

    endpoint: Endpoint
    model: str
    version: str  # that serves again
    before: str  # that served until now; of a split's candidates the one with the largest share
