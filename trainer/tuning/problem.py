"""What is tuned: the data that every trial shares, and what each is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headrace.artifacts.transform import Feature
from headrace.trainer.model import Rows
from headrace.trainer.parameters import ModuleParameters
from headrace.trainer.rows import mean_one
from headrace.trainer.tuning.folds import Fold


@dataclass(frozen=True)
class Problem:
    """What every trial of a search shares.

    Attributes:
        kind: of model.
        base: the parameters as the spec has them.
        train, evaluation: the two splits as the learner takes them; the test split is never here.
        features: what their columns are.
        classes: how many; 0 for a regression.
        seed: of every training.
        folds: divisions of train to judge by; none where eval judges.
    """

    kind: str
    base: Any
    train: Rows
    evaluation: Rows
    features: Sequence[Feature]
    classes: int
    seed: int
    folds: tuple[Fold, ...] = ()

    @property
    def bytes(self) -> int:
        """How large the two matrices are in memory."""
        return sum(_bytes(rows.features) for rows in (self.train, self.evaluation))

    def parameters(self, tried: dict[str, Any]) -> Any:
        """The learner's parameters with some of them tried."""
        return with_values(self.base, tried)

    def pairs(self) -> list[tuple[Rows, Rows]]:
        """What is trained on and judged on: one pair, or one for each fold."""
        if not self.folds:
            return [(self.train, self.evaluation)]
        return [(part(self.train, fold.learned), part(self.train, fold.judged)) for fold in self.folds]


def with_values(base: Any, tried: dict[str, Any]) -> Any:
    """Parameters with some of them replaced; those of a user's own module are entries of its mapping."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in tried.items()}
    if isinstance(base, ModuleParameters):
        return replace(base, parameters={**base.parameters, **values})
    return replace(base, **values)


def value_of(base: Any, name: str) -> Any:
    """What a parameter is; None where that is left to the learner."""
    return base.parameters.get(name) if isinstance(base, ModuleParameters) else getattr(base, name)


def part(rows: Rows, places: np.ndarray) -> Rows:
    """Some of the rows; their weights have a mean of 1 again."""
    weights = None if rows.weights is None else mean_one(rows.weights[places])
    return Rows(rows.features[places], rows.labels[places], weights)


def _bytes(features: Any) -> int:
    parts = [features] if isinstance(features, np.ndarray) else [features.data, features.indices, features.indptr]
    return sum(int(array.nbytes) for array in parts)
