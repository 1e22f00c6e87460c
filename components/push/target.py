"""What the `deploy` section asks for, read without pydantic: pushing runs in every run, in a light worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.canary import Canary, canary
from headrace.platforms.interface import ModelSettings
from headrace.platforms.lifecycle import count

REPLACE, CANARY = "replace", "canary"
STRATEGIES = (REPLACE, CANARY)
_FIELDS = ("endpoint", "strategy", "approval")
_OF_CANARY = ("steps", "canary")


@dataclass(frozen=True)
class Target:
    """Where a version is to be served, and how it gets there."""

    endpoint: str
    strategy: str = REPLACE
    approvals: int = 0  # how many people have to say yes
    canary: Canary | None = None  # with the strategy of that name

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
    strategy = deploy.get("strategy", REPLACE)
    check_strategy(strategy)
    known = (*_FIELDS, *(_OF_CANARY if strategy == CANARY else ()))
    unknown = sorted(name for name, value in deploy.items() if name not in known and value is not None)
    if unknown:
        raise HeadraceError(f"deploy: expected only {', '.join(known)}. Received: {', '.join(unknown)}")
    where, approvals = deploy.get("endpoint") or endpoint, count(deploy.get("approval", "none"))
    return Target(where, strategy, approvals, _canary(deploy) if strategy == CANARY else None)


def _canary(deploy: Mapping[str, Any]) -> Canary:
    settings = deploy.get("canary") or {}
    if not isinstance(settings, Mapping):
        raise HeadraceError(f"deploy.canary: expected its settings. Received: {settings!r}")
    steps = {"steps": deploy["steps"]} if deploy.get("steps") is not None else {}
    return canary({**settings, **steps})


def check_strategy(strategy: object) -> None:
    """Refuses a strategy that this version does not have.

    Raises:
        HeadraceError: with those that it has.
    """
    if strategy not in STRATEGIES:
        expected = " or ".join(f"`{name}`" for name in STRATEGIES)
        message = f"strategy: expected {expected}, which this version has. Received: {strategy!r}"
        raise HeadraceError(message)
