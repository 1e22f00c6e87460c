"""How a field of a resource compares with a value that a filter names, which is text.

The field says what is meant: numbers, times and truth values are compared as such. A field that is not there has its
type's zero, as JSON leaves those out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.emulator.paging import camel

_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d.*)?")
_ORDERS: dict[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def field(document: Any, path: Sequence[str]) -> Any:
    """What stands at a path; names may be in snake_case where the document has camelCase. None where nothing does.

    Through a list it is the list of what stands in each of its elements. `number_value`, `string_value` and
    `bool_value` at the end of a path are the value itself, as a protobuf Struct has them.
    """
    found = document
    for index, part in enumerate(path):
        if isinstance(found, list):
            inner = [field(element, path[index:]) for element in found]
            return [value for value in inner if value is not None] or None
        if isinstance(found, dict):
            found = found[part] if part in found else found.get(camel(part))
        elif index == len(path) - 1 and found is not None and part in ("number_value", "string_value", "bool_value"):
            return found
        else:
            return None
    return found


def compare(value: Any, operator: str, wanted: str) -> bool:
    """Whether a field's value is in this relation to a text.

    Args:
        value: of the document.
        operator: `=`, `!=`, `<`, `<=`, `>`, `>=`.
        wanted: as it stands in the filter; `*` in it stands for any text where the operator is `=` or `!=`.
    """
    if isinstance(value, list):
        return any(compare(element, operator, wanted) for element in value)
    if isinstance(value, dict):
        return operator == "!="
    if operator in ("=", "!=") and "*" in wanted and isinstance(value, str | None):
        return _like(value or "", wanted) == (operator == "=")
    order = _order(value, wanted)
    return operator == "!=" if order is None else _ORDERS[operator](order)


def has(value: Any, wanted: str) -> bool:
    """Whether a field is there (`*`), is this value, or a list or a map that contains it."""
    if wanted == "*":
        return value not in (None, "", [], {})
    if isinstance(value, dict):
        return wanted in value
    if isinstance(value, list):
        return any(has(element, wanted) for element in value)
    return value is not None and compare(value, "=", wanted)


def moment(text: str) -> datetime | None:
    """A time as RFC 3339 writes it, or a date; None for other texts."""
    if not _TIME.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _order(value: Any, wanted: str) -> int | None:
    """-1, 0 or 1; None where the two cannot be compared."""
    left: Any = value
    right: Any = wanted
    if isinstance(value, bool) or (value is None and wanted.lower() in ("true", "false")):
        left, right = bool(value), {"true": True, "false": False}.get(wanted.lower())
    elif isinstance(value, int | float):
        right = _number(wanted)
    elif value is None:
        left, right = (0.0, number) if (number := _number(wanted)) is not None else ("", wanted)
    elif (time := moment(wanted)) is not None and (own := moment(value)) is not None:
        left, right = own, time
    elif (number := _number(wanted)) is not None and (own_number := _number(value)) is not None:
        left, right = own_number, number
    if right is None:
        return None
    return int(left > right) - int(left < right)


def _number(text: str) -> float | None:
    """Of a number; `3.5s` is a duration's seconds, as JSON writes one."""
    try:
        return float(text[:-1] if text[-1:] == "s" else text)
    except ValueError:
        return None


def _like(text: str, pattern: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None
