"""Names, labels and references of Vertex AI's resources."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call

LOCATION = "/v1/projects/{project}/locations/{location}"
_MOST_LABELS, _LONGEST = 64, 63


def location(call: Call) -> str:
    """`projects/P/locations/L` of a request."""
    return f"projects/{call.params['project']}/locations/{call.params['location']}"


def new_id() -> str:
    """A number such as the service gives."""
    return str(10**18 + secrets.randbelow(8 * 10**18))


def invalid(message: str) -> Refusal:
    """INVALID_ARGUMENT."""
    return Refusal("INVALID_ARGUMENT", message)


def required(body: Mapping[str, Any], name: str, above: str) -> str:
    """A text that a resource has to have.

    Raises:
        Refusal: it is not there.
    """
    found = body.get(name)
    if not isinstance(found, str) or not found.strip():
        raise invalid(f"{above}.{name}: expected a text. Received: {found!r}")
    return found


def check_endpoint_id(id: str) -> str:
    """https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/create

    Raises:
        Refusal: it is none that a client may choose.
    """
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?|[1-9][0-9]{0,8}", id):
        raise invalid(
            "endpoint_id: expected up to 63 of [a-z0-9-], a letter first and no - at the end, or a number of up to 9 "
            f"digits. Received: {id!r:.200}"
        )
    return id


def check_labels(body: Mapping[str, Any]) -> None:
    """Labels are of small letters, digits, `_` and `-`, up to 63 of them, and up to 64 labels.

    Raises:
        Refusal: they are not.
    """
    labels = body.get("labels") or {}
    if not isinstance(labels, dict) or len(labels) > _MOST_LABELS:
        raise invalid(f"labels: expected up to {_MOST_LABELS} of them. Received: {labels!r:.200}")
    for key, value in labels.items():
        fine = isinstance(value, str) and _is_label(value) and key and _is_label(key) and key[0].isalpha()
        if not fine:
            raise invalid(
                f"labels: expected small letters, digits, `_` and `-`, up to {_LONGEST}, a letter first in a key. "
                f"Received: {key!r}: {value!r:.100}"
            )


def check_id(id: str, what: str) -> str:
    """An id that the client chose.

    Raises:
        Refusal: it is none.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", id):
        raise invalid(f"{what}: expected up to 63 of [a-z0-9_-], a letter first. Received: {id!r:.200}")
    return id


def _is_label(text: str) -> bool:
    return len(text) <= _LONGEST and text == text.lower() and all(one.isalnum() or one in "_-" for one in text)
