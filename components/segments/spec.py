"""The `for_each` section of the spec."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.section import Section
from headrace.components.segments.names import text_of

MOST = 2_000  # a column with more values names rows, and not groups of them


def _as_text(value: Any) -> str:
    """A number or a date as the file has it, in the words in which the data's values are told.

    A truth value is refused: YAML 1.1 makes one of the country NO as well as of `false`, and which it was is gone.
    """
    if isinstance(value, bool):
        read = "an unquoted true, yes or on" if value else "an unquoted NO, no, off or false"
        raise ValueError(
            f"expected a text, a whole number or a date. Received: a truth value, as which YAML reads {read}; quote "
            f'it, as it stands in the data (a column of truth values has "true" and "false")'
        )
    try:
        return text_of(value)
    except HeadraceError as error:
        raise ValueError(str(error)) from None


Value = Annotated[str, BeforeValidator(_as_text)]


class ForEachSpec(Section):
    """A model for each value of a column, all of one kind: `for_each: {segment: region}`."""

    segment: str
    """The column that says which segment a row belongs to: texts, whole numbers, truth values or dates. It is no
    feature: within a segment it does not vary."""
    values: list[Value] | None = Field(default=None, min_length=1, max_length=MOST)
    """The segments that get a model; a named one without enough rows is missed, and told of. By default every value
    with enough rows, which each run finds anew. In quotes where YAML would read another thing: `"NO"`, `"true"`."""
    least_rows: int = Field(default=500, ge=60)
    """Rows that a segment must have, over all splits. One with fewer gets no model, and the run says so."""
    parallel: int = Field(default=4, ge=1, le=100)
    """How many segments are worked on at a time. On one machine its cores are the limit."""

    @field_validator("values")
    @classmethod
    def _once_each(cls, value: list[str] | None) -> list[str] | None:
        twice = sorted({one for one in value or () if (value or []).count(one) > 1})
        if twice:
            raise ValueError(f"expected each value once. Received: {twice[0]!r} more than once")
        return value
