"""The model card: what a model is, what it is for, what it was made of, what it is worth, and where it ends.

    <card>/
        card.json        the fields of `ModelCard`
        card.html, card.md
        manifest.json    details: name, model_digest

The sections are those of Google's model cards (Mitchell et al. 2019, "Model Cards for Model Reporting"). The trainer
writes what it knows into the bundle; the step after the gate adds what was measured, and what the owner says; whoever
shows the card of a registered version adds who approved it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_manifest, write_folder, write_text

FORMAT = "headrace/card"
VERSION = 1
FILE, HTML_FILE, MARKDOWN_FILE = "card.json", "card.html", "card.md"

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """One metric, of all rows or of a slice of them.

    `low` and `high` are its 95 % interval; `constant` is what a constant gets, and `champion` what the model gets that
    served when this one was judged, both on the same rows.
    """

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    constant: float | None = None
    champion: float | None = None
    slice: str = ""  # `plan = basic`; empty: all rows
    rows: int | None = None


@dataclass(frozen=True)
class Table:
    """A part of the quantitative analyses: cells are texts, numbers, or nothing."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]
    about: str = ""


@dataclass(frozen=True)
class Risk:
    """An ethical consideration, and what is done about it."""

    risk: str
    mitigation: str = ""


@dataclass(frozen=True)
class GateLine:
    """What one gate demanded, and how it went."""

    gate: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Approval:
    """What somebody decided on the version in the registry."""

    time: str  # for people, with its zone
    who: str
    action: str  # approved, rejected, deployed at churn, ...
    reason: str = ""


@dataclass(frozen=True)
class ModelCard:
    """A card. What is not known is left empty, and then not shown; nothing is made up.

    Attributes:
        name: the model's name.
        task: classification or regression, of images too.
        label: what is predicted.
        model_digest: the bundle's; empty in the bundle's own card.
        details: the model itself: learner, parameters, training time, classes, threshold.
        selection: how the model was chosen among others: tuning, early stopping, the champion.
        purpose, users, use_cases, out_of_scope: what it is for, whom, and what not, in the owner's words.
        owners, license, references, citation: of the model, as the owner gives them.
        factors: groups and conditions that its quality may depend on.
        data: where the rows come from, their numbers and digest, what was found of them.
        evaluation_data: which rows it was measured on.
        features: (name, type, range or vocabulary in words) of each input.
        metrics: metric -> value on `metrics_split`, while training.
        performance: what was measured on rows that training has not seen.
        analyses: more of that: slices, fairness, value, errors.
        importance, importance_metric: feature -> how much worse which metric gets when its values are shuffled.
        considerations: ethical considerations.
        tradeoffs: in the owner's words.
        limits: what the model cannot do or was not shown to do.
        caveats: caveats and recommendations, in the owner's words.
        gates: what it had to show.
        environment: what it was made with.
        lineage: digests of data, spec, code and environment.
        registered: version, state, aliases, run; of a registered version.
        approvals: what was decided on that version, oldest first.
    """

    name: str
    task: str
    label: str
    model_digest: str = ""
    details: Values = field(default_factory=dict)
    selection: Values = field(default_factory=dict)
    purpose: str = ""
    users: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    license: str = ""
    references: tuple[str, ...] = ()
    citation: str = ""
    factors: tuple[str, ...] = ()
    data: Values = field(default_factory=dict)
    evaluation_data: Values = field(default_factory=dict)
    features: tuple[tuple[str, str, str], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_split: str = "eval"
    performance: tuple[Measured, ...] = ()
    analyses: tuple[Table, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    importance_metric: str = ""
    considerations: tuple[Risk, ...] = ()
    tradeoffs: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    gates: tuple[GateLine, ...] = ()
    environment: Values = field(default_factory=dict)
    lineage: Values = field(default_factory=dict)
    registered: Values = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()

    @property
    def subtitle(self) -> str:
        """One line: what the model does."""
        return f"{self.task} of {self.label}"

    @property
    def passed(self) -> bool | None:
        """Whether all gates were passed; None where none was asked."""
        return all(line.passed for line in self.gates) if self.gates else None

    def whole(self) -> list[Measured]:
        """The metrics of all rows, the first of them the most important one."""
        return [item for item in self.performance if not item.slice]

    def to_dict(self) -> dict[str, Any]:
        """The card as JSON takes it."""
        plain: dict[str, Any] = asdict(self)
        return plain

    @classmethod
    def from_dict(cls, value: Any) -> ModelCard:
        """Builds a card from what `to_dict` gave, or an older version did.

        Raises:
            ArtifactError: a field is unknown, or is not what the format says.
        """
        if not isinstance(value, dict):
            raise ArtifactError(f"model card: expected a JSON object. Received: {type(value).__name__}")
        unknown = sorted(set(value) - {item.name for item in fields(cls)})
        if unknown:
            raise ArtifactError(f"model card: expected only known fields. Received: {', '.join(unknown)}")
        try:
            made = dict(value)
            for name in _TEXTS:
                made[name] = tuple(str(item) for item in _listed(made, name))
            for name, kind in _KINDS.items():
                made[name] = tuple(kind(**item) for item in _listed(made, name))
            made["features"] = tuple(
                (str(name), str(kind), str(about)) for name, kind, about in _listed(made, "features")
            )
            made["analyses"] = tuple(_table(item) for item in _listed(made, "analyses"))
            return cls(**made)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"model card: expected the fields of a card. Received: {error!r}") from None

    def to_markdown(self) -> str:
        """The card as Markdown."""
        from headrace.artifacts.card_text import markdown

        return markdown(self)

    def to_html(self) -> str:
        """The card as a self-contained HTML page."""
        from headrace.artifacts.card_page import card_page

        return card_page(self)


_TEXTS = ("users", "use_cases", "out_of_scope", "owners", "references", "factors", "tradeoffs", "limits", "caveats")
_KINDS: Mapping[str, Any] = {
    "performance": Measured,
    "considerations": Risk,
    "gates": GateLine,
    "approvals": Approval,
}


def _listed(value: Mapping[str, Any], name: str) -> list[Any]:
    found = value.get(name, ())
    if not isinstance(found, list | tuple):
        raise TypeError(f"{name}={found!r:.60} is no list")
    return list(found)


def _table(value: Mapping[str, Any]) -> Table:
    rows = tuple(tuple(row) for row in value["rows"])
    return Table(str(value["title"]), tuple(value["headers"]), rows, str(value.get("about", "")))


def card_json(card: ModelCard) -> str:
    """The card as the text of card.json; NaN is refused, as JSON has none.

    Raises:
        ValueError: a number is not finite.
    """
    content = {"format": FORMAT, "format_version": VERSION, "card": card.to_dict()}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_card(text: str | bytes, where: str) -> ModelCard:
    """Reads the text of a card.json.

    Raises:
        ArtifactError: no card, damaged, or of a newer version; `where` says whose.
    """
    try:
        value = json.loads(text)
        kind, version, content = value["format"], value["format_version"], value["card"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{where}: expected a model card in JSON. Received: damage ({error!r})") from None
    if kind != FORMAT:
        raise ArtifactError(f"{where}: expected a {FORMAT}. Received: a {kind}")
    if not isinstance(version, int) or version > VERSION:
        newer = f"version {version}. Upgrade headrace to read it"
        raise ArtifactError(f"{where}: expected a {FORMAT} of version {VERSION} or older. Received: {newer}")
    try:
        return ModelCard.from_dict(content)
    except ArtifactError as error:
        raise ArtifactError(f"{where}: {error}") from None


def write_card(path: Path | str, card: ModelCard) -> None:
    """Writes a card as a sealed folder: as JSON, as a page and as Markdown.

    Raises:
        ArtifactError: a number is not finite, or `path` is taken.
    """
    details = {"name": card.name, "model_digest": card.model_digest}
    try:
        files = {FILE: card_json(card), HTML_FILE: card.to_html(), MARKDOWN_FILE: card.to_markdown()}
    except ValueError as error:
        raise ArtifactError(f"{path}: expected finite numbers in a model card. Received: {error}") from None
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        for name, text in files.items():
            write_text(folder / name, text)


def read_card(path: Path | str) -> ModelCard:
    """Opens a card and checks it.

    Raises:
        ArtifactError: not a card, damaged, or of a newer format version.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    card = parse_card((path / FILE).read_text(encoding="utf-8"), str(path / FILE))
    if card.model_digest != manifest.details.get("model_digest"):
        said = manifest.details.get("model_digest")
        raise ArtifactError(f"{path / FILE}: expected the card of the model {said}. Received: {card.model_digest}")
    return card
