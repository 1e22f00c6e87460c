"""Parameter values: what the IR carries as JSON, cast to the type that the component declares."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from headrace.artifacts.errors import HeadraceError

_TYPE_NAMES = {
    "NUMBER_INTEGER": "an integer",
    "NUMBER_DOUBLE": "a number",
    "STRING": "a string",
    "BOOLEAN": "true or false",
    "LIST": "a list",
    "STRUCT": "a mapping",
}


class ValueMismatch(HeadraceError):
    """A parameter's value is not of the type that its definition names, or is a text that nobody can write down."""


def cast(value: Any, parameter_type: str, where: str) -> Any:
    """Returns `value` as `parameter_type` has it; the IR writes integers as 1.0.

    Raises:
        ValueMismatch: the value has another type, or holds what is no Unicode: Python has such texts for file names
            that are not UTF-8, and neither the record nor a hash can take them.
    """
    if value is None:
        return value
    try:
        found = _CASTERS[parameter_type](value) if parameter_type in _TYPE_NAMES else value
    except (TypeError, ValueError, OverflowError):
        raise ValueMismatch(
            f"{where}: expected {_TYPE_NAMES[parameter_type]} ({parameter_type}). Received: {shown(value)}"
        ) from None
    if not is_unicode(found):
        raise ValueMismatch(
            f"{where}: expected Unicode text; the bytes of a file's name, say, may be none. Received: {shown(found)}"
        )
    return found


def is_unicode(value: Any) -> bool:
    """Whether all texts in a value can be written as UTF-8: half of a surrogate pair cannot.

    >>> is_unicode("café"), is_unicode(["caf\\udce9"])
    (True, False)
    """
    if value is None or isinstance(value, bool | int | float):
        return True
    try:
        (value if isinstance(value, str) else to_json(value)).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any, limit: int = 200) -> str:
    """A value as it may stand in an error message."""
    text = value if isinstance(value, str) and not value.strip().startswith(("[", "{")) else to_json(value)
    text = repr(text) if isinstance(value, str) else text.encode(errors="backslashreplace").decode()
    return text if len(text) <= limit else text[:limit] + "..."


def to_json(value: Any) -> str:
    """Compact JSON; NaN and infinities stand as KFP's executor writes them."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=str)


def as_text(value: Any) -> str:
    """What a placeholder inside a longer string becomes: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else to_json(value)


def tidy(value: Any) -> Any:
    """Turns the whole numbers inside lists and mappings of the IR (1.0) back into integers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [tidy(item) for item in value]
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items()}
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"[+-]?\d+", text):
            return int(text)
        value = float(text)  # "1.0", as a program may write it
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def _double(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if isinstance(value, str) and math.isnan(number):
        raise ValueError
    return number


def _string(value: Any) -> str:
    return as_text(tidy(value))


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise TypeError


def _list(value: Any) -> list[Any]:
    value = json.loads(value) if isinstance(value, str) else value
    if not isinstance(value, list):
        raise TypeError
    return value


def _struct(value: Any) -> dict[str, Any]:
    value = json.loads(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise TypeError
    return value


_CASTERS: dict[str, Any] = {
    "NUMBER_INTEGER": _integer,
    "NUMBER_DOUBLE": _double,
    "STRING": _string,
    "BOOLEAN": _boolean,
    "LIST": _list,
    "STRUCT": _struct,
}
