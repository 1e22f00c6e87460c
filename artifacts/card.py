"""The model card: what a model is, what it is for, what it was made of, what it is worth, and where it ends.

The sections are those of Google's model cards (Mitchell et al. 2019, "Model Cards for Model Reporting").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts import report
from headrace.artifacts.metrics import METRICS

Values = Mapping[str, Any]


@dataclass(frozen=True)
class ModelCard:
    """A card. What is not known is left empty, and then not shown; nothing is made up.

    Attributes:
        name: the model's name.
        task: classification or regression.
        label: what is predicted.
        details: the model itself: learner, parameters, training time, classes, threshold.
        purpose: what it is for, in the owner's words.
        data: where the rows come from, their numbers and digest.
        features: (name, type, range or vocabulary in words) of each input.
        metrics: metric -> value on `metrics_split`.
        considerations: ethical considerations, in the owner's words.
        limits: what the model cannot do or was not shown to do.
        lineage: digests of data, spec, code and environment.
    """

    name: str
    task: str
    label: str
    details: Values = field(default_factory=dict)
    purpose: str = ""
    data: Values = field(default_factory=dict)
    features: tuple[tuple[str, str, str], ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_split: str = "eval"
    considerations: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    lineage: Values = field(default_factory=dict)

    @property
    def subtitle(self) -> str:
        """One line: what the model does."""
        return f"{self.task} of {self.label}"

    def to_markdown(self) -> str:
        """The card as Markdown."""
        parts = [f"# Model card: {_plain(self.name)}", _plain(self.subtitle)]
        parts += _markdown("Model details", _pairs(self.details))
        parts += _markdown("Intended use", [_plain(self.purpose)] if self.purpose else [])
        parts += _markdown("Data", _pairs(self.data))
        features = [f"| {_cell(name)} | {_cell(kind)} | {_cell(about)} |" for name, kind, about in self.features]
        head = ["| feature | type | known values |", "| --- | --- | --- |"]
        parts += _markdown("Features", ["\n".join(head + features)] if features else [])
        numbers = {_title(name): report.number(value) for name, value in self.metrics.items()}
        parts += _markdown(f"Metrics on the {self.metrics_split} split", _pairs(numbers))
        parts += _markdown("Ethical considerations", _bullets(self.considerations))
        parts += _markdown("Limits", _bullets(self.limits))
        parts += _markdown("Lineage", _pairs(self.lineage))
        return "\n\n".join(parts) + "\n"

    def to_html(self) -> str:
        """The card as a self-contained HTML page."""
        tiles = [(_title(name), value) for name, value in self.metrics.items()]
        sections = {
            "Model details": report.key_values(_texts(self.details)) if self.details else None,
            "Intended use": report.paragraph(self.purpose) if self.purpose else None,
            f"Metrics on the {self.metrics_split} split": report.tiles(tiles) if tiles else None,
            "Data": report.key_values(_texts(self.data)) if self.data else None,
            "Features": report.table(["Feature", "Type", "Known values"], self.features) if self.features else None,
            "Ethical considerations": report.bullets(self.considerations) if self.considerations else None,
            "Limits": report.bullets(self.limits) if self.limits else None,
            "Lineage": report.key_values(_texts(self.lineage)) if self.lineage else None,
        }
        shown = [report.section(title, block) for title, block in sections.items() if block is not None]
        return report.page(f"Model card: {self.name}", self.subtitle, shown)


def _texts(values: Values) -> list[tuple[str, report.Cell]]:
    return [(key, _text(value)) for key, value in _known(values).items()]


def _known(values: Values) -> Values:
    return {key: value for key, value in values.items() if value not in (None, "", (), [], {})}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in _known(value).items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return str(report.markup(value)) if isinstance(value, int | float) else str(value)


def _title(name: str) -> str:
    return METRICS[name].title if name in METRICS else name


def _markdown(title: str, blocks: list[str]) -> list[str]:
    return [f"## {title}", *blocks] if blocks else []


def _pairs(values: Values) -> list[str]:
    lines = [f"- **{_plain(key)}**: {_plain(_text(value))}" for key, value in _known(values).items()]
    return ["\n".join(lines)] if lines else []


def _bullets(items: tuple[str, ...]) -> list[str]:
    return ["\n".join(f"- {_plain(item)}" for item in items)] if items else []


def _plain(text: str) -> str:
    """Text that Markdown takes as text: on one line, with what it would read as markup escaped."""
    signs = str.maketrans({sign: f"\\{sign}" for sign in "\\`*[]<>"})
    return " ".join(text.split()).translate(signs)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
