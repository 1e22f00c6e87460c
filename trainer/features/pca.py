"""Principal components in the place of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import Feature
from headrace.trainer.features.encoding import plain
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.numbers import Impute, Scale, fit_number
from headrace.trainer.features.training_rows import TrainRows
from headrace.trainer.threads import one_blas_thread

MOST_COLUMNS = 2_000  # whose covariances are computed


@dataclass(frozen=True)
class Components:
    """The features with the numbers replaced.

    Attributes:
        tensor: float32 [N, W].
        outputs: what the W columns are: what is no number, then the components.
        note: how much of the variance the components have.
        record: what was learned.
    """

    tensor: str
    outputs: tuple[Feature, ...]
    note: str
    record: dict[str, Any]


def fit_pca(
    train: TrainRows, graph: FeatureGraph, whole: str, outputs: Sequence[Feature], components: int
) -> Components:
    """Replaces the numbers by principal components.

    What stands for a value of a category or for a word, and what was fitted on the label, are none of them. They
    are imputed by the median and standardized first; the eigenvectors are those of their correlation matrix.

    Raises:
        HeadraceError: there are fewer numbers than components, or more than can be taken.
    """
    numbers = [place for place, feature in enumerate(outputs) if is_measured(feature)]
    if not components <= len(numbers) <= MOST_COLUMNS:
        raise HeadraceError(
            f"features.reduce.pca: expected at most as many components as there are numbers, and at most "
            f"{MOST_COLUMNS:,} of those. Received: {components} components of {len(numbers):,} numbers"
        )
    block = graph.to_double(graph.columns(whole, numbers, len(outputs)))
    values = train.of_sample(graph, block)
    impute: Impute = fit_number("impute", None, values)
    filled = np.where(np.isnan(values), impute.values, values)
    scale: Scale = fit_number("standardize", None, filled)
    spread = (filled - scale.shift) * scale.factor
    with one_blas_thread():
        variances, vectors = np.linalg.eigh(spread.T @ spread / len(spread))
    chosen = vectors[:, ::-1][:, :components]
    chosen = chosen * np.where(chosen[np.abs(chosen).argmax(0), range(components)] < 0, -1.0, 1.0)  # one sign of two
    explained = variances[::-1][:components] / variances.sum()
    projected = graph.add("MatMul", scale.emit(graph, impute.emit(graph, block)), graph.numbers(chosen))
    names = tuple(outputs[place].name for place in numbers)
    sources = tuple(dict.fromkeys(name for place in numbers for name in outputs[place].sources))
    others = [place for place in range(len(outputs)) if place not in set(numbers)]
    parts = [graph.add("Gather", whole, graph.integers(others), axis=1)] if others else []
    made = tuple(
        Feature(f"component {number}", sources, f"principal component {number} of {len(names)} numbers")
        for number in range(1, components + 1)
    )
    record = {"step": "Pca", "of": names, "impute": impute.values, "shift": scale.shift, "factor": scale.factor,
              "components": chosen, "explained": explained}  # fmt: skip
    return Components(
        graph.beside([*parts, graph.add("Cast", projected, to=TensorProto.FLOAT)]),
        (*(outputs[place] for place in others), *made),
        f"{components} principal components hold {explained.sum():.1%} of the variance of {len(names)} numbers",
        {key: plain(value) for key, value in record.items()},
    )


def is_measured(feature: Feature) -> bool:
    """Whether a feature is a number that was measured or computed, and no 0 or 1 that stands for a value or a word."""
    if feature.out_of_fold:  # train rows take their values elsewhere, and a component could not
        return False
    return feature.kind == "number" and not feature.made.startswith("missing(") and "=" not in feature.made
