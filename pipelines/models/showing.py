"""One version in all its facts, and what can be done with it next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headrace.pipelines.models.words import (
    approvals_words,
    judged_words,
    minute,
    ranked,
    state_words,
    table,
    version_json,
    waits,
)
from headrace.platforms.about import model_of, versions_of
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    LIVE,
    REJECTED,
    Document,
    Event,
    ModelRegistry,
    ModelVersion,
)
from headrace.platforms.lifecycle import label

_SHORT = 19  # of a digest, "sha256:" and twelve figures


def show_text(registry: ModelRegistry, version: ModelVersion) -> list[str]:
    """A version for people: its state and approvals, metrics, documents, history, and what comes next."""
    versions = registry.versions(version.name)
    facts = [
        ("state", state_words(version) + (f" at {', '.join(version.endpoints)}" if version.endpoints else "")),
        ("aliases", ", ".join(version.aliases)),
        ("digest", version.digest),
        ("registered", f"{minute(version.created)} UTC by {version.registered_by or 'nobody knows whom'}"),
        ("run", version.run),
        ("judged against", judged_words(version, versions)),
        *version.labels.items(),
        ("bundle", version.uri),
    ]
    widest = max(len(name) for name, value in facts if value)
    lines = [label(version), *(f"  {name.ljust(widest)}  {value}" for name, value in facts if value)]
    if version.approvals_needed or version.approvals:
        lines.append(f"{approvals_words(version)}:" if version.approvals else approvals_words(version))
        lines += [f"  {minute(item.time)}  {item.who}: {item.reason}" for item in version.approvals]
        lines += [f"  note: {note}" for note in account_notes(version, registry.history(version.name))]
    if version.metrics:
        known = [(name, f"{value:.4g}") for name, value in ranked(dict(version.metrics))]
        lines += ["metrics:", *(f"  {line}" for line in table(("metric", "value"), known, right=(1,))[1:])]
    documents = registry.documents(version.name, version.version)
    lines += ["documents:", *(f"  {_document(item)}" for item in documents)] if documents else []
    lines += ["history:", *(f"  {line}" for line in events_text(of_version(registry.history(), version)))]
    return [*lines, *next_steps(version, versions)]


def show_json(registry: ModelRegistry, version: ModelVersion) -> dict[str, Any]:
    """The same for machines."""
    return {
        **version_json(version),
        "documents": [vars(item) for item in registry.documents(version.name, version.version)],
        "history": [vars(event) for event in of_version(registry.history(), version)],
    }


def account_notes(version: ModelVersion, history: Iterable[Event]) -> list[str]:
    """Approvals that were typed in the account that registered the version, or in one another's."""
    registered = [event for event in history if event.action == "register"]
    first = next((e for e in registered if str(e.detail.get("version")) == version.version), None)
    seen = {first.actor: "registered it"} if first else {}
    notes = []
    for approval in version.approvals:
        if approval.actor in seen:
            notes.append(
                f"{approval.who}'s approval was typed in the account {approval.actor}, which {seen[approval.actor]}"
            )
        seen.setdefault(approval.actor, f"{approval.who}'s came from too")
    return notes


def of_version(history: Iterable[Event], version: ModelVersion) -> list[Event]:
    """The events that are about a version, those of endpoints too."""
    return [event for event in history if model_of(event) == version.name and version.version in versions_of(event)]


def of_model(history: Iterable[Event], name: str) -> list[Event]:
    """The events that are about a model, those of the endpoints that serve it too."""
    return [event for event in history if name in (event.subject, event.detail.get("model"))]


def events_text(events: Sequence[Event]) -> list[str]:
    """A line for each event: when, who, what, why."""
    rows = [
        (minute(event.time), str(event.detail.get("who") or event.actor.partition("@")[0]), event_words(event))
        for event in events
    ]
    return table(("WHEN", "WHO", "WHAT"), rows)[1:] if rows else []


def event_words(event: Event) -> str:
    """An event in words, with its reason."""
    detail = event.detail
    version = detail.get("version")
    told = {
        "register": f"registered {event.subject}:{version}" + ("" if detail.get("new") else " again")
        + (", its gates passed" if detail.get("blessed") else "")
        + (f", approvals asked for: {detail['approvals']}" if "approvals" in detail else ""),
        "approve": f"approved {event.subject}:{version}",
        "state": f"{event.subject}:{version} is {detail.get('state')}, was {detail.get('before')}"
        + (f"; the champion is {_champion_words(detail['champion_after'])} now" if "champion_after" in detail else ""),
        "alias": f"{detail.get('alias')} of {event.subject} is version {version}",
        "deploy": ", ".join([f"deployed {detail.get('model')}:{version} at {event.subject}", *_shadows(detail)]),
        "split": f"split {event.subject}: {_shares(detail)}",
        "rollback": f"rolled {event.subject} back from {_taken_out(detail)} to {version}",
        "settings": f"{event.subject} asks for {detail.get('approvals')} approvals, before {detail.get('before')}",
        "attach": f"kept {detail.get('file')} beside {event.subject}:{version}",
        "migrate": f"brought the registry from format {detail.get('from')} to {detail.get('to')}; the log is chained "
        "from here on",
    }.get(event.action, f"{event.action} {event.subject}")  # fmt: skip
    run = f" (run {event.run})" if event.run else ""
    return told + (f": {detail['reason']}" if detail.get("reason") else "") + run


def _shares(detail: Mapping[str, Any]) -> str:
    shares = detail.get("traffic")
    answering = shares.items() if isinstance(shares, Mapping) else ()
    parts = [f"version {version} {share}%" for version, share in answering]
    return ", ".join([*parts, *_shadows(detail)])


def _shadows(detail: Mapping[str, Any]) -> list[str]:
    return [f"version {version} as a shadow" for version in detail.get("shadows") or ()]


def _taken_out(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{detail.get('model')}:{one}" for one in (detail.get("before"), *(detail.get("also") or ())))


def _champion_words(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def next_steps(version: ModelVersion, versions: Sequence[ModelVersion]) -> list[str]:
    """The commands that make sense now."""
    name = label(version)
    if waits(version):
        steps = [f"headrace models approve {name} --reason ...", f"headrace models reject {name} --reason ..."]
    elif version.state in (BLESSED, APPROVED):
        steps = [f"headrace models promote {name} --reason ..."]
    elif version.state in (REJECTED, ARCHIVED):
        steps = [f"headrace models restore {name} --reason ..."]
    elif version.state == LIVE and len(versions) > 1:
        steps = [f"headrace models rollback {version.name} --reason ..."]
    else:
        return []
    return ["next:", *(f"  {step}" for step in steps)]


def _document(item: Document) -> str:
    return f"{item.file}  {item.bytes:,} bytes  {minute(item.created)}  {item.digest[:_SHORT]}"
