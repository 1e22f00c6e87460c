"""Whether a request's body has the fields' types that the API gives it, which are read from shapes.json.

That file is made from the clients' libraries by tools/emulator_shapes.py. A field that it does not name is let through,
as clients may be newer; one that is null is as good as not there.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from headrace.emulator.paging import camel
from headrace.emulator.refusals import Refusal

FILE = Path(__file__).with_name("shapes.json")
_WHOLE = re.compile(r"-?\d{1,20}")
_TYPES = {
    "s": "TYPE_STRING", "i": "TYPE_INT32", "l": "TYPE_INT64", "n": "TYPE_DOUBLE", "b": "TYPE_BOOL", "e": "TYPE_ENUM",
    "o": "google.protobuf.Struct", "t": "google.protobuf.Timestamp",
}  # fmt: skip
_LIMITS = {"i": 1 << 31, "l": 1 << 63}


def plain(template: str) -> str:
    """A route's template without the names of its places: `/v1/projects/*/models`."""
    return re.sub(r"\{\w+\*?\}", "*", template)


def read(method: str, template: str, body: dict[str, Any]) -> dict[str, Any]:
    """A body as the API reads it: names in its own spelling, numbers in one form, nothing that is null.

    Args:
        method, template: the route's.
        body: as it was sent.

    Raises:
        Refusal: INVALID_ARGUMENT: a field is of another type.
    """
    known = _known()
    name = known["requests"].get(f"{method} {plain(template)}")
    if name is None:
        return body
    found: dict[str, Any] = _message(known["messages"], name, body, "")
    return found


@cache
def _known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def _message(messages: dict[str, dict[str, str]], name: str, sent: Any, at: str) -> Any:
    if not isinstance(sent, dict):
        raise _wrong(at, name, sent)
    fields, found = messages[name], {}
    for key, value in sent.items():
        if value is None:
            continue
        own = key if key in fields else next((one for one in (camel(key), _snake(key)) if one in fields), key)
        inside = f"{at}.{key}" if at else key
        found[own] = _value(messages, fields[own], value, inside) if own in fields else value
    return found


def _value(messages: dict[str, dict[str, str]], kind: str, sent: Any, at: str) -> Any:
    if kind == "j":
        return sent
    if kind[0] == "[":
        if not isinstance(sent, list):
            raise _wrong(at, "a list", sent)
        return [_value(messages, kind[1:], one, f"{at}[{index}]") for index, one in enumerate(sent)]
    if kind[0] == "{":
        if not isinstance(sent, dict):
            raise _wrong(at, "a map", sent)
        return {key: _value(messages, kind[1:], one, f"{at}.{key}") for key, one in sent.items()}
    if kind in messages:
        return _message(messages, kind, sent, at)
    if kind in _LIMITS:
        return _number(kind, sent, at)
    fits = {
        "s": isinstance(sent, str),
        "n": _is_number(sent),
        "b": isinstance(sent, bool),
        "e": isinstance(sent, str) or (isinstance(sent, int) and not isinstance(sent, bool)),
        "o": isinstance(sent, dict),
        "t": _is_time(sent),
    }[kind]
    if not fits:
        raise _wrong(at, _TYPES[kind], sent)
    return sent


def _number(kind: str, sent: Any, at: str) -> int | str:
    """A whole number: of 64 bits it is a text, as protobuf's JSON has it."""
    whole: int | None = None
    if isinstance(sent, int) and not isinstance(sent, bool):
        whole = sent
    elif (isinstance(sent, float) and sent.is_integer()) or (isinstance(sent, str) and _WHOLE.fullmatch(sent)):
        whole = int(sent)
    if whole is None or not -_LIMITS[kind] <= whole < 2 * _LIMITS[kind]:
        raise _wrong(at, _TYPES[kind], sent)
    return whole if kind == "i" else str(whole)


def _is_number(sent: Any) -> bool:
    if isinstance(sent, str):
        return sent in ("NaN", "Infinity", "-Infinity")
    return isinstance(sent, int | float) and not isinstance(sent, bool)


def _is_time(sent: Any) -> bool:
    try:
        return datetime.fromisoformat(sent).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name)


def _wrong(at: str, kind: str, sent: Any) -> Refusal:
    shown = json.dumps(sent)
    return Refusal("INVALID_ARGUMENT", f"Invalid value at '{at}' ({kind}), {shown:.200}")
