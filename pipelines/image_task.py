"""What a spec says otherwise where pictures are classified: its defaults, and what does not go with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.components.ingest.spec import DataSpec
from headrace.components.train.spec import TrainSpec
from headrace.components.transform.spec import FeaturesSpec
from headrace.pipelines.yaml_lines import Place

IMAGES = "image_classification"
_FORMAT, _MODEL = "images", "cnn"


def with_image_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The spec as it stands in its file, with the format and the kind of model that go without saying for pictures."""
    filled = dict(spec)
    data, train = spec.get("data"), spec.get("train", {})
    if isinstance(data, dict) and "format" not in data:
        filled["data"] = {**data, "format": _FORMAT}
    if isinstance(train, dict) and not {"model", "module"} & set(train):
        filled["train"] = {**train, "model": _MODEL}
    return filled


def image_misfits(task: str, data: DataSpec, features: FeaturesSpec, train: TrainSpec) -> Iterator[tuple[Place, str]]:
    """What goes with tables but not with pictures, or the other way round, each with its place in the spec."""
    if task != IMAGES:
        if data.format == _FORMAT:
            yield ("task",), f"expected {IMAGES} with data.format: {_FORMAT}. Received: {task}"
        if train.model == _MODEL:
            yield ("train", "model"), f"expected {_MODEL} only with task: {IMAGES}. Received: it with {task}"
        return
    if data.format != _FORMAT:
        yield ("data", "format"), f"expected {_FORMAT} with task: {IMAGES}. Received: {data.format}"
    for name in sorted(features.model_fields_set):
        if getattr(features, name) != FeaturesSpec.model_fields[name].get_default(call_default_factory=True):
            text = f"expected no features of pictures; how they are varied stands in train.{_MODEL}.augment"
            yield ("features", name), f"{text}. Received: `{name}`"
    if train.model != _MODEL:
        yield ("train", "model"), f"expected {_MODEL} with task: {IMAGES}. Received: {train.model}"
    if train.tune is not None:
        yield (
            ("train", "tune"),
            f"expected none with task: {IMAGES}, whose settings are not searched. Received: a section",
        )
