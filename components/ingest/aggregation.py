"""Aggregations as a spec writes them, `sum(minutes)`, and the columns that they become."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.expressions.expression import BOOLEAN, NUMBER, ExpressionError, parse

ALL = "all"
MICROSECONDS = {"min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
DAY = MICROSECONDS["d"]

# function -> what its argument has to be: `number`, `boolean`, None for anything; and whether it may have none
FUNCTIONS: dict[str, tuple[str | None, bool]] = {
    "count": (BOOLEAN, True),
    "sum": (NUMBER, False),
    "mean": (NUMBER, False),
    "min": (NUMBER, False),
    "max": (NUMBER, False),
    "std": (NUMBER, False),
    "first": (None, False),
    "last": (None, False),
    "distinct": (None, False),
    "share": (BOOLEAN, False),
    "days_since_first": (BOOLEAN, True),
    "days_since_last": (BOOLEAN, True),
}
AS_THEY_ARE = ("min", "max", "first", "last", "distinct")  # take a column's values in its own type
_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", re.DOTALL)
_SPAN = re.compile(r"([1-9][0-9]{0,5})(min|h|d|w)")


@dataclass(frozen=True)
class Aggregation:
    """A function over rows, and the row-wise expression whose values it takes; None for the rows themselves."""

    function: str
    argument: str | None

    @property
    def columns(self) -> list[str]:
        """The child's columns that it reads."""
        return [] if self.argument is None else parse(self.argument).columns()


def parse_aggregation(text: str) -> Aggregation:
    """Reads an aggregation.

    Raises:
        HeadraceError: no such function, an argument too few or too many, or one that is no expression.
    """
    found = _CALL.fullmatch(text)
    name = found[1] if found else ""
    if found is None or name not in FUNCTIONS:
        near = difflib.get_close_matches(name, FUNCTIONS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"the functions are {', '.join(FUNCTIONS)}"
        raise HeadraceError(f"expected an aggregation such as `sum(minutes)`. Received: `{text}`; {hint}")
    argument = found[2].strip()
    if not argument:
        if not FUNCTIONS[name][1]:
            raise HeadraceError(f"expected an expression in `{name}(...)`. Received: none in `{text}`")
        return Aggregation(name, None)
    try:
        parse(argument)
    except ExpressionError as error:
        raise HeadraceError(
            f"expected one aggregation of one row-wise expression (features.construct puts several together) "
            f"in `{text}`: {error}"
        ) from None
    return Aggregation(name, argument)


def parse_span(text: str) -> int:
    """A length of time, in microseconds.

    >>> parse_span("24h")
    86400000000

    Raises:
        HeadraceError: it is none.
    """
    found = _SPAN.fullmatch(text)
    if found is None:
        raise HeadraceError(f"expected a length of time such as 30min, 24h, 7d or 4w. Received: {text!r}")
    return int(found[1]) * MICROSECONDS[found[2]]


def parse_window(text: str) -> int | None:
    """A window's length in microseconds; None for `all`.

    Raises:
        HeadraceError: it is neither.
    """
    if text == ALL:
        return None
    try:
        return parse_span(text)
    except HeadraceError:
        raise HeadraceError(f"expected a window such as 30min, 24h, 7d, 4w or all. Received: {text!r}") from None


def column_name(table: str, name: str, window: str) -> str:
    """How the column of an aggregation over a window is named.

    >>> column_name("sessions", "minutes", "7d")
    'sessions_minutes_7d'
    """
    return f"{table}_{name}_{window}"
