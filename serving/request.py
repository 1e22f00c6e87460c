"""The request body, {"instances": [{feature: value, ...}, ...], "parameters": {...}}, and what can be wrong.

Every feature must be there; null says that it is missing. Values are never guessed at: a number in quotes
is an error, and so is a whole number that float64 cannot hold. A boolean may also be written 0 or 1, since
that is how many tools export it. A category is a string, also where it looks like a number: 7 and "7" need
not be the same. `parameters` is accepted, as Vertex sends it, and not used.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal

import msgspec

from headrace.artifacts.signature import EXACT, Input, Signature
from headrace.serving.encode import days

WHOLE = "a whole number from -2^53 to 2^53, or one with a decimal point"

TYPES: dict[str, Any] = {
    "number": Annotated[int, msgspec.Meta(ge=-EXACT, le=EXACT)] | float | None,
    "boolean": bool | Literal[0, 1] | None,
    "category": str | None,
    "date": str | None,
    "text": str | None,
}

_EXPECTED = {
    "number": "a number or null",
    "boolean": "true, false or null",
    "category": "a string or null",
    "date": "a date such as 2024-03-01 or 2024-03-01T10:20:30Z, or null",
    "text": "a string or null",
}

_SHOWN = 80  # characters of a wrong value that an error repeats


class BadRequest(ValueError):
    """The body cannot be scored; the message says why, to the client."""


def instance_decoder(signature: Signature) -> Callable[[bytes], list[Any]]:
    """Builds the function from a body to its instances: structs whose fields are in the signature's order.

    The function raises BadRequest. It does not parse dates; see `explain` for those.
    """
    decode = (
        _decoder(signature) if all(_plain(item.name) for item in signature.inputs) else _any_name_decoder(signature)
    )

    def instances(data: bytes) -> list[Any]:
        try:
            return decode(data)
        except (
            ValueError,
            RecursionError,
        ) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
            raise BadRequest(explain(data, signature, error)) from None

    return instances


def _decoder(signature: Signature) -> Callable[[bytes], list[Any]]:
    fields = [
        (f"f{place}", TYPES[item.type], msgspec.field(name=item.name)) for place, item in enumerate(signature.inputs)
    ]
    instance = msgspec.defstruct("Instance", fields, forbid_unknown_fields=True, gc=False)
    decode = msgspec.json.Decoder(body_of(instance)).decode
    return lambda data: decode(data).instances  # type: ignore[attr-defined]


def _any_name_decoder(signature: Signature) -> Callable[[bytes], list[Any]]:
    """The same for names that msgspec refuses in a struct: in two steps, at some ten times the cost."""
    instance = msgspec.defstruct("Instance", [(f"f{place}", Any) for place in range(len(signature.inputs))], gc=False)
    decode = msgspec.json.Decoder(body_of(dict[str, msgspec.Raw])).decode
    leaves = [(item.name, msgspec.json.Decoder(TYPES[item.type]).decode) for item in signature.inputs]

    def instances(data: bytes) -> list[Any]:
        found = []
        for values in decode(data).instances:  # type: ignore[attr-defined]
            if len(values) != len(leaves):
                raise ValueError("expected the signature's fields")
            try:
                found.append(instance(*[leaf(values[name]) for name, leaf in leaves]))
            except KeyError as error:
                raise ValueError(f"expected the field {error}") from None
        return found

    return instances


def body_of(instance: Any) -> type[msgspec.Struct]:
    """A body with instances of this type."""
    fields: list[Any] = [("instances", list[instance]), ("parameters", msgspec.Raw, msgspec.Raw(b""))]
    return msgspec.defstruct("Body", fields, forbid_unknown_fields=True)


def _plain(name: str) -> bool:
    """Whether JSON writes a name as it is: msgspec takes no other names for the fields of a struct."""
    return json.dumps(name, ensure_ascii=False) == f'"{name}"'


def explain(data: bytes, signature: Signature, error: Exception) -> str:
    """Says in the client's terms what is wrong with a body that could not be scored.

    Walks the body a second time, leaf by leaf, to name the instance and field and to repeat the value as it
    was sent. `error` is what the fast path raised; it is passed on if the slow path finds nothing wrong.
    """
    try:
        body = json_object(msgspec.Raw(data), "body", ("instances", "parameters"))
        if "instances" not in body:
            return 'body: expected the field "instances". Received: none of that name'
        for place, raw in enumerate(json_list(body["instances"], "instances")):
            where = f"instances[{place}]"
            values = json_object(raw, where, [item.name for item in signature.inputs])
            missing = [item.name for item in signature.inputs if item.name not in values]
            if missing:
                return f"{where}: expected {fields_of(missing)} (null where missing). Received: none"
            for item in signature.inputs:
                _leaf(values[item.name], where, item)
    except BadRequest as found:
        return str(found)
    except RecursionError:
        return "body: expected at most a few levels of nesting. Received: too many"
    except ValueError as not_json:
        return malformed(data, not_json)
    return f"body: {error}"


def json_object(raw: msgspec.Raw, where: str, known: Collection[str]) -> dict[str, msgspec.Raw]:
    """An object's values by name; one that is none, or has unknown names, is a BadRequest."""
    try:
        values = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise BadRequest(f"{where}: expected an object. Received: {shown(raw)}") from None
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise BadRequest(f"{where}: expected only {fields_of(known)}. Received: {name[:_SHOWN]!r}{hint}")
    return values


def fields_of(names: Collection[str]) -> str:
    """Fields in words: `the field a`, `the fields a, b`."""
    return f"the field{'s' * (len(names) != 1)} {', '.join(names)}"


def json_list(raw: msgspec.Raw, where: str) -> list[msgspec.Raw]:
    """A list's values; what is none is a BadRequest."""
    try:
        return msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        raise BadRequest(f"{where}: expected a list of objects. Received: {shown(raw)}") from None


def _leaf(raw: msgspec.Raw, where: str, item: Input) -> None:
    where = f"{where}.{item.name}"
    try:
        value = msgspec.json.decode(raw, type=TYPES[item.type])
    except UnicodeDecodeError:
        raise BadRequest(f"{where}: expected text in UTF-8. Received: other bytes") from None
    except msgspec.DecodeError:
        raise BadRequest(f"{where}: expected {_expected(raw, item)}. Received: {shown(raw)}") from None
    if item.type == "date" and value:
        try:
            days(value)
        except ValueError as error:
            raise BadRequest(f"{where}: {error}. Received: {shown(raw)}") from None


def _expected(raw: msgspec.Raw, item: Input) -> str:
    text = bytes(raw).strip()
    if item.type == "number" and text.lstrip(b"-").isdigit():
        return WHOLE
    if item.type == "number" and text[:1] in (b"-", *(b"%d" % digit for digit in range(10))):
        return "a number that float64 can hold"
    return _EXPECTED[item.type]


def malformed(data: bytes, error: ValueError) -> str:
    """Says where a text ceases to be JSON."""
    if not data.strip():
        return 'body: expected JSON {"instances": [...]}. Received: an empty body'
    if isinstance(error, UnicodeDecodeError):
        return "body: expected JSON in UTF-8. Received: other bytes"
    if data[:2] == b"\x1f\x8b":
        return "body: expected JSON. Received: gzip data"
    reason = str(error).removeprefix("JSON is malformed: ")
    if reason == "Input data was truncated":
        return f"body: expected JSON. Received: a text that ends too early, at byte {len(data)}"
    what, _, position = reason.rstrip(")").partition(" (byte ")
    if what == "trailing characters":
        position = str(int(position) - 1)  # where they begin; msgspec counts the first of them already
    near = data[int(position) :][:12].decode(errors="replace") if position.isdigit() else ""
    hint = " (JSON has no NaN or infinity: null says a value is missing)" if near[:3] in ("NaN", "Inf") else ""
    return f"body: expected JSON. Received: {what} at byte {position}, near {near!r}{hint}"


def shown(raw: msgspec.Raw) -> str:
    """A value as it was sent, shortened."""
    text = bytes(raw).strip().decode(errors="replace")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text):,} characters)"
