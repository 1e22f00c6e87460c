"""What the `deploy` section asks for, read without pydantic: pushing runs in every run, in a light worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import ModelSettings
from headrace.platforms.lifecycle import count

STRATEGIES = ("replace",)
_FIELDS = ("endpoint", "strategy", "approval")


@dataclass(frozen=True)
class Target:
    """Where a version is to be served, and how it gets there."""

    endpoint: str
    strategy: str = STRATEGIES[0]
    approvals: int = 0  # how many people have to say yes

    @property
    def settings(self) -> ModelSettings:
        """What the registry keeps of it."""
        return ModelSettings(self.approvals, self.endpoint)


def target(deploy: Mapping[str, Any], endpoint: str) -> Target:
    """Reads the section as it stands in a compiled pipeline, which somebody may have edited.

    Args:
        deploy: the section; each of its fields may be absent.
        endpoint: the endpoint's name where the section has none.

    Raises:
        HeadraceError: the section asks for something that this version does not do.
    """
    check_strategy(deploy.get("strategy", STRATEGIES[0]))
    unknown = sorted(set(deploy) - set(_FIELDS))
    if unknown:
        raise HeadraceError(f"deploy: expected only {', '.join(_FIELDS)}. Received: {', '.join(unknown)}")
    return Target(deploy.get("endpoint") or endpoint, approvals=count(deploy.get("approval", "none")))


def check_strategy(strategy: object) -> None:
    """Refuses a strategy that this version does not have.

    Raises:
        HeadraceError: with those that it has.
    """
    if strategy not in STRATEGIES:
        expected = " or ".join(f"`{name}`" for name in STRATEGIES)
        message = f"strategy: expected {expected}, which this version has. Received: {strategy!r}"
        raise HeadraceError(message)
