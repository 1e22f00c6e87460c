"""The `deploy` section of the spec."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.canary import MARGINS, OFF, canary
from headrace.components.push.target import CANARY, check_strategy
from headrace.components.section import Section
from headrace.platforms.interface import NAME_PATTERN


class CanarySpec(Section):
    """What a canary release has to show at each step. Margins are differences of shares, 0.005 is half a percentage
    point; a difference up to the margin counts as none, and null leaves a check out."""

    step_minutes: float = 10.0
    """How long a step takes at least."""
    step_requests: int = 500
    """How many requests the new version answers in a step at least."""
    errors: float | None = 0.005
    """More failed requests: status 400 and above."""
    latency: float | None = 0.02
    """More slow requests."""
    slow_seconds: float | None = None
    """What slow is; by default what 99 % of the requests of the version before stay below. The server's histogram
    decides how fine this can be: the next of its bounds is taken."""
    drift: float | None = 0.1
    """Other predictions: the largest difference between the cumulative shares of the two versions' scores or values, or
    between the shares of a label."""
    outcomes: float | None = 0.02
    """A larger mean loss, where ground truth is joined (`headrace rollout start --outcomes`)."""
    false_rollback: float = 0.01
    """How often a version that is not worse may be taken back, over all checks and however often they are looked at."""
    missed_regression: float = 0.05
    """How often a version that is worse by more than a margin may be promoted."""
    prove: Literal["last", "each"] = "last"
    """Where every check has to be passed: before the last step, or before each. Until then a step goes on once it
    has its time and its requests, unless harm is found."""
    most_hours: float = 24.0
    """How long a rollout may be in doubt."""
    undecided: Literal["pause", "rollback"] = "pause"
    """What happens then: it stays where it is and waits for a person, or the version before gets all of the traffic."""
    requests_per_key: float = 1.0
    """How many requests one key sends in a rollout, where the traffic is dealt by a key such as a customer. They all
    go to one version and are alike, so that many count as one piece of evidence."""
    blind_minutes: float = 5.0
    """How long the new version may go without figures, because it gets no requests or the server does not answer,
    before it is taken back."""

    @model_serializer(mode="plain")
    def _without_nulls(self) -> dict[str, Any]:
        # A pipeline's parameters have no null. Of a check it means that it is left out, which its absence does not.
        plain = {name: getattr(self, name) for name in type(self).model_fields}
        plain |= {name: OFF for name in MARGINS if plain[name] is None}
        return {name: value for name, value in plain.items() if value is not None}


class DeploySpec(Section):
    """Where a model that passed its gates is served, and how it gets there."""

    endpoint: str | None = Field(default=None, pattern=f"^(?:{NAME_PATTERN})$")
    """The endpoint's name; by default the spec's name."""
    strategy: Literal["replace", "canary"] = "replace"
    """How a new version takes over. `replace`: it gets all the traffic at once. `canary`: it gets the first of
    `steps`, and `headrace rollout` takes it from there. Where nothing serves yet, both are the same."""
    steps: list[int] | None = None
    """Percentages of the traffic, with `canary`; by default 1, 5, 25, 50, 100."""
    canary: CanarySpec | None = None
    """What has to be shown at each step, with `strategy: canary`."""
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

    @model_validator(mode="after")
    def _canary_can_be(self) -> DeploySpec:
        if self.strategy != CANARY:
            given = [name for name in ("steps", "canary") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"expected strategy: canary, with {' and '.join(given)}. Received: {self.strategy}")
            return self
        steps = {"steps": self.steps} if self.steps is not None else {}
        try:
            canary({**(self.canary or CanarySpec()).model_dump(), **steps})
        except HeadraceError as error:
            raise ValueError(str(error)) from None
        return self
