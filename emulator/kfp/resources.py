"""Resources of Kubeflow Pipelines as they are kept, found, and listed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from headrace.emulator import paging
from headrace.emulator.documents import Document, Documents
from headrace.emulator.filters import Field
from headrace.emulator.predicates import predicate
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call

EXPERIMENT, PIPELINE, VERSION = "KfpExperiment", "KfpPipeline", "KfpPipelineVersion"
RUN, RECURRING, SPEC = "KfpRun", "KfpRecurringRun", "KfpSpec"
AVAILABLE, ARCHIVED = "AVAILABLE", "ARCHIVED"
NEVER = "1970-01-01T00:00:00Z"  # as the API server writes a time that has not come
BASE = "/apis/v2beta1"

_CALLED = {EXPERIMENT: "Experiment", PIPELINE: "Pipeline", VERSION: "PipelineVersion", RUN: "Run", RECURRING: "Job"}
_PAGE, _MOST = 20, 200  # of the API server
_COMMON = ("display_name", "description", "created_at", "namespace")
_OTHER_NAMES = {"name": "display_name", "status": "state"}
_OPTIONS = "Failed to create list options"


def new_id() -> str:
    """A resource's identity, as the API server makes one."""
    return str(uuid.uuid4())


def get(documents: Documents, kind: str, id: str, doing: str) -> Document:
    """A resource.

    Args:
        doing: what fails without it, `Failed to get a run`.

    Raises:
        Refusal: NOT_FOUND, in the words of the API server.
    """
    found = documents.find(kind, id)
    if found is None:
        raise Refusal("NOT_FOUND", f"{doing}: ResourceNotFoundError: {_CALLED[kind]} {id} not found.")
    return found


def invalid(doing: str, why: str) -> Refusal:
    """A refusal of an input, in the words of the API server."""
    return Refusal("INVALID_ARGUMENT", f"{doing}: Invalid input error: {why}")


def taken(doing: str, name: str) -> Refusal:
    """A refusal of a name that another has."""
    return Refusal(
        "ALREADY_EXISTS",
        f"{doing}: Already exist error: The name {name} already exists. Please specify a new name",
    )


def listed(
    call: Call,
    documents: Iterable[Document],
    answer: str,
    fields: Mapping[str, str],
    shown: Callable[[Document], Document] = lambda document: document,
) -> Document:
    """The answer to a list: what the filter lets through, in order, one page of it.

    Args:
        call: `filter`, `sort_by`, `page_size`, `page_token`.
        documents: all, the newest first.
        answer: the answer's name for them.
        fields: those that may be filtered and sorted by, beside `_COMMON`; by their name there, the document's.
        shown: makes of a document what the API answers with.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    known = _Fields({**{name: name for name in _COMMON}, **fields})
    text = call.one("filter")
    lets_through = predicate(text if text.lstrip().startswith("{") else unquote_plus(text), known)
    found = [one for one in reversed(list(documents)) if lets_through(one)]
    name, _, direction = call.one("sort_by").strip().partition(" ")
    if direction.strip().lower() not in ("", "asc", "desc"):
        raise invalid(_OPTIONS, f"Received invalid order direction: {direction.strip()}")
    key = known[name or "created_at"]
    found.sort(key=lambda one: str(key(one) or ""))
    if direction.strip().lower() == "desc":
        found.reverse()
    size = call.one("page_size")
    size = str(min(int(size), _MOST)) if size.isdecimal() else size
    page, following = paging.page(found, size, call.one("page_token"), _PAGE)
    told: Document = {"total_size": len(found)}
    if page:
        told[answer] = [shown(one) for one in page]
    return {**told, "next_page_token": following} if following else told


class _Fields(Mapping[str, Field]):
    """How each field is read from a document; asked for any other, it refuses."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """By the field's name in the API, the document's."""
        self._names = {**names, **{other: names[name] for other, name in _OTHER_NAMES.items() if name in names}}

    def __getitem__(self, name: str) -> Field:
        """Reads a field.

        Raises:
            Refusal: INVALID_ARGUMENT: there is none of that name.
        """
        found = self._names.get(name)
        if found is None:
            raise invalid(_OPTIONS, f"Invalid field: {name!r}; known are {', '.join(sorted(self._names))}")
        return lambda document: document.get(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def in_namespace(document: Mapping[str, Any], namespace: str) -> bool:
    """Whether a resource is to be listed; without a namespace all are, as where there is one user alone."""
    return not namespace or document.get("namespace", "") == namespace


def instant(text: Any) -> datetime:
    """A time of RFC 3339, in UTC.

    Raises:
        Refusal: it is none.
    """
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Refusal("INVALID_ARGUMENT", f"Expected a time such as 2026-11-22T06:00:00Z. Received: {text!r}") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def written(moment: datetime | float) -> str:
    """A time, as the API writes one."""
    found = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
