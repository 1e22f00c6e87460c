"""What a model knows of its inputs, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headrace.artifacts.report import number
from headrace.artifacts.signature import Input

_SHOWN = 8  # values of a category, the most frequent ones


def known_values(item: Input) -> str:
    """The values of an input that training has seen: a range, or the most frequent ones; empty for a text."""
    if item.type == "category":
        shown = ", ".join(reversed(item.vocabulary[-_SHOWN:]))
        return f"{len(item.vocabulary):,} values: {shown}{', ...' if len(item.vocabulary) > _SHOWN else ''}"
    if item.type == "boolean":
        return "true, false"
    if item.min is None or item.max is None:
        return ""
    as_text = day if item.type == "date" else number
    return f"{as_text(item.min)} to {as_text(item.max)}"


def day(days: float) -> str:
    """The date, as ISO 8601, of days since 1970-01-01; with the time where it is not midnight."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)
    return f"{moment:%Y-%m-%d}" if days == int(days) else f"{moment:%Y-%m-%d %H:%M}"
