"""What can be known of the `train` section before a run: columns and classes that are not there, or not like that."""

from __future__ import annotations

import pyarrow as pa

from headrace.artifacts.errors import nearest_column
from headrace.pipelines.check_label import known_classes
from headrace.pipelines.spec import Spec
from headrace.pipelines.yaml_lines import Place
from headrace.trainer.expressions.arrow import column_type
from headrace.trainer.expressions.expression import TEXT


def train_mistakes(spec: Spec, head: pa.Table, whole: bool) -> list[tuple[Place, str]]:
    """Each mistake with its place in the spec.

    Args:
        spec: the whole.
        head: the first rows of the source, with what is aggregated and joined.
        whole: these are all rows, so that a class that is not among them is none.
    """
    types = {field.name: column_type(field.type) for field in head.schema}
    found: list[tuple[Place, str]] = []
    found += [(("train", "gbdt", "monotone", name), text) for name, text in _monotone(spec, types).items()]
    weight = spec.train.sample_weight
    if weight is not None and types.get(weight) == TEXT:
        found.append((("train", "sample_weight"), f"expected a column of numbers. Received: `{weight}`, texts"))
    return found + [(("train", "class_weight", name), text) for name, text in _classes(spec, head, whole).items()]


def _monotone(spec: Spec, types: dict[str, str]) -> dict[str, str]:
    """Constraints on what is no feature, as far as features have the names of their columns."""
    features = spec.features
    if features.encode or features.auto or features.reduce.pca:
        return {}
    known = [*types, *features.constructed]
    found = {}
    for name in spec.train.gbdt.monotone:
        if name not in known:
            found[name] = f"expected a feature. Received: `{name}`; {nearest_column(name, known)}"
        elif types.get(name) == TEXT:
            found[name] = f"expected a number. Received: `{name}`, a category, whose values are in no order"
    return found


def _classes(spec: Spec, head: pa.Table, whole: bool) -> dict[str, str]:
    """Weights of classes that the label does not have."""
    weights, known = spec.train.class_weight, known_classes(spec, head, whole)
    if not isinstance(weights, dict) or known is None:
        return {}
    text = f"expected a class of `{spec.data.label.name}`: {', '.join(known[:20])}"
    return {name: f"{text}. Received: {name}" for name in weights if name not in known}
