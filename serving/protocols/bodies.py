"""JSON bodies of the protocols: decoding, and what was wrong with one in our words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from headrace.serving.request import BadRequest, malformed

Body = TypeVar("Body")

_FAULT = re.compile(
    r"(?:Expected (?P<what>.+?), got (?P<got>.+?)|(?P<other>.+?))(?: - at `\$(?P<path>.*)`)?", re.DOTALL
)
_WORDS = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "int | float": "a number",
}
_NO_FIELD = re.compile(r"Object missing required field `(.+)`")
_EXTRA = re.compile(r"Object contains unknown field `(.+)`")


def reader(kind: type[Body], form: str) -> Callable[[bytes], Body]:
    """The function from a body to a struct of this type, of which `form` is an example; it raises BadRequest."""
    decode = msgspec.json.Decoder(kind).decode

    def read(data: bytes) -> Body:
        try:
            return decode(data)
        except msgspec.ValidationError as error:
            raise BadRequest(fault(error)) from None
        except RecursionError:
            raise BadRequest("body: expected at most a few levels of nesting. Received: too many") from None
        except ValueError as error:
            if not data.strip():
                raise BadRequest(f"body: expected JSON {form}. Received: an empty body") from None
            raise BadRequest(malformed(data, error)) from None

    return read


def fault(error: Exception, where: str = "body") -> str:
    """What msgspec found, in our words: where, what was expected, and what came."""
    found = _FAULT.fullmatch(str(error))
    if found is None:
        return f"{where}: expected something else. Received: {error}"
    where += found["path"] or ""
    if found["what"]:
        return f"{where}: expected {_worded(found['what'])}. Received: {_worded(found['got'])}"
    if name := _NO_FIELD.fullmatch(found["other"]):
        return f'{where}: expected the field "{name[1]}". Received: none of that name'
    if name := _EXTRA.fullmatch(found["other"]):
        return f'{where}: expected only known fields. Received: "{name[1]}"'
    return f"{where}: expected {found['other'].removeprefix('Expected ').replace('`', '')}. Received: something else"


def _worded(kind: str) -> str:
    """msgspec's name of a type in words."""
    kind, may = kind.replace("`", ""), ""
    if kind.endswith(" | null"):
        kind, may = kind.removesuffix(" | null"), " or null"
    return _WORDS.get(kind, kind) + may
