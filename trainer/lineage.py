"""What a bundle's lineage says of its model: what it was made of, and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.transform import TransformFiles
from headrace.trainer.baseline import Baseline
from headrace.trainer.model import Learned
from headrace.trainer.parameters import ModuleParameters, Training
from headrace.trainer.threshold import Chosen

# LightGBM adds up a metric in as many parts as it has threads: the last digits are not the model's.
_DIGITS = 10


def lineage_of(
    snapshot: Dataset, transform: TransformFiles, training: dict[str, Any], share: dict[str, float]
) -> dict[str, Any]:
    """Digests of data and transform, and how the model was trained."""
    recipe = transform.recipe
    return {
        "data": data_record(snapshot),
        "transform": {
            "digest": transform.digest,
            "construct": recipe.construct,
            "excluded": recipe.excluded,
            "features": {feature.name: list(feature.sources) for feature in recipe.outputs},
        },
        "training": {**training, "importance": share},
    }


def data_record(snapshot: Dataset) -> dict[str, Any]:
    """Which data, and how it was read and split."""
    info = snapshot.info
    return {"digest": snapshot.digest, "source": info.source, "rows": info.rows, "query": info.query}


def training_record(
    model: Learned, training: Training, constant: Baseline, info: DatasetInfo, chosen: Chosen | None = None
) -> dict[str, Any]:
    """How the model was trained, and what came of it: settings, the metric after each round, the baseline."""
    last = model.rounds - 1
    record: dict[str, Any] = {
        "model": model.kind,
        "parameters": plain(model.parameters),
        "seed": training.seed,
        "rounds": model.rounds,
        "metric": model.metric,
        model.metric: {split: rounded(values[last]) for split, values in model.curve.items() if values},
        "baseline": constant.record(info.classes or ()),
    }
    for name in ("class_weight", "sample_weight"):
        if getattr(training, name) is not None:
            record[name] = plain(getattr(training, name))
    if training.calibrate != "none":
        record["calibrate"] = training.calibrate
    if chosen is not None:
        record["threshold"] = chosen.record
    if isinstance(training.parameters, ModuleParameters):
        record["module"] = {"file": training.parameters.file, "text": training.parameters.text}
    return record


def curve_record(model: Learned) -> dict[str, list[float]]:
    """split -> the metric after each round or epoch."""
    return {split: [rounded(value) for value in values] for split, values in model.curve.items()}


def plain(value: Any) -> Any:
    """A setting as JSON takes it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def rounded(value: float) -> float:
    """To as many digits as do not depend on the number of threads."""
    return float(f"{value:.{_DIGITS}g}")
