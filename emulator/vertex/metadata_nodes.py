"""Contexts, executions and artifacts of a metadata store: their names, fields and etags."""

from __future__ import annotations

import re
import time
import uuid

from headrace.emulator.documents import Document, now
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call
from headrace.emulator.vertex.names import check_labels, invalid, location

CONTEXT, EXECUTION, ARTIFACT = "Context", "Execution", "Artifact"
COLLECTIONS = {CONTEXT: "contexts", EXECUTION: "executions", ARTIFACT: "artifacts"}
STATES = {
    CONTEXT: {},
    EXECUTION: {
        0: "STATE_UNSPECIFIED", 1: "NEW", 2: "RUNNING", 3: "COMPLETE", 4: "FAILED", 5: "CACHED", 6: "CANCELLED",
    },
    ARTIFACT: {0: "STATE_UNSPECIFIED", 1: "PENDING", 2: "LIVE"},
}  # fmt: skip
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_COMMON = ("displayName", "labels", "metadata", "description")
CHANGEABLE = {
    CONTEXT: _COMMON,
    EXECUTION: (*_COMMON, "state"),
    ARTIFACT: (*_COMMON, "state", "uri"),
}
_KIND_OF = {collection: kind for kind, collection in COLLECTIONS.items()}


def store_name(call: Call) -> str:
    """The metadata store's full name."""
    return f"{location(call)}/metadataStores/{call.params['store']}"


def full_name(call: Call, kind: str) -> str:
    """The full name of the resource that a request is about."""
    return f"{store_name(call)}/{COLLECTIONS[kind]}/{call.params['id']}"


def kind_of(name: str) -> str:
    """Of a resource by its full name."""
    return _KIND_OF[name.split("/")[-2]]


def checked_id(kind: str, id: str) -> str:
    """The id that a client gave, or a new one.

    Raises:
        Refusal: it is none.
    """
    if id and not _ID.fullmatch(id):
        raise invalid(f"{kind.lower()}_id: expected to match {_ID.pattern}. Received: {id!r:.200}")
    return id or str(uuid.uuid4())


def checked(kind: str, sent: Document) -> Document:
    """What a client gives of a resource, its state as a name.

    Raises:
        Refusal: a field is not of its type.
    """
    check_labels(sent)
    if not isinstance(sent.get("metadata", {}), dict):
        raise invalid(f"{kind.lower()}.metadata: expected an object. Received: {sent['metadata']!r:.200}")
    states = STATES[kind]
    if "state" not in sent or not states:
        return sent
    state = states.get(sent["state"], sent["state"])
    if state not in states.values():
        raise invalid(f"{kind.lower()}.state: expected one of {', '.join(states.values())}. Received: {state!r:.50}")
    return {**sent, "state": state}


def made(kind: str, name: str, sent: Document) -> Document:
    """A new resource, of what a client sent."""
    kept = {field: sent[field] for field in (*CHANGEABLE[kind], "schemaTitle", "schemaVersion") if field in sent}
    moment = now()
    return {"name": name, "metadata": {}, **kept, "createTime": moment, "updateTime": moment, "etag": _etag("")}


def changed(after: Document, before: Document) -> Document:
    """A resource with the time and the etag that it has after a change."""
    return {**after, "createTime": before["createTime"], "updateTime": now(), "etag": _etag(before.get("etag", ""))}


def check_etag(kind: str, found: Document, etag: str, code: str = "ABORTED") -> None:
    """A resource that somebody else changed meanwhile is not overwritten.

    The message is the service's. (By gRPC the SDK reads the resource again and goes on; by REST, where ABORTED cannot
    be told from other conflicts, it raises.)

    Raises:
        Refusal: the etag is another.
    """
    if etag and etag != found["etag"]:
        raise Refusal(code, f"Specified {kind} `etag`: `{etag}` does not match server `etag`: `{found['etag']}`")


def _etag(before: str) -> str:
    """Numbers of the same length that grow, as the SDK compares them as texts."""
    return str(max(time.time_ns() // 1000, int(before or 0) + 1))
