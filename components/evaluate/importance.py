"""Permutation importance (Breiman 2001): how much worse the model gets when one feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from headrace.artifacts.evaluation import Importance
from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.measure import measure_one
from headrace.components.evaluate.scores import Scores

MOST_ROWS = 1_000  # enough for the order of the features; this is a look, not a test
MAIN = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}


def importance(
    scores: Callable[[pa.Table], Scores], table: pa.Table, features: Sequence[str], seed: int
) -> tuple[Importance, ...]:
    """Shuffles each feature once on a sample of rows; the most important first.

    Args:
        scores: scores a table of rows as the model does.
        table: the rows.
        features: the columns that the model reads.
        seed: of the sample and of the shuffles.
    """
    rng = np.random.default_rng(seed)
    count = min(MOST_ROWS, table.num_rows)
    sample = table.take(np.sort(rng.choice(table.num_rows, count, replace=False)))
    whole = scores(sample)
    metric = MAIN[whole.kind]
    start = measure_one(whole, metric)
    if start is None:
        return ()
    sign = -1 if METRICS[metric].higher_is_better else 1
    found = []
    for name in features:
        shuffled = sample[name].take(rng.permutation(count))
        place = sample.column_names.index(name)
        value = measure_one(scores(sample.set_column(place, name, shuffled)), metric)
        if value is not None:
            found.append(Importance(name, metric, sign * (value - start)))
    return tuple(sorted(found, key=lambda item: -item.worse_by))
