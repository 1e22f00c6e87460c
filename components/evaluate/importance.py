"""Permutation importance (Breiman 2001): how much worse the model gets when one feature is shuffled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.evaluation import Importance
from headrace.artifacts.folder import read_json
from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.matrix_model import Cells, MatrixModel
from headrace.components.evaluate.measure import measure_one
from headrace.components.evaluate.scores import Array, Scores

MOST_ROWS = 1_000  # enough for the order of the features; this is a look, not a test
MOST_FEATURES = 200  # each costs a run of the model; a thousand of them would take longer than training
MAIN = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}

Shuffled = Callable[[str | None, Array], Array]  # (feature or none, order of its values) -> the model's outputs


class Measured(NamedTuple):
    """The features, the most important first; on how many rows; how many used ones were left out."""

    found: tuple[Importance, ...]
    rows: int
    skipped: int


def importance(
    prepare: Callable[[pa.Table], Shuffled],
    scores: Callable[[pa.Table, Array], Scores],
    table: pa.Table,
    features: Sequence[str],
    seed: int,
    gain: Mapping[str, float] | None = None,
) -> Measured:
    """Shuffles each feature once on a sample of rows; of very many, those that mattered most in training.

    Args:
        prepare: takes the sample, and answers for it with a feature shuffled.
        scores: puts outputs beside the labels of the same rows.
        table: the rows.
        features: the columns that the model reads.
        seed: of the sample and of the shuffles.
        gain: what each feature gained in training. One that gained nothing is in no tree, so its importance is
            zero without a look. None where that is not known.
    """
    rng = np.random.default_rng(seed)
    count = min(MOST_ROWS, table.num_rows)
    sample = table.take(np.sort(rng.choice(table.num_rows, count, replace=False)))
    answer = prepare(sample)
    whole = scores(sample, answer(None, np.arange(count)))
    metric = MAIN[whole.kind]
    start = measure_one(whole, metric)
    if start is None:
        return Measured((), count, 0)
    sign = -1 if METRICS[metric].higher_is_better else 1
    used = [name for name in features if gain is None or gain.get(name, 0.0) > 0]
    ranked = sorted(used, key=lambda name: -(gain or {}).get(name, 0.0))
    chosen = set(ranked[:MOST_FEATURES])
    found = [Importance(name, metric, 0.0) for name in features if name not in set(used)]
    for name in features:
        if name in chosen:
            value = measure_one(scores(sample, answer(name, rng.permutation(count))), metric)
            if value is not None:
                found.append(Importance(name, metric, sign * (value - start)))
    return Measured(tuple(sorted(found, key=lambda item: -item.worse_by)), count, len(used) - len(chosen))


def by_columns(predict: Callable[[pa.Table], Array], table: pa.Table) -> Shuffled:
    """Shuffles a column of a table."""

    def answer(name: str | None, order: Array) -> Array:
        if name is None:
            return predict(table)
        return predict(table.set_column(table.column_names.index(name), name, table[name].take(pa.array(order))))

    return answer


def by_cells(model: MatrixModel, cells: Cells) -> Shuffled:
    """Shuffles one column of encoded rows: strings are looked up once, and not for each of the features."""
    texts = {place: index for index, place in enumerate(model.texts)}

    def answer(name: str | None, order: Array) -> Array:
        if name is None:
            return model.run(cells)
        place = model.columns.index(name)
        matrix = cells.matrix.copy()
        matrix[:, place] = matrix[order, place]
        if cells.texts is None or place not in texts:
            return model.run(Cells(matrix, cells.texts))
        words = cells.texts.copy()
        words[:, texts[place]] = words[order, texts[place]]
        return model.run(Cells(matrix, words))

    return answer


def training_gain(bundle: Bundle) -> dict[str, float] | None:
    """What each raw column gained in training, through all features made of it; None where not recorded."""
    if not bundle.lineage.exists():
        return None
    lineage: Any = read_json(bundle.lineage)
    total = {item.name: 0.0 for item in bundle.signature.inputs}
    try:
        sources = lineage["transform"]["features"]
        for feature, share in lineage["training"]["importance"].items():
            for column in sources[feature]:
                total[column] += float(share)
    except (KeyError, TypeError, AttributeError):
        return None  # a bundle from elsewhere: its lineage is free to say something else
    return total if any(total.values()) else None
