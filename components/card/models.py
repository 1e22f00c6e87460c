"""All models of a registry in a line each: what serves, what it is worth, and what needs somebody."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from headrace.artifacts.card import FILE, GateLine, Measured, ModelCard, parse_card
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.report import write as write_report
from headrace.components.card.registered import with_version
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    CANDIDATE,
    CHAMPION,
    LIVE,
    REJECTED,
    ModelRegistry,
    ModelVersion,
)


@dataclass(frozen=True)
class ModelLine:
    """One model: the version that serves, or the newest where none does.

    Attributes:
        name, version, state, created: of that version.
        main: the metric that it is mostly judged by, of its card; None where it has none.
        metrics: all metrics of the version.
        gates: as its card says.
        limits: those that were found, what matters most first.
        purpose, owners: in the owner's words.
        endpoints: that serve it.
        waits: how many approvals it has of those that it needs, where only they are lacking: `0 of 1 approvals`.
        newer: a newer version and its state, where there is one: `3, blessed`.
        versions: how many there are.
        why_not: why there is no card.
        link: where its card is, relative to the page; empty for nowhere.
    """

    name: str
    version: str
    state: str
    created: str
    main: Measured | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    gates: tuple[GateLine, ...] = ()
    limits: tuple[str, ...] = ()
    purpose: str = ""
    owners: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    waits: str = ""
    newer: str = ""
    versions: int = 1
    why_not: str = ""
    link: str = ""


INDEX, CARDS = "index.html", "cards"
ORDER = (REJECTED, CANDIDATE, BLESSED, APPROVED, LIVE, ARCHIVED)


def write_models_report(registry: ModelRegistry, names: Collection[str], folder: Path, about: str) -> list[ModelLine]:
    """Writes the report over models to `index.html` of a folder, and their cards beside it.

    Args:
        registry: where they are.
        names: which: names, or patterns with `*`; none for all.
        folder: where to write.
        about: where the models are, in words.

    Raises:
        HeadraceError: a name or a pattern fits no model, or the folder cannot be written.
    """
    from headrace.components.card.models_page import models_page

    lines = []
    try:
        (folder / CARDS).mkdir(parents=True, exist_ok=True)
        history = registry.history()
        for line, version, card in _told(registry, names):
            if card is not None:
                file = f"{CARDS}/{version.name}-{version.version}.html"
                write_report(folder / file, with_version(card, version, history).to_html())
                line = replace(line, link=file)
            lines.append(line)
        write_report(folder / INDEX, models_page(lines, about))
    except OSError as error:
        raise HeadraceError(f"{folder}: expected a folder that can be written. Received: {error}") from None
    return lines


def _told(
    registry: ModelRegistry, names: Collection[str]
) -> Iterator[tuple[ModelLine, ModelVersion, ModelCard | None]]:
    by_name: dict[str, list[ModelVersion]] = {}
    for version in registry.versions():
        by_name.setdefault(version.name, []).append(version)
    for name in names:
        if not fnmatch.filter(by_name, name):
            known = ", ".join(sorted(by_name)[:5]) + (", ..." if len(by_name) > 5 else "")
            raise HeadraceError(f"expected the name of a registered model ({known or 'none yet'}). Received: {name}")
    for name, versions in sorted(by_name.items()):
        if not names or any(fnmatch.fnmatchcase(name, wanted) for wanted in names):
            yield _line(registry, versions)


def _line(
    registry: ModelRegistry, versions: Sequence[ModelVersion]
) -> tuple[ModelLine, ModelVersion, ModelCard | None]:
    serving = [one for one in versions if one.state == LIVE or CHAMPION in one.aliases]
    shown, newest = (serving or versions)[-1], versions[-1]
    card, why_not = _card(registry, shown)
    wanted = registry.settings(shown.name).approvals
    waiting = shown.state == BLESSED and len(shown.approvals) < wanted
    whole = card.whole() if card else []
    line = ModelLine(
        name=shown.name,
        version=shown.version,
        state=shown.state,
        created=shown.created,
        main=whole[0] if whole else None,
        metrics=shown.metrics,
        gates=card.gates if card else (),
        limits=card.limits if card else (),
        purpose=card.purpose if card else "",
        owners=card.owners if card else (),
        endpoints=shown.endpoints,
        waits=f"{len(shown.approvals)} of {wanted} approvals" if waiting else "",
        newer="" if newest is shown else f"{newest.version}, {newest.state}",
        versions=len(versions),
        why_not=why_not,
    )
    return line, shown, card


def _card(registry: ModelRegistry, version: ModelVersion) -> tuple[ModelCard | None, str]:
    """A version's card; or why there is none: a list of hundreds does not end at one that is damaged."""
    if FILE not in {document.file for document in registry.documents(version.name, version.version)}:
        return None, "registered without a model card"
    where = f"{version.name} version {version.version}: {FILE}"
    try:
        return parse_card(registry.document(version.name, version.version, FILE), where), ""
    except ArtifactError as error:
        return None, str(error)
