"""Fills the model card with what training knows; evaluation and the gates add their own reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.artifacts import bundle as files
from headrace.artifacts.card import ModelCard
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.folder import write_text
from headrace.artifacts.report import number
from headrace.artifacts.signature import Input
from headrace.artifacts.transform import Transform
from headrace.trainer.model import Model
from headrace.trainer.parity import Parity

_LEARNERS = {"gbdt": "gradient-boosted trees (LightGBM)"}
_SHOWN = 12  # features whose importance is spelt out


def write_card(
    folder: Path,
    name: str,
    snapshot: Dataset,
    recipe: Transform,
    seed: int,
    model: Model,
    importance: dict[str, float],
    parity: Parity,
    lineage: dict[str, str],
) -> None:
    """Writes card.md and card.html into a bundle."""
    info = snapshot.info
    card = ModelCard(
        name=name,
        task=info.task,
        label=info.label,
        details={
            "Learner": _LEARNERS[model.kind],
            "Rounds": f"{model.rounds}, by early stopping on the eval split",
            "Parameters": model.parameters,
            "Seed": seed,
            **({"Classes": list(info.classes)} if info.classes else {}),
            **({"Positive class": info.positive} if info.positive else {}),
            "Export": f"one ONNX graph from raw columns; {parity.rows:,} rows agree within {model.tolerance:g} "
            f"(largest difference {parity.largest_difference:.1e})",
        },
        data={
            "Source": info.source.get("name", ""),
            "Rows": ", ".join(f"{rows:,} {split}" for split, rows in info.rows.items()),
            "Split": _split(info.query, info.id),
            "Left out": {column: reason for column, reason in recipe.excluded.items() if column != info.label},
            "Importance": {name: f"{share:.1%}" for name, share in list(importance.items())[:_SHOWN] if share > 0},
        },
        features=(
            *((item.name, item.type, _known(item)) for item in recipe.inputs),
            *((feature, "constructed", expression) for feature, expression in recipe.construct.items()),
        ),
        metrics={model.metric: model.curve["eval"][model.rounds - 1]},
        limits=_limits(recipe),
        lineage=lineage,
    )
    write_text(folder / files.CARD_MD, card.to_markdown())
    write_text(folder / files.CARD_HTML, card.to_html())


def _split(query: dict[str, Any], id: str | None) -> str:
    split = query["split"]
    return f"by {split['by']} of {id or 'all columns'}: {split['eval']:.0%} eval, {split['test']:.0%} test"


def _known(item: Input) -> str:
    if item.type == "category":
        shown = ", ".join(reversed(item.vocabulary[-8:]))
        return f"{len(item.vocabulary):,} values: {shown}{', ...' if len(item.vocabulary) > 8 else ''}"
    if item.type == "boolean" or item.min is None or item.max is None:
        return "true, false" if item.type == "boolean" else ""
    return f"{number(item.min)} to {number(item.max)}" + (" (days since 1970-01-01)" if item.type == "date" else "")


def _limits(recipe: Transform) -> tuple[str, ...]:
    """What follows from how the model was made; measured limits stand in the evaluation's report."""
    limits = ["Trees do not extrapolate: outside the known values above, answers are those of the nearest known ones."]
    if any(item.type == "category" for item in recipe.inputs):
        limits.append("A category that was rare or absent in training counts as one and the same unseen value.")
    if any(item.type == "date" for item in recipe.inputs):
        limits.append("A date is a number of days: what only a date after training could show, the model has not seen.")
    return tuple(limits)
