"""The `deploy` section of the spec."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.target import check_strategy
from headrace.components.section import Section
from headrace.platforms.interface import NAME_PATTERN


class DeploySpec(Section):
    """Where a model that passed its gates is served, and how it gets there."""

    endpoint: str | None = Field(default=None, pattern=f"^(?:{NAME_PATTERN})$")
    """The endpoint's name; by default the spec's name."""
    strategy: Literal["replace"] = "replace"
    """How a new version takes over. `replace`: it gets all the traffic at once."""
    approval: Literal["none", "one", "two"] = "none"
    """How many people have to say yes, by `headrace models approve`, before a version that passed its gates serves.
    Nobody approves what they registered, or twice: `one` is four eyes. The registry keeps it: a spec can ask for more
    than before, and never for fewer, which takes `headrace models policy`."""

    @model_validator(mode="before")
    @classmethod
    def _known_strategy(cls, value: Any) -> Any:
        # First of all checks: a strategy's own settings would else be reported as unknown fields.
        if isinstance(value, dict) and "strategy" in value:
            try:
                check_strategy(value["strategy"])
            except HeadraceError as error:
                raise ValueError(str(error)) from None
        return value
