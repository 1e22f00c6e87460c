"""Field masks: which fields of a resource an update changes, or an answer shows.

Names come in camelCase or snake_case, with commas between them; `labels.team` is one key of a map.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from headrace.emulator.documents import Document
from headrace.emulator.paging import camel
from headrace.emulator.refusals import Refusal


def paths(mask: str) -> list[list[str]]:
    """A mask's paths, as JSON names them; what stands behind the first dot of a map is a key and is left as it is."""
    found = []
    for path in (path.strip() for path in mask.split(",")):
        if path and path != "*":
            first, *rest = path.split(".")
            found.append([camel(first), *rest] if camel(first) in _MAPS else [camel(part) for part in (first, *rest)])
    return found


_MAPS = ("labels", "metadata", "trafficSplit")


def update(resource: Document, wanted: Document, mask: str, allowed: Iterable[str] = ()) -> Document:
    """A resource with the masked fields of another; those that the other lacks are removed.

    Args:
        resource: as it stands.
        wanted: as the client sent it.
        mask: empty means every field that the client sent, and that may be changed.
        allowed: the fields that may be changed; empty for all.

    Raises:
        Refusal: a field is not among the allowed ones.
    """
    known = set(allowed)
    wanted_paths = paths(mask) or [[n] for n in wanted if n not in ("name", "etag") and (not known or n in known)]
    after = copy.deepcopy(resource)
    for path in wanted_paths:
        if known and path[0] not in known:
            raise Refusal(
                "INVALID_ARGUMENT", f"update_mask: {'.'.join(path)} cannot be updated; {', '.join(sorted(known))} can"
            )
        _copy(wanted, after, path)
    return after


def _copy(source: Document, target: Document, path: list[str]) -> None:
    *above, last = path
    found: object = source
    for part in above:
        found = found.get(part) if isinstance(found, dict) else None
    there = isinstance(found, dict) and last in found
    for part in above:
        if part not in target and not there:
            return
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise Refusal("INVALID_ARGUMENT", f"update_mask: {'.'.join(path)}: {part} has no fields")
    if isinstance(found, dict) and there:
        target[last] = copy.deepcopy(found[last])
    else:
        target.pop(last, None)


def read(resource: Document, mask: str) -> Document:
    """The masked fields of a resource alone; all of them where the mask is empty or `*`."""
    shown = paths(mask)
    if not shown:
        return resource
    after: Document = {}
    for path in shown:
        found: object = resource
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        if found is not None:
            place = after
            for part in path[:-1]:
                place = place.setdefault(part, {})
            place[path[-1]] = copy.deepcopy(found)
    return after
