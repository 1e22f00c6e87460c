"""The `card` section of the spec: what only the model's owner can say."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from headrace.components.section import Section


class RiskSpec(Section):
    """An ethical consideration."""

    risk: str
    """What could go wrong, and for whom."""
    mitigation: str = ""
    """What is done about it."""

    @model_validator(mode="before")
    @classmethod
    def _only_words(cls, value: Any) -> Any:
        return {"risk": value} if isinstance(value, str) else value


class CardSpec(Section):
    """What the model card says in the owner's words; everything else in it is written by the run. All is optional."""

    purpose: str = ""
    """What the model is for, in a sentence or two."""
    owners: list[str] = Field(default_factory=list)
    """Who answers for it: `Growth team <growth@example.com>`."""
    users: list[str] = Field(default_factory=list)
    """Who is meant to use it."""
    use_cases: list[str] = Field(default_factory=list)
    """What it is meant to be used for."""
    out_of_scope: list[str] = Field(default_factory=list)
    """What it must not be used for."""
    factors: list[str] = Field(default_factory=list)
    """Groups, instruments or surroundings on which its quality may depend, beside the slices and groups measured."""
    considerations: list[RiskSpec] = Field(default_factory=list)
    """Ethical considerations: each a text, or `{risk: ..., mitigation: ...}`."""
    tradeoffs: list[str] = Field(default_factory=list)
    """What was given up for what: `slower, but explains each answer`."""
    caveats: list[str] = Field(default_factory=list)
    """Caveats and recommendations, beside the limits that the run finds."""
    sensitive: list[str] = Field(default_factory=list)
    """Which of the data is sensitive: columns, or in words."""
    license: str = ""
    """An SPDX identifier such as `Apache-2.0`, `proprietary`, or the text."""
    references: list[str] = Field(default_factory=list)
    """Addresses of further documents."""
    citation: str = ""
    """How to cite it."""
