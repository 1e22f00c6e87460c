"""The section `evaluate.value` of the spec: what decisions bring."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from headrace.artifacts.gains import Gain, Gains
from headrace.components.section import Section


class GainSpec(Section):
    """What one outcome brings: `times * column + plus`."""

    column: str | None = Field(default=None, min_length=1)
    """A column of the rows, of numbers; it need be no feature."""
    times: float = Field(default=1.0, allow_inf_nan=False)
    """What the column's value is multiplied by; below 0 for a loss."""
    plus: float = Field(default=0.0, allow_inf_nan=False)
    """What is added to that, such as what acting costs."""

    @model_validator(mode="after")
    def _times_what(self) -> GainSpec:
        if self.column is None and self.times != 1.0:
            raise ValueError(f"expected `column` beside `times`. Received: times: {self.times:g} alone")
        return self

    @property
    def gain(self) -> Gain:
        """The same as what computes it takes it."""
        return Gain(self.plus, self.column, self.times)


def _short(value: Any) -> Any:
    """A number and a column's name are short for the whole."""
    if isinstance(value, str):
        return {"column": value}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"plus": value}
    return value


Amount = Annotated[GainSpec, BeforeValidator(_short)]


class ValueSpec(Section):
    """What the model's decisions bring, row by row, in money or any other unit: acted on is what is predicted positive.

    Each outcome is a number, the name of a column of numbers, or `{column: monthly_fee, times: 6, plus: -5}`. One that
    is left out brings nothing.
    """

    true_positive: Amount = GainSpec()
    """A row that is acted on, and is positive: a subscriber who was called and would have left."""
    false_positive: Amount = GainSpec()
    """A row that is acted on in vain."""
    true_negative: Amount = GainSpec()
    """A row that is rightly left alone."""
    false_negative: Amount = GainSpec()
    """A positive row that is missed."""
    currency: str | None = Field(default=None, min_length=1, max_length=12)
    """The unit of all four, such as `USD`; shown beside every amount."""

    @model_validator(mode="after")
    def _decisions_matter(self) -> ValueSpec:
        if self.true_positive == self.false_negative and self.false_positive == self.true_negative:
            raise ValueError(
                "expected gains that depend on the decision. Received: the same for acting and for not acting: "
                "give true_positive and false_positive, say"
            )
        return self

    @property
    def gains(self) -> Gains:
        """The same as what computes them takes them."""
        acted = self.true_positive.gain, self.false_positive.gain
        return Gains(*acted, self.true_negative.gain, self.false_negative.gain, self.currency)
