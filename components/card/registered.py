"""The card of a registered version: kept beside its bundle, and shown with what was decided on it since."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.card import FILE, HTML_FILE, Approval, ModelCard, card_json, parse_card, read_card
from headrace.artifacts.errors import HeadraceError
from headrace.platforms.about import model_of, versions_of
from headrace.platforms.interface import Event, ModelRegistry, ModelVersion


def attach_card(registry: ModelRegistry, version: ModelVersion, card: Path, run: str = "") -> None:
    """Keeps a card beside a version, for machines and as a page.

    Raises:
        HeadraceError: the card is of another model, damaged, or cannot be kept.
    """
    found = read_card(card)
    if found.model_digest != version.digest:
        received = f"the card of {found.model_digest[:19]}"
        raise HeadraceError(f"model card: expected that of {version.digest[:19]}. Received: {received}")
    shown = with_version(found, version)
    for file, text in ((FILE, card_json(found)), (HTML_FILE, shown.to_html())):
        registry.attach(version.name, version.version, file, text.encode(), run=run)


def card_of(registry: ModelRegistry, name: str, version: str) -> ModelCard:
    """The card of a registered version as of now, with its state, and who approved it.

    A version that was registered without one gets what its bundle says: what training knew.

    Raises:
        ArtifactError: the card was damaged.
        HeadraceError: there is no such model or version, or nothing that tells of it.
    """
    found = registry.get(name, version)
    kept = {document.file for document in registry.documents(name, found.version)}
    if FILE in kept:
        where = f"{name} version {found.version}: {FILE}"
        card = parse_card(registry.document(name, found.version, FILE), where)
        if card.model_digest != found.digest:
            received = f"that of {card.model_digest[:19]}"
            raise HeadraceError(f"{where}: expected the card of {found.digest[:19]}. Received: {received}")
    else:
        card = replace(_trained(registry, found), name=name, model_digest=found.digest)
    return with_version(card, found, registry.history())  # deployments are told of endpoints, not of models


def with_version(card: ModelCard, version: ModelVersion, history: Iterable[Event] = ()) -> ModelCard:
    """A card with what the registry says of the version."""
    registered = {
        "Version": version.version,
        "State": version.state,
        "Aliases": version.aliases,
        "Serves at": version.endpoints,
        "Registered": _minute(version.created),
        "Registered by": version.registered_by,
        "Run": version.run,
    }
    told = (_told(event, version) for event in history)
    return replace(card, registered=registered, approvals=tuple(item for item in told if item is not None))


def _trained(registry: ModelRegistry, version: ModelVersion) -> ModelCard:
    with tempfile.TemporaryDirectory(prefix="headrace-card-") as folder:
        place = Path(folder) / "bundle"  # a registry elsewhere has no folder to look into
        registry.download(version.name, version.version, place)
        file = Bundle.open(place, verify=False).card_json
        if file.exists():
            return parse_card(file.read_text(encoding="utf-8"), str(file))
    told = "It was registered by an older version; run its pipeline again for a card"
    raise HeadraceError(f"{version.name} version {version.version}: expected a model card. Received: none. {told}")


def _told(event: Event, version: ModelVersion) -> Approval | None:
    """An event of the audit log as a line of the card; None where it is about something else."""
    detail = event.detail
    if model_of(event) != version.name or version.version not in versions_of(event):
        return None
    shares = detail.get("traffic")
    share = shares.get(version.version) if isinstance(shares, dict) else None
    serves = str(detail.get("version", "")) == version.version
    words = {
        "approve": "approved",
        "state": str(detail.get("state", "")),
        "deploy": f"deployed at {event.subject}" if serves else f"a shadow at {event.subject}",
        "rollback": f"serves again at {event.subject}" if serves else f"rolled back at {event.subject}",
        "split": f"{share}% of {event.subject}" if share else f"a shadow at {event.subject}",
    }
    if event.action not in words:
        return None
    who, reason = str(detail.get("who") or event.actor), str(detail.get("reason") or "")
    return Approval(_minute(event.time), who, words[event.action], reason)


def _minute(time: str) -> str:
    """A time of the registry, ISO 8601 in UTC, to the minute.

    >>> _minute("2026-11-21T20:07:26.379+00:00")
    '2026-11-21 20:07 UTC'
    """
    return f"{time[:16].replace('T', ' ')} UTC" if time else ""
