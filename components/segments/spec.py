"""The `for_each` section of the spec."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.section import Section
from headrace.components.segments.names import text_of

MOST = 2_000  # a column with more values names rows, and not groups of them


class ForEachSpec(Section):
    """A model for each value of a column, all of one kind: `for_each: {segment: region}`."""

    segment: str
    """The column that says which segment a row belongs to: texts, whole numbers, truth values or dates. It is no
    feature: within a segment it does not vary."""
    values: list[str] | None = Field(default=None, min_length=1, max_length=MOST)
    """The segments that get a model; a named one without enough rows is missed, and told of. By default every value
    with enough rows, which each run finds anew."""
    least_rows: int = Field(default=500, ge=60)
    """Rows that a segment must have, over all splits. One with fewer gets no model, and the run says so."""
    parallel: int = Field(default=4, ge=1, le=100)
    """How many segments are worked on at a time. On one machine its cores are the limit."""

    @field_validator("values", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Numbers, dates and truth values as the file has them, in the words in which the data's values are told."""
        if not isinstance(value, list):
            return value
        try:
            return [text_of(one) for one in value]
        except HeadraceError as error:
            raise ValueError(str(error)) from None

    @field_validator("values")
    @classmethod
    def _once_each(cls, value: list[str] | None) -> list[str] | None:
        twice = sorted({one for one in value or () if (value or []).count(one) > 1})
        if twice:
            raise ValueError(f"expected each value once. Received: {twice[0]!r} more than once")
        return value
