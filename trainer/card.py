"""Fills the model card with what training knows; the step after the gate adds what was measured since."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from headrace.artifacts import bundle as files
from headrace.artifacts.card import ModelCard, card_json
from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.folder import write_text
from headrace.artifacts.report import number
from headrace.artifacts.transform import Transform
from headrace.trainer.baseline import Baseline
from headrace.trainer.export.parity import Parity
from headrace.trainer.known import known_values
from headrace.trainer.lineage import plain, rounded
from headrace.trainer.model import Learned, Model
from headrace.trainer.parameters import Training

_LEARNERS = {
    "gbdt": "gradient-boosted trees (LightGBM)",
    "linear": "linear model (scikit-learn)",
    "mlp": "neural network (Keras)",
    "cnn": "convolutional neural network (Keras)",
    "module": "a module of the owner's own",
}
_ROUNDS = {"gbdt": "rounds", "linear": "penalties tried", "mlp": "epochs", "cnn": "epochs", "module": "rounds"}
_BEYOND = {
    "gbdt": "Trees do not extrapolate: outside the known values above, answers are those of the nearest known ones.",
    "linear": "A linear model goes on in a straight line outside the known values above, however far.",
    "mlp": "Outside the known values above, a network's answers were never looked at.",
}
_LIBRARIES = {
    "gbdt": ("lightgbm",),
    "linear": ("scikit-learn",),
    "mlp": ("keras", "tensorflow"),
    "cnn": ("keras", "tensorflow"),
    "module": ("scikit-learn", "keras", "tensorflow", "lightgbm"),
}
_VALUES = 6  # of a split that are spelt out
_SHOWN = 12  # features whose importance is spelt out


def write_card(
    folder: Path,
    name: str,
    info: DatasetInfo,
    recipe: Transform,
    training: Training,
    model: Model,
    constant: Baseline,
    importance: dict[str, float],
    parity: Parity,
    variants: dict[str, Any],
    lineage: dict[str, str],
) -> None:
    """Writes the card into a bundle."""
    card = ModelCard(
        name=name,
        task=info.task,
        label=info.label,
        details={
            **details(info, training, model),
            "Export": f"one ONNX graph from raw columns; {parity.rows:,} rows agree within {model.tolerance:.2g} "
            f"(largest difference {parity.largest_difference:.1e})",
            **variants_in_words(variants),
        },
        data={
            "Source": info.source.get("name", ""),
            "Rows": ", ".join(f"{rows:,} {split}" for split, rows in info.rows.items()),
            "Split": split_in_words(info.query, info.id, info.rows),
            "Left out": {column: reason for column, reason in recipe.excluded.items() if column != info.label},
            "Importance in training": {
                name: f"{share:.1%}" for name, share in list(importance.items())[:_SHOWN] if share > 0
            },
            "Baseline": f"{constant.words(info.classes or ())}: {constant.metric} "
            f"{number(constant.values['eval'])} on the eval split",
        },
        features=(
            *((item.name, item.type, known_values(item)) for item in recipe.inputs),
            *((feature, "constructed", expression) for feature, expression in recipe.construct.items()),
        ),
        metrics={model.metric: rounded(model.curve["eval"][model.rounds - 1])},
        limits=_limits(recipe, training, model),
        environment=environment(model.kind),
        lineage=lineage,
    )
    write_files(folder, card)


def write_files(folder: Path, card: ModelCard) -> None:
    """Writes a card into a bundle: for machines, as a page and as text."""
    write_text(folder / files.CARD_JSON, card_json(card))
    write_text(folder / files.CARD_MD, card.to_markdown())
    write_text(folder / files.CARD_HTML, card.to_html())


def environment(kind: str) -> dict[str, str]:
    """The versions of what trained and exported a model of this kind, as far as they are installed."""
    found = {"Python": platform.python_version()}
    for library in (*_LIBRARIES.get(kind, ()), "numpy", "onnx", "onnxruntime"):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue  # a lean environment: what is not there trained nothing
    return found


def details(info: DatasetInfo, training: Training, model: Learned) -> dict[str, Any]:
    """How the model was trained, for people."""
    parameters = {name: value for name, value in plain(model.parameters).items() if name != "calibration"}
    weights = training.class_weight
    return {
        "Learner": _LEARNERS[model.kind],
        "Rounds": f"{model.rounds} {_ROUNDS[model.kind]}, chosen on the eval split",
        "Parameters": parameters,
        "Seed": training.seed,
        **({"Classes": list(info.classes)} if info.classes else {}),
        **({"Positive class": info.positive} if info.positive else {}),
        **({"Class weights": plain(weights) if weights == "balanced" else dict(weights)} if weights else {}),
        **({"Sample weights": training.sample_weight} if training.sample_weight else {}),
        **_calibration(model),
    }


def variants_in_words(
    variants: dict[str, Any], saved_from: str = "raw columns", lite_from: str = "features"
) -> dict[str, str]:
    """What the bundle holds for TensorFlow, for people: sizes, and what each precision costs on the eval split."""
    words = {}
    if saved := variants.get("saved_model"):
        words["SavedModel"] = (
            f"for TensorFlow Serving, from {saved_from}; {_size(saved['bytes'])}; {saved['rows']:,} rows agree with "
            f"the ONNX graph (largest difference {saved['largest_difference']:.1e})"
        )
    if lite := variants.get("tflite"):
        told = []
        for name, figures in lite.items():
            rest = {key: value for key, value in figures.items() if key not in ("bytes", "largest_difference")}
            told.append(f"{name} {_size(figures['bytes'])}, " + ", ".join(
                f"{key.replace('_', ' ')} {number(value)}" for key, value in rest.items()))  # fmt: skip
        words["TensorFlow Lite"] = "; ".join(told) + f"; on the eval split, from {lite_from}"
    return words


def _size(bytes: int) -> str:
    return f"{bytes / 1024:,.1f} KiB"


def _calibration(model: Learned) -> dict[str, str]:
    found = model.parameters.get("calibration")
    if found is None:
        return {}
    loss = found["eval_log_loss"]
    change = f"its log loss from {number(loss['before'])} to {number(loss['after'])}"
    return {"Calibration": f"{found['method']}, fitted on the eval split, {change}"}


def split_in_words(query: dict[str, Any], id: str | None, rows: Mapping[str, int]) -> str:
    """How the rows were split, for people: by what, and the shares that came of it.

    Args:
        query: how the rows were read and split, as their snapshot says.
        id: the id's column.
        rows: split -> number of rows.
    """
    split = query["split"]
    by, column = split["by"], split.get("column")
    if by == "stratified":
        how = f"stratified by {column or query.get('label', {}).get('name', 'the label')}"
    else:
        how = f"by {by} of {column or id or 'all columns'}"
    total = max(sum(rows.values()), 1)
    shares = ", ".join(f"{rows.get(name, 0) / total:.1%} {name}" for name in ("eval", "test"))
    return f"{how}{_meant(split)}: {shares}"


def _meant(split: Mapping[str, Any]) -> str:
    """From when on, or by which values, rows are in eval and in test, where the spec says so."""
    if split.get("eval_from"):
        return f", eval from {_moment(split['eval_from'])}, test from {_moment(split['test_from'])} (UTC)"
    if not (values := split.get("values")):
        return ""
    told = []
    for name in ("train", "eval", "test"):
        more = f" and {len(values[name]) - _VALUES:,} more" if len(values[name]) > _VALUES else ""
        told.append(f"{name} is {', '.join(values[name][:_VALUES])}{more}")
    return f" ({'; '.join(told)})"


def _moment(text: str) -> str:
    """A moment of ISO 8601 for people, who write midnight as the day alone."""
    return text.replace("T", " ").removesuffix(" 00:00:00")


def _limits(recipe: Transform, training: Training, model: Model) -> tuple[str, ...]:
    """What follows from how the model was made; measured limits stand in the evaluation's report."""
    limits = [_BEYOND[model.kind]] if model.kind in _BEYOND else []
    if training.class_weight is not None and training.calibrate == "none":
        limits.append("Rows were weighted by their class: the probabilities are not shares to be expected.")
    if training.calibrate != "none":
        limits.append("Probabilities were calibrated on the eval split: they hold where new rows are like those.")
    if any(item.type == "category" for item in recipe.inputs):
        limits.append("A category that was rare or absent in training counts as one and the same unseen value.")
    if any(item.type == "date" for item in recipe.inputs):
        limits.append("A date is a number of days: what only a date after training could show, the model has not seen.")
    return tuple(limits)
