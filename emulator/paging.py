"""One page of a list: its order, its size, and the token of the next one."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from headrace.emulator.documents import Document
from headrace.emulator.refusals import Refusal

MOST = 1000  # on one page, whatever is asked for


def ordered(documents: Sequence[Document], order_by: str) -> list[Document]:
    """Sorted by `field desc, other`: of fields in camelCase or snake_case; missing ones come first.

    Raises:
        Refusal: that is no order.
    """
    found = list(documents)
    for term in reversed([term.split() for term in order_by.split(",") if term.strip()]):
        if len(term) > 2 or term[1:] not in ([], ["asc"], ["desc"]):
            raise Refusal("INVALID_ARGUMENT", f"order_by: expected `field` or `field desc`. Received: {' '.join(term)}")
        path = [camel(part) for part in term[0].split(".")]
        found.sort(key=lambda document: _key(document, path), reverse=term[1:] == ["desc"])
    return found


def page(
    documents: Sequence[Document], size: str, token: str, default: int = 100, identity: str = "name"
) -> tuple[list[Document], str]:
    """The documents of a page, and the token of the next one; empty where this is the last.

    A token names the document that its page begins with, and its place, should it be gone by then. So a list that grows
    at its front meanwhile, or loses what was on the pages before, is still read without gaps.

    Args:
        documents: the whole list, in its order.
        size: as the client gave it; empty or 0 for `default`.
        token: as a page before gave it; empty for the first page.
        default: the size of a page where the client says none.
        identity: the field that names a document.

    Raises:
        Refusal: the size is no number, or the token no page's.
    """
    try:
        wanted = int(size or 0)
        start, name = json.loads(base64.urlsafe_b64decode(token.encode())) if token else (0, "")
    except (ValueError, TypeError, RecursionError):
        wanted, start, name = -1, 0, ""
    if wanted < 0 or not isinstance(start, int) or start < 0:
        raise Refusal("INVALID_ARGUMENT", f"List request: page size {size!r} or page token {token!r} is invalid")
    if name:
        start = next((at for at, document in enumerate(documents) if document.get(identity) == name), start)
    end = start + min(wanted or default, MOST)
    if end >= len(documents):
        return list(documents[start:end]), ""
    following = json.dumps([end, documents[end].get(identity, "")])
    return list(documents[start:end]), base64.urlsafe_b64encode(following.encode()).decode()


def camel(name: str) -> str:
    """A field's name as JSON writes it: `create_time` -> `createTime`."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _key(document: Document, path: Sequence[str]) -> tuple[int, float, str]:
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, bool | int | float):
        return 1, float(value), ""
    return 2, 0.0, str(value)
