"""What connects the metadata store's resources: contexts with their children and members, executions with artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from headrace.emulator import filters
from headrace.emulator.documents import Document, now
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call
from headrace.emulator.vertex.metadata_nodes import ARTIFACT, CONTEXT, EXECUTION, full_name, kind_of
from headrace.emulator.vertex.names import invalid

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_MEMBER = "ContextMember"  # documents `CONTEXT|MEMBER`, whose parent is the context
_MEMBERSHIP = "ContextMembership"  # the same ones, whose parent is the member
_OF_EXECUTION = "ExecutionEvent"  # documents `EXECUTION|ARTIFACT|TYPE`, whose parent is the execution
_OF_ARTIFACT = "ArtifactEvent"  # the same ones, whose parent is the artifact
_EVENTS = {0: "TYPE_UNSPECIFIED", 1: "INPUT", 2: "OUTPUT"}
_MOST_PARENTS = 10
_MOST_IN_ANSWER = 1000


def functions(emulator: Emulator) -> dict[str, filters.Function]:
    """`in_context("projects/...")`, for filters of artifacts and executions."""
    known: dict[str, set[str]] = {}

    def in_context(document: Document, arguments: list[str]) -> bool:
        if len(arguments) != 1:
            raise invalid(f"filter: expected in_context(CONTEXT). Received: {len(arguments)} arguments")
        [context] = arguments
        if context not in known:
            known[context] = set(members(emulator, context))
        return document["name"] in known[context]

    return {"in_context": in_context}


def children(emulator: Emulator, context: Document) -> list[str]:
    """Names of the contexts that are below one; for filters: `child_contexts`."""
    name = context["name"]
    store = name.rpartition("/contexts/")[0]
    return [one["name"] for one in emulator.documents.list(CONTEXT, store) if name in one.get("parentContexts", ())]


def members(emulator: Emulator, context: str) -> list[str]:
    """Names of a context's artifacts and executions."""
    return [one["member"] for one in emulator.documents.list(_MEMBER, context)]


def add_members(emulator: Emulator, context: str, names: Iterable[str]) -> None:
    """Puts artifacts and executions into a context; those that are in it stay. Within a transaction."""
    for name in names:
        link = f"{context}|{name}"
        if emulator.documents.find(_MEMBER, link) is None:
            body = {"context": context, "member": name}
            emulator.documents.create(_MEMBER, link, body, context)
            emulator.documents.create(_MEMBERSHIP, link, body, name)


def add_events(emulator: Emulator, events: Iterable[Document]) -> None:
    """Says which artifact an execution took or made; what was said before stays. Within a transaction.

    Args:
        emulator: whose.
        events: each with `execution`, `artifact` and `type`.
    """
    for event in events:
        execution, artifact = event["execution"], event["artifact"]
        link = f"{execution}|{artifact}|{event['type']}"
        if emulator.documents.find(_OF_EXECUTION, link) is None:
            body = {"eventTime": now(), **event}
            emulator.documents.create(_OF_EXECUTION, link, body, execution)
            emulator.documents.create(_OF_ARTIFACT, link, body, artifact)


def unlink(emulator: Emulator, kind: str, name: str) -> None:
    """Removes what connects a resource that goes. Within a transaction."""
    documents = emulator.documents
    if kind == CONTEXT:
        for member in members(emulator, name):
            documents.delete(_MEMBERSHIP, f"{name}|{member}")
        documents.clear(_MEMBER, name)
        for child in children(emulator, {"name": name}):
            _change_parents(emulator, child, lambda parents: [one for one in parents if one != name])
        return
    for one in documents.list(_MEMBERSHIP, name):
        documents.delete(_MEMBER, f"{one['context']}|{name}")
    documents.clear(_MEMBERSHIP, name)
    own, other = (_OF_EXECUTION, _OF_ARTIFACT) if kind == EXECUTION else (_OF_ARTIFACT, _OF_EXECUTION)
    for event in documents.list(own, name):
        documents.delete(other, f"{event['execution']}|{event['artifact']}|{event['type']}")
    documents.clear(own, name)


def add_to_context(emulator: Emulator, call: Call) -> Document:
    """Answers `contexts/ID:addContextArtifactsAndExecutions`."""
    context, body = full_name(call, CONTEXT), call.json
    with emulator.documents.transaction():
        emulator.documents.get(CONTEXT, context)
        for field, kind in (("artifacts", ARTIFACT), ("executions", EXECUTION)):
            names = _names(body, field)
            for name in names:
                emulator.documents.get(kind, name)
            add_members(emulator, context, names)
    return {}


def add_children(emulator: Emulator, call: Call) -> Document:
    """Answers `contexts/ID:addContextChildren`."""
    parent = full_name(call, CONTEXT)
    with emulator.documents.transaction():
        emulator.documents.get(CONTEXT, parent)
        above = _above(emulator, parent)
        for child in _names(call.json, "childContexts"):
            if child in above:
                raise invalid(f"child_contexts: adding {child} to {parent} would create a cycle")
            adopt(emulator, parent, child)
    return {}


def adopt(emulator: Emulator, parent: str, child: str) -> None:
    """Puts a context below another, if it is not there yet. Within a transaction.

    Raises:
        Refusal: NOT_FOUND; INVALID_ARGUMENT: it has as many parents as it can have.
    """

    def added(parents: list[str]) -> list[str]:
        if parent not in parents and len(parents) >= _MOST_PARENTS:
            raise invalid(f"child_contexts: a context has {_MOST_PARENTS} parents at most; {child} has them")
        return [*dict.fromkeys([*parents, parent])]

    _change_parents(emulator, child, added)


def remove_children(emulator: Emulator, call: Call) -> Document:
    """Answers `contexts/ID:removeContextChildren`."""
    parent = full_name(call, CONTEXT)
    with emulator.documents.transaction():
        emulator.documents.get(CONTEXT, parent)
        for child in _names(call.json, "childContexts"):
            _change_parents(emulator, child, lambda parents: [one for one in parents if one != parent])
    return {}


def add_events_to(emulator: Emulator, call: Call) -> Document:
    """Answers `executions/ID:addExecutionEvents`."""
    execution = full_name(call, EXECUTION)
    with emulator.documents.transaction():
        emulator.documents.get(EXECUTION, execution)
        for sent in call.json.get("events", []):
            artifact = emulator.documents.get(ARTIFACT, str(sent.get("artifact", "")))["name"]
            type_ = _EVENTS.get(sent.get("type", 0), sent.get("type"))
            if type_ not in ("INPUT", "OUTPUT"):
                raise invalid(f"events.type: expected INPUT or OUTPUT. Received: {type_!r:.50}")
            labels = {"labels": sent["labels"]} if sent.get("labels") else {}
            event = {"artifact": artifact, "execution": execution, "type": type_, **labels}
            add_events(emulator, [event])
    return {}


def of_execution(emulator: Emulator, call: Call) -> Document:
    """Answers `executions/ID:queryExecutionInputsAndOutputs`."""
    execution = emulator.documents.get(EXECUTION, full_name(call, EXECUTION))
    events = emulator.documents.list(_OF_EXECUTION, execution["name"])[::-1]
    artifacts = _all(emulator, ARTIFACT, (event["artifact"] for event in events))
    return {"artifacts": artifacts, "executions": [execution], "events": events}


def of_context(emulator: Emulator, call: Call) -> Document:
    """Answers `contexts/ID:queryContextLineageSubgraph`: its members, and the events between them."""
    context = emulator.documents.get(CONTEXT, full_name(call, CONTEXT))["name"]
    inside = members(emulator, context)[::-1]
    executions = [name for name in inside if kind_of(name) == EXECUTION]
    events = [
        event
        for name in executions
        for event in emulator.documents.list(_OF_EXECUTION, name)[::-1]
        if event["artifact"] in inside
    ]
    artifacts = [name for name in inside if kind_of(name) == ARTIFACT]
    return _graph(emulator, artifacts, executions, events)


def of_artifact(emulator: Emulator, call: Call) -> Document:
    """Answers `artifacts/ID:queryArtifactLineageSubgraph`.

    From an artifact to an execution that took or made it is one hop, from there to its other artifacts the next one.
    """
    start = emulator.documents.get(ARTIFACT, full_name(call, ARTIFACT))
    most = _hops(call.one("maxHops"))
    wanted = filters.predicate(call.one("filter"))
    found: dict[str, None] = {start["name"]: None}
    events: dict[tuple[str, str, str], Document] = {}
    front, hops = [start["name"]], 0
    while front and (most is None or hops < most):
        following: list[str] = []
        for name in front:
            kind = _OF_ARTIFACT if kind_of(name) == ARTIFACT else _OF_EXECUTION
            for event in emulator.documents.list(kind, name)[::-1]:
                other = event["execution"] if kind == _OF_ARTIFACT else event["artifact"]
                if kind == _OF_EXECUTION and other not in found:
                    artifact = emulator.documents.get(ARTIFACT, other)
                    if not wanted(artifact):
                        continue
                events[event["execution"], event["artifact"], event["type"]] = event
                if other not in found:
                    found[other] = None
                    following.append(other)
        if len(found) > 2 * _MOST_IN_ANSWER:
            break
        front, hops = following, hops + 1
    artifacts = [name for name in found if kind_of(name) == ARTIFACT]
    executions = [name for name in found if kind_of(name) == EXECUTION]
    return _graph(emulator, artifacts, executions, list(events.values()))


def _graph(emulator: Emulator, artifacts: list[str], executions: list[str], events: list[Document]) -> Document:
    for what, several in (("Artifacts", artifacts), ("Executions", executions), ("Events", events)):
        if len(several) > _MOST_IN_ANSWER:
            raise Refusal("FAILED_PRECONDITION", f"The lineage has more than {_MOST_IN_ANSWER} {what}")
    return {
        "artifacts": _all(emulator, ARTIFACT, artifacts),
        "executions": _all(emulator, EXECUTION, executions),
        "events": events,
    }


def _all(emulator: Emulator, kind: str, names: Iterable[str]) -> list[Document]:
    return [emulator.documents.get(kind, name) for name in dict.fromkeys(names)]


def _hops(text: str) -> int | None:
    try:
        most = int(text) if text else None
    except ValueError:
        most = -1
    if most is not None and most < 0:
        raise invalid(f"max_hops: expected 0 or more. Received: {text!r:.50}")
    return most


def _names(body: Document, field: str) -> list[str]:
    found = body.get(field) or []
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise invalid(f"{field}: expected a list of names. Received: {found!r:.200}")
    return list(dict.fromkeys(found))


def _above(emulator: Emulator, context: str) -> set[str]:
    """A context and all that it is below."""
    found, front = {context}, [context]
    while front:
        document = emulator.documents.find(CONTEXT, front.pop()) or {}
        new = set(document.get("parentContexts", ())) - found
        found |= new
        front.extend(new)
    return found


def _change_parents(emulator: Emulator, child: str, change: Callable[[list[str]], list[str]]) -> None:
    def moved(found: Document) -> Document:
        # Its etag stays: who holds the child has seen all that an update of theirs can change.
        return {**found, "parentContexts": change(found.get("parentContexts", []))}

    emulator.documents.change(CONTEXT, child, moved)
