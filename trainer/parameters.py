"""What training is told; light to import, so that a spec can be checked without the learners."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class GbdtParameters:
    """What a boosting run is told; the names are LightGBM's."""

    learning_rate: float = 0.05
    num_leaves: int | None = None  # None: by the number of rows
    min_child_samples: int | None = None  # None: by the number of rows
    feature_fraction: float = 0.8
    bagging_fraction: float = 0.8
    lambda_l2: float = 1.0
    n_estimators: int = 2000
    early_stopping_rounds: int = 50

    def for_rows(self, rows: int) -> GbdtParameters:
        """The same parameters, with what goes by the number of training rows decided."""
        leaves = self.num_leaves or min(63, max(7, int(math.sqrt(rows) / 7)))
        return replace(
            self, num_leaves=leaves, min_child_samples=self.min_child_samples or min(20, max(2, rows // 100))
        )
