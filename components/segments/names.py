"""What the models of segments are called: the spec's name, and the value in letters that every platform takes."""

from __future__ import annotations

import datetime
import hashlib
import re
import unicodedata
from collections.abc import Iterable

from headrace.artifacts.errors import HeadraceError

_LONGEST = 40  # of a value's part in a name: with the spec's name it stays within what registries take
_DIGITS = 8  # of a hash, where letters alone would not tell values apart


def text_of(value: object) -> str:
    """A value of a segment column as text: `true`, `2026-01-31`, `12`, `North America`.

    Raises:
        HeadraceError: it is of a type that names no segment: a fraction, a time, nothing.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    raise HeadraceError(f"expected a text, a whole number, a truth value or a date. Received: {value!r}")


def slug(value: str) -> str:
    """A value in lower-case letters, digits and hyphens: `North America` is `north-america`, `São Paulo` `sao-paulo`.

    A value of which that leaves nothing, and the end of a long one, become a hash, which is the same in every run.
    """
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if words and len(words) <= _LONGEST:
        return words
    digits = hashlib.sha256(value.encode()).hexdigest()[:_DIGITS]
    return f"{words[: _LONGEST - _DIGITS - 1].rstrip('-')}-{digits}".lstrip("-")


def slugs(values: Iterable[str]) -> dict[str, str]:
    """The slug of each value.

    Raises:
        HeadraceError: two values have the same one, so that their models would be one.
    """
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for value in values:
        found[value] = slug(value)
        other = taken.setdefault(found[value], value)
        if other != value:
            raise HeadraceError(
                f"expected values whose names differ in letters or digits. Received: {other!r} and {value!r}, which "
                f"would both be `{found[value]}`. Make them one value, or make them differ, where the data comes from; "
                "or name those that you want under for_each.values."
            )
    return found
