"""Patterns for addresses and values, and texts with fields of an event in them. Nothing is evaluated."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from headrace.pipelines.events.event import OBJECT, Event, EventError
from headrace.pipelines.local.ir.values import is_unicode

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_MISSING = object()
_PLAIN = ("id", "type", "source", "time", "generation")


@functools.lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    pieces, at = [], 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            pieces.append("(?:.*/)?")
            at += 3
        elif rest.startswith("**"):
            pieces.append(".*")
            at += 2
        elif rest[0] == "*":
            pieces.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            pieces.append("[^/]")
            at += 1
        elif (closed := re.match(r"\[(!?)([^\[\]]+)\]", rest)) is not None:
            signs = closed[2].replace("\\", r"\\").replace("^", r"\^")
            pieces.append(f"(?!/)[{'^' if closed[1] else ''}{signs}]")
            at += closed.end()
        else:
            pieces.append(re.escape(rest[0]))
            at += 1
    return re.compile("".join(pieces), re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether a text as a whole is as a pattern says: `*` and `?` stand for no `/`, `**` for anything, `[a-z]` for one.

    >>> matches("gs://raw/*.csv", "gs://raw/may.csv"), matches("gs://raw/*.csv", "gs://raw/old/may.csv")
    (True, False)
    >>> matches("gs://raw/**/*.csv", "gs://raw/may.csv"), matches("gs://raw/**/*.csv", "gs://raw/a/b/may.csv")
    (True, True)
    """
    return _compiled(pattern).fullmatch(text) is not None


def check_pattern(pattern: str) -> str:
    """The pattern itself.

    Raises:
        ValueError: it is empty, or a range in it is none.
    """
    try:
        _compiled(pattern)
    except re.error as error:
        raise ValueError(f"expected a pattern. Received: {pattern!r} ({error})") from None
    if not pattern:
        raise ValueError("expected a pattern. Received: an empty text")
    return pattern


def check_text(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: a brace stands alone, or a field is none of an event's.
    """
    for found in _FIELD.finditer(text):
        name = found[1]
        if name is None and found[0] in "{}":
            raise ValueError(f"expected {{{{ or }}}} for a brace. Received: {text!r}")
        if name is not None and not re.fullmatch(
            r"uri|date|" + "|".join(_PLAIN) + r"|(data|attributes)(\.[\w-]+)+", name
        ):
            known = f"uri, date, {', '.join(_PLAIN)}, data.NAME, attributes.NAME"
            raise ValueError(f"expected one of the fields {known}. Received: {{{name}}}")
    return text


def filled(text: str, event: Event, where: str) -> str:
    """The text with the event's fields in place of their names in braces; `{{` and `}}` are braces.

    Args:
        text: as `check_text` takes it.
        event: what happened.
        where: names the text in an error.

    Raises:
        EventError: the event has no such field, or in it what no process can be given: a NUL, or what is no Unicode.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        what = field(event, found[1])
        if what is None:
            raise EventError(f"{where}: expected an event with {found[1]}. Received: {event.kind} {event.id} without")
        return what

    made = _FIELD.sub(value, text)
    if "\0" in made or not is_unicode(made):
        raise EventError(
            f"{where}: expected Unicode text without NUL. Received: {made[:200]!r} from {event.kind} {event.id}"
        )
    return made


def field(event: Event, name: str) -> str | None:
    """A field of an event as text; None where it has none."""
    if name == "uri":
        return event.subject if event.kind == OBJECT else None
    if name == "date":
        return event.time[:10] or None
    if name in _PLAIN:
        return str(getattr(event, name)) or None
    first, *path = name.split(".")
    found: Any = event.attributes if first == "attributes" else event.data
    if first == "attributes":
        path = [".".join(path)]
    for step in path:
        found = found.get(step, _MISSING) if isinstance(found, dict) else _MISSING
        if found is _MISSING or found is None:
            return None
    return found if isinstance(found, str) else json.dumps(found)
