"""The request body of a model of images, and what can be wrong.

An instance is a picture in one of these forms, of which the first is Vertex AI's:

    {"image": {"b64": "..."}}           a JPEG or PNG file in Base64
    {"b64": "..."}                      likewise
    {"image_bytes": {"b64": "..."}}     likewise, as TensorFlow Serving has it
    {"image": [[[r, g, b], ...], ...]}  pixels, rows from the top, whole numbers from 0 to 255
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np

from headrace.artifacts.pictures import Pixels
from headrace.serving.request import BadRequest, body_of, json_list, json_object, malformed, shown

Value = Annotated[int, msgspec.Meta(ge=0, le=255)]
Rows = list[list[tuple[Value, Value, Value]]]

_FORMS = 'a picture as {"b64": "..."} with a JPEG or PNG file in Base64, or as rows of pixels [r, g, b]'


class Encoded(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A file in Base64."""

    b64: bytes


def picture_decoder(name: str) -> Callable[[bytes], list[bytes | Pixels]]:
    """Builds the function from a body to its pictures: files' bytes, or pixels uint8 [h, w, 3].

    Args:
        name: of the signature's input.

    The function raises BadRequest.
    """
    absent: Any = msgspec.UNSET
    fields: list[Any] = [
        ("picture", Encoded | Rows | msgspec.UnsetType, msgspec.field(name=name, default=absent)),
        ("b64", bytes | msgspec.UnsetType, absent),
        ("image_bytes", Encoded | msgspec.UnsetType, absent),
    ]
    instance = msgspec.defstruct("Instance", fields, forbid_unknown_fields=True, gc=False)
    decode = msgspec.json.Decoder(body_of(instance)).decode

    def pictures(data: bytes) -> list[bytes | Pixels]:
        try:
            return [_picture(one) for one in decode(data).instances]  # type: ignore[attr-defined]
        except (ValueError, RecursionError) as error:
            raise BadRequest(explain(data, name, error)) from None

    return pictures


def _picture(instance: Any) -> bytes | Pixels:
    given = [one for one in (instance.picture, instance.b64, instance.image_bytes) if one is not msgspec.UNSET]
    if len(given) != 1:
        raise ValueError("expected one picture")
    (one,) = given
    if isinstance(one, list):
        return _pixels(one)
    content: bytes = one.b64 if isinstance(one, Encoded) else one
    return content


def _pixels(rows: Rows) -> Pixels:
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("expected rows of equally many pixels")
    return np.array(rows, np.uint8)


def explain(data: bytes, name: str, error: Exception) -> str:
    """Says in the client's terms what is wrong with a body: which instance and field, and what was sent there."""
    known = (name, "b64", "image_bytes")
    try:
        body = json_object(msgspec.Raw(data), "body", ("instances", "parameters"))
        if "instances" not in body:
            return 'body: expected the field "instances". Received: none of that name'
        for place, raw in enumerate(json_list(body["instances"], "instances")):
            where = f"instances[{place}]"
            values = json_object(raw, where, known)
            if len(values) != 1:
                return (
                    f"{where}: expected one of the fields {', '.join(known)}. Received: {', '.join(values) or 'none'}"
                )
            (field,) = values
            _leaf(values[field], f"{where}.{field}", field, name)
    except BadRequest as found:
        return str(found)
    except RecursionError:
        return "body: expected at most a few levels of nesting. Received: too many"
    except ValueError as not_json:
        return malformed(data, not_json)
    return f"body: {error}"


def _leaf(raw: msgspec.Raw, where: str, field: str, name: str) -> None:
    begins = bytes(raw).lstrip()[:1]
    if begins == b"[" and field == name:
        try:
            _pixels(msgspec.json.decode(raw, type=Rows))
        except ValueError:
            expected = "rows of equally many pixels [r, g, b], whole numbers from 0 to 255"
            raise BadRequest(f"{where}: expected {expected}. Received: {shown(raw)}") from None
        return
    if field != "b64":
        if begins != b"{":
            expected = _FORMS if field == name else 'an object {"b64": "..."}'
            raise BadRequest(f"{where}: expected {expected}. Received: {shown(raw)}")
        values = json_object(raw, where, ("b64",))
        if "b64" not in values:
            raise BadRequest(f'{where}: expected the field "b64". Received: none')
        raw, where = values["b64"], f"{where}.b64"
    try:
        msgspec.json.decode(raw, type=bytes)
    except ValueError:
        expected = "a file's bytes in Base64 (with + and /, padded with =)"
        raise BadRequest(f"{where}: expected {expected}. Received: {shown(raw)}") from None
