"""Fills the model card of a network for pictures with what training knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.artifacts.card import ModelCard
from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.report import number
from headrace.trainer.baseline import Baseline
from headrace.trainer.card import details, environment, split_in_words, variants_in_words, write_files
from headrace.trainer.export.parity import Parity
from headrace.trainer.images.cnn import Cnn
from headrace.trainer.lineage import rounded
from headrace.trainer.parameters import Training


def write_card(
    folder: Path,
    name: str,
    info: DatasetInfo,
    training: Training,
    model: Cnn,
    constant: Baseline,
    parity: Parity,
    variants: dict[str, Any],
    lineage: dict[str, str],
) -> None:
    """Writes the card into a bundle."""
    height, width = training.parameters.size
    card = ModelCard(
        name=name,
        task="image classification",
        label=info.label,
        details={
            **details(info, training, model),
            "Export": f"one ONNX graph from pixels of any size; {parity.rows:,} pictures agree "
            f"(largest difference {parity.largest_difference:.1e})",
            **tensorflow_in_words(variants),
        },
        data={
            "Source": info.source.get("name", ""),
            "Pictures": ", ".join(f"{rows:,} {split}" for split, rows in info.rows.items()),
            "Split": split_in_words(info.query, info.id, info.rows),
            "Baseline": f"{constant.words(info.classes or ())}: {constant.metric} "
            f"{number(constant.values['eval'])} on the eval split",
        },
        features=(("image", "picture", f"JPEG, PNG or pixels of any size, seen at {height} x {width}"),),
        metrics={
            model.metric: rounded(model.curve["eval"][model.rounds - 1]),
            "accuracy": rounded(model.accuracy[model.rounds - 1]),
        },
        limits=limits(training),
        environment=environment("cnn"),
        lineage=lineage,
    )
    write_files(folder, card)


def tensorflow_in_words(variants: dict[str, Any]) -> dict[str, str]:
    """What the bundle holds for TensorFlow, for people."""
    return variants_in_words(variants, "image files", "pixels")


def limits(training: Training) -> tuple[str, ...]:
    """What follows from how the model was made; measured limits stand in the evaluation's report."""
    height, width = training.parameters.size
    found = [
        f"It sees {height} x {width} pixels: what is finer in a larger picture, it does not see.",
        "Of a camera, light or product that was not in train it knows nothing; it has no class for `something else`.",
    ]
    if training.class_weight is not None and training.calibrate == "none":
        found.append("Pictures were weighted by their class: the probabilities are not shares to be expected.")
    if training.parameters.label_smoothing and training.calibrate == "none":
        found.append("Labels were smoothed: the probabilities are less sure than the model is right.")
    return tuple(found)
