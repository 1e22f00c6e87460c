"""The `features.aggregate` section of the spec: columns made of the past rows of child tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field, field_validator, model_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.aggregation import Aggregation, parse_aggregation, parse_span, parse_window
from headrace.components.ingest.spec import DeclaredType, Format, on_is_a_name, utc
from headrace.components.section import Section
from headrace.trainer.expressions.expression import parse


class Computed(Section):
    """One aggregation; each of its windows gives a column."""

    expression: str = Field(min_length=1)
    """`count()`, `sum(minutes)`, `share(device == "phone")`: a function of a row-wise expression over the child's
    columns."""
    where: str | None = None
    """Only rows for which this row-wise expression is true."""
    windows: list[str] | None = None
    """Instead of the table's."""

    @model_validator(mode="before")
    @classmethod
    def _expression_alone(cls, value: Any) -> Any:
        return {"expression": value} if isinstance(value, str) else value

    @field_validator("expression")
    @classmethod
    def _an_aggregation(cls, value: str) -> str:
        return _checked(parse_aggregation, value)

    @field_validator("where")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        return None if value is None else _checked(parse, value)

    @field_validator("windows")
    @classmethod
    def _windows(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else _distinct_windows(value)

    @property
    def aggregation(self) -> Aggregation:
        """The expression, read."""
        return parse_aggregation(self.expression)


class Aggregate(Section):
    """Columns computed from a child table: rows with the same key, of which only those count that were there before
    the row's own time."""

    source: str | None = Field(default=None, min_length=1)
    """A file, a glob or a URL, as `data.source`; by default the data's own rows, so that a row sees those before it."""
    format: Format | None = None
    """The source's format, where its suffix does not tell it."""
    query: str | None = None
    """What is asked of a database."""
    types: dict[str, DeclaredType] = Field(default={})
    """Types of the child's columns, as in `data.types`; keys have those that the data's have there."""
    on: dict[str, str] = Field(min_length=1)
    """The key: a column, a list of columns, or a mapping of the data's columns to the child's."""
    time: str = Field(min_length=1)
    """The child's column that says when a row was there: a date or time. Rows without one count nowhere."""
    as_of: str | None = Field(default=None, min_length=1)
    """The data's column with the moment before which child rows count; with the data's own rows `time` by default."""
    at: datetime | None = None
    """That moment (UTC), where it is the same for all rows."""
    delay: str | None = None
    """How long after its time a child row is known (`2h`, `1d`): it counts that much later. None by default."""
    where: str | None = None
    """Only child rows for which this row-wise expression is true."""
    windows: list[str] = Field(default=["all"], min_length=1)
    """How far back rows count: `30min`, `24h`, `7d`, `4w`, or `all`."""
    compute: dict[str, Computed] = Field(min_length=1)
    """What is computed. The columns are named by table, name and window: `sessions_minutes_7d`."""

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_name(cls, value: Any) -> Any:
        return on_is_a_name(value)

    @field_validator("on", mode="before")
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        return {name: name for name in names} if isinstance(names, list) else names

    @field_validator("at")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return utc(value)

    @field_validator("delay")
    @classmethod
    def _span(cls, value: str | None) -> str | None:
        return None if value is None else _checked(parse_span, value)

    @field_validator("where")
    @classmethod
    def _condition(cls, value: str | None) -> str | None:
        return None if value is None else _checked(parse, value)

    @field_validator("windows")
    @classmethod
    def _windows(cls, value: list[str]) -> list[str]:
        return _distinct_windows(value)

    @model_validator(mode="after")
    def _one_moment(self) -> Aggregate:
        if self.as_of is not None and self.at is not None:
            raise ValueError("expected either `as_of` or `at`. Received: both")
        if self.source is None and self.at is not None:
            raise ValueError("expected `as_of`, a column, with the data's own rows. Received: `at`")
        if self.source is None and (self.format or self.query):
            raise ValueError("expected `source` with `format` or `query`. Received: none")
        if self.source is not None and self.as_of is None and self.at is None:
            raise ValueError(
                "expected `as_of`, the data's column that says before which moment rows count, or `at`, a moment. "
                "Received: neither"
            )
        return self

    @property
    def moment_column(self) -> str | None:
        """The data's column with the moment before which rows count; None where it is the same for all rows."""
        return self.as_of if self.at is not None or self.as_of is not None else self.time


def _checked(read: Any, value: str) -> str:
    try:
        read(value)
    except HeadraceError as error:
        raise ValueError(str(error)) from None
    return value


def _distinct_windows(values: list[str]) -> list[str]:
    if not values:
        raise ValueError("expected one window or more. Received: none")
    spans = [_window(value) for value in values]
    if len(set(spans)) < len(spans):
        raise ValueError(f"expected every window once. Received: {', '.join(values)}")
    return values


def _window(value: str) -> int | None:
    try:
        return parse_window(value)
    except HeadraceError as error:
        raise ValueError(str(error)) from None
