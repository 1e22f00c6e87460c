"""What a learner is given, and what it gives back: the seam between the kinds of model and all that is around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import onnx
import scipy.sparse

from headrace.artifacts.transform import Feature

# float32 (rows, W); sparse where most cells are 0, as words are. NaN is missing, in both.
Features: TypeAlias = np.ndarray | scipy.sparse.csr_matrix


def dense(features: Features) -> np.ndarray:
    """The same as float32 (rows, W) with every cell: of a few rows, that is."""
    return np.asarray(features if isinstance(features, np.ndarray) else features.todense(), np.float32)


@dataclass(frozen=True)
class Rows:
    """A split as a learner takes it.

    Attributes:
        features: float32 (rows, W).
        labels: class numbers, int32 (rows,), or values, float64 (rows,).
        weights: how much each row counts, float64 (rows,), of mean 1; None where all count the same.
    """

    features: Features
    labels: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        train: what is learned from.
        evaluation: the eval split, by which training stops. The test split is never here.
        features: what the W columns are.
        classes: how many classes the label has; 0 for a regression.
        parameters: of this kind of model (`trainer/parameters.py`).
        seed: the same seed, data and parameters give the same model.
        checkpoints: a folder that outlives a killed process; None where there is none.
        on_round: called after each round or epoch with its number, from 1, and the eval split's metric; it may raise
            to end the training (a pruned trial does).
        positive: the number of the positive class, of two.
    """

    train: Rows
    evaluation: Rows
    features: Sequence[Feature]
    classes: int
    parameters: Any
    seed: int
    checkpoints: Path | None = None
    on_round: Callable[[int, float], None] | None = None
    positive: int = 1


class Learned(Protocol):
    """What every trained model tells of its training; a frozen dataclass has these properties as its fields."""

    @property
    def kind(self) -> str:
        """As the spec names it."""

    @property
    def metric(self) -> str:
        """What training minimized on the eval split: `log_loss` or `rmse`."""

    @property
    def curve(self) -> dict[str, list[float]]:
        """Split -> the metric after each round or epoch."""

    @property
    def rounds(self) -> int:
        """How many rounds or epochs the model keeps."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Every setting, with what was left to default decided."""


class Model(Learned, Protocol):
    """A trained model for tables, of any kind."""

    @property
    def tolerance(self) -> float:
        """How far the exported graph's answers may be from `predict`, relative above 1."""

    def predict(self, features: Features) -> np.ndarray:
        """The learner's own answer, float64: probabilities (rows, classes), or values (rows, 1)."""

    def graph(self, output: str) -> onnx.ModelProto:
        """The model as ONNX: `features` float32 [N, W] -> `probabilities` [N, C] or `value` [N, 1]."""

    def importance(self) -> np.ndarray | None:
        """Each feature's share of what the model learned, (W,), adding up to 1 or all 0; None where it cannot tell."""

    def thresholds(self) -> dict[int, np.ndarray]:
        """Feature's position -> the values, float32, at which the answer jumps: parity is tried on and beside them."""
