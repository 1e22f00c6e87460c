"""Writes changes of a schema into its text: what did not change stays as people wrote it, comments and order too.

A schema's text is a row of entries (`feature { ... }`, `string_domain { ... }`, ...). Only an entry that changed is
written anew, its fields in the format's order; a comment inside stays with the field below it or beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.artifacts.schema import parse_schema

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

_KINDS = ("feature", "string_domain")  # the entries that have names, and may change
_BLANK = re.compile(r"(?:\s|#[^\n]*(?:\n|$))*")
_KEY = re.compile(r"[A-Za-z_]\w*")
_TEXT = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")
_SCALAR = re.compile(r"[^\s#;,]+")
_CLOSING = {"{": "}", "<": ">", "[": "]"}


@dataclass(frozen=True)
class Entry:
    """One entry of the text."""

    key: str
    start: int
    end: int


def rewritten(text: str, schema: schema_pb2.Schema) -> str:
    """The text of a schema that has become `schema`, by as few changes as that takes.

    Raises:
        ArtifactError: the text is no schema.
    """
    old = parse_schema(text)
    entries = list(_entries(text))
    result = text
    appended = ""
    for kind in reversed(_KINDS):  # from the end backwards only within a kind: places are found anew for the other
        places = [entry for entry in _entries(result) if entry.key == kind]
        if len(places) != len(getattr(old, kind)):  # such as `feature: [{...}, {...}]`
            return _from_scratch(text, entries, schema)
        wanted = {message.name: message for message in getattr(schema, kind)}
        before = {message.name: message for message in getattr(old, kind)}
        for place, message in reversed(list(zip(places, getattr(old, kind), strict=True))):
            result = _replaced(result, place, kind, message, wanted.get(message.name))
        new = [message for name, message in wanted.items() if name not in before]
        appended = "".join(_rendered(kind, message) for message in new) + appended
    new_environments = [name for name in schema.default_environment if name not in old.default_environment]
    appended += "".join(f'default_environment: "{name}"\n' for name in new_environments)
    if appended:
        result = result.rstrip("\n") + "\n" + appended
    return result if parse_schema(result) == schema else _from_scratch(text, entries, schema)


def _replaced(text: str, place: Entry, kind: str, old: Any, new: Any) -> str:
    if new == old:
        return text
    head, body, tail = text[: place.start], text[place.start : place.end], text[place.end :]
    if new is None:
        return head.rstrip(" \t") + tail.removeprefix("\n")
    return head + _with_comments(_rendered(kind, new), body).rstrip("\n") + tail


def _rendered(kind: str, message: Any) -> str:
    from google.protobuf import text_format

    lines = str(text_format.MessageToString(message, as_utf8=True)).splitlines()
    return "\n".join([f"{kind} {{", *(f"  {line}" for line in lines), "}"]) + "\n"


def _with_comments(new: str, old: str) -> str:
    """A new entry's text with the comments of the old one: over the same field, and behind it."""
    above, behind = _comments(old)
    lines: list[str] = []
    for path, line in _fields(new):
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}{comment}" for comment in above.pop(path, [])]
        lines.append(line + (f"  {behind.pop(path)}" if path in behind else ""))
    left = [comment for comments in above.values() for comment in comments] + list(behind.values())
    return "\n".join([lines[0], *(f"  {comment}" for comment in left), *lines[1:]]) + "\n"


def _comments(text: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The comments over and behind each field, by the field's path."""
    above: dict[str, list[str]] = {}
    behind: dict[str, str] = {}
    waiting: list[str] = []
    for path, line in _fields(text):
        code, comment = _cut(line)
        if not code.strip():
            waiting += [comment] if comment else []
            continue
        if waiting:
            above.setdefault(path, []).extend(waiting)
            waiting = []
        if comment:
            behind[path] = comment
    return above, behind


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Each line with the path of the field that begins in it; repeated fields are told apart by their value."""
    stack: list[str] = []
    for line in text.splitlines():
        code = _cut(line)[0].strip()
        if code.startswith(("}", ">")):
            yield "/".join([*stack, "}"]), line
            stack = stack[:-1]
            continue
        path = "/".join([*stack, code if code.startswith("value") else code.partition(":")[0].rstrip(" {<")])
        yield path, line
        if code.endswith(("{", "<")):
            stack.append(code.rstrip(" {<:"))


def _cut(line: str) -> tuple[str, str]:
    """A line's code and its comment."""
    position = 0
    while position < len(line):
        if line[position] == "#":
            return line[:position].rstrip(), line[position:].rstrip()
        found = _TEXT.match(line, position)
        position = found.end() if found else position + 1
    return line, ""


def _entries(text: str) -> Iterator[Entry]:
    """The entries of a text that parses."""
    position = _after_blank(text, 0)
    while position < len(text):
        key = _KEY.match(text, position)
        if key is None:  # a separator
            position = _after_blank(text, position + 1)
            continue
        end = _after_value(text, _after_blank(text, key.end()))
        yield Entry(key.group(), position, end)
        position = _after_blank(text, end)


def _after_value(text: str, position: int) -> int:
    if text[position] == ":":
        position = _after_blank(text, position + 1)
    if text[position] in _CLOSING:
        return _after_bracket(text, position)
    found = _TEXT.match(text, position) or _SCALAR.match(text, position)
    return found.end() if found else position + 1


def _after_bracket(text: str, position: int) -> int:
    open_brackets = [_CLOSING[text[position]]]
    position += 1
    while open_brackets and position < len(text):
        blank = _after_blank(text, position)
        found = _TEXT.match(text, blank)
        if found:
            position = found.end()
            continue
        sign = text[blank : blank + 1]
        if sign == open_brackets[-1]:
            open_brackets.pop()
        elif sign in _CLOSING and sign:
            open_brackets.append(_CLOSING[sign])
        position = blank + 1
    return position


def _after_blank(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _from_scratch(text: str, entries: list[Entry], schema: schema_pb2.Schema) -> str:
    """The whole schema written anew, after the comments that led the old text."""
    from google.protobuf import text_format

    head = text[: entries[0].start] if entries else ""
    return head + str(text_format.MessageToString(schema, as_utf8=True))


def by_name(schema: schema_pb2.Schema) -> Mapping[str, schema_pb2.Feature]:
    """The features by their names."""
    return {feature.name: feature for feature in schema.feature}
