"""The `deploy` section of the spec."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from headrace.components.section import Section
from headrace.platforms.interface import NAME_PATTERN

Strategy = Literal["replace"]


class DeploySpec(Section):
    """Where a model that passed its gates is served, and how it gets there."""

    endpoint: str | None = Field(default=None, pattern=f"^(?:{NAME_PATTERN})$")
    """The endpoint's name; by default the spec's name."""
    strategy: Strategy = "replace"
    """How a new version takes over. `replace`: it gets all the traffic at once."""

    @model_validator(mode="before")
    @classmethod
    def _known_strategy(cls, value: Any) -> Any:
        # First of all checks: a strategy's own settings would else be reported as unknown fields.
        known = get_args(Strategy)
        if isinstance(value, dict) and value.get("strategy", known[0]) not in known:
            expected = " or ".join(f"`{name}`" for name in known)
            received = value["strategy"]
            raise ValueError(f"strategy: expected {expected}, which this version has. Received: {received!r}")
        return value
