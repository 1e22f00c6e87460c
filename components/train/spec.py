"""The `train` section of the spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headrace.components.section import Section
from headrace.trainer.parameters import GbdtParameters

_DEFAULT = GbdtParameters()


class GbdtSpec(Section):
    """Gradient-boosted trees (LightGBM). The defaults did well on eight tables of 180 to 20,000 rows."""

    learning_rate: float = Field(default=_DEFAULT.learning_rate, gt=0, le=1)
    """How much each tree adds."""
    num_leaves: int | None = Field(default=_DEFAULT.num_leaves, ge=2, le=4096)
    """Most leaves of a tree. By default 7 for hundreds of rows, growing with their square root to 63."""
    min_child_samples: int | None = Field(default=_DEFAULT.min_child_samples, ge=1)
    """Fewest training rows in a leaf. By default a hundredth of the rows, from 2 to 20."""
    feature_fraction: float = Field(default=_DEFAULT.feature_fraction, gt=0, le=1)
    """Share of the features that each tree may use."""
    bagging_fraction: float = Field(default=_DEFAULT.bagging_fraction, gt=0, le=1)
    """Share of the rows that each tree sees."""
    lambda_l2: float = Field(default=_DEFAULT.lambda_l2, ge=0)
    """L2 penalty on the leaves' values."""
    n_estimators: int = Field(default=_DEFAULT.n_estimators, ge=1, le=20_000)
    """Most trees (per class); early stopping usually ends sooner."""
    early_stopping_rounds: int = Field(default=_DEFAULT.early_stopping_rounds, ge=1)
    """Stop when the eval split has not improved for so many trees."""


class TrainSpec(Section):
    """Which model is trained, and how."""

    model: Literal["gbdt"] = "gbdt"
    """The kind of model: `gbdt`, gradient-boosted trees."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """The same seed, data and settings give the same model."""
    gbdt: GbdtSpec = GbdtSpec()
    """Settings of the trees."""
