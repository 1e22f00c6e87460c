"""A closer look at a model's errors and answers: beyond the metrics, where and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from headrace.artifacts.attributions import Attributions
from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.errors_found import ErrorsFound
from headrace.artifacts.worst_slices import WorstSlices
from headrace.components.evaluate.error_analysis import analyse_errors
from headrace.components.evaluate.explain import explain
from headrace.components.evaluate.matrix_model import MatrixModel
from headrace.components.evaluate.scores import Array, Scores
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.worst_slices import candidates, worst_slices


class Looked(NamedTuple):
    """What was found, by the names of the evaluation's fields."""

    worst: WorstSlices | None = None
    errors: ErrorsFound | None = None
    attributions: Attributions | None = None


def look_closer(
    scores: Scores,
    table: pa.Table,
    info: DatasetInfo,
    settings: EvaluateSpec,
    model: MatrixModel | None = None,
    gain: Mapping[str, float] | None = None,
    places: Array | None = None,
) -> Looked:
    """Searches for the worst parts of the rows, analyses errors, and explains answers.

    Args:
        scores: N rows: the split, or a sample of it.
        table: the same rows' columns.
        info: what the snapshot says of them.
        settings: how much is looked at.
        model: as a function of cells; without, nothing is explained, and rows are not listed, as of pictures.
        gain: what each column gained in training.
        places: (N,) the rows' places in the split; 0 to N - 1 by default.
    """
    if scores.flaw():
        return Looked()
    chosen = candidates(table, info)
    worst = worst_slices(scores, table, chosen, settings.seed) if settings.errors.search else None
    if worst is not None and not worst.columns:
        worst = None  # nothing divides the rows, as of pictures without columns of their own
    if model is None:
        return Looked(worst)
    found = explain(model, scores, table, info.id, gain, settings.explain, settings.seed, places)
    ranked = [mean.feature for mean in found.means] if found else []
    inputs = [*(name for name in ranked if name in model.columns), *(n for n in model.columns if n not in ranked)]
    telling = worst.columns if worst else ()  # the search ranked them by how much they tell of the loss
    columns = [*telling, *(name for name in chosen.columns if name not in telling)]
    errors = analyse_errors(scores, table, columns, inputs, info.id, settings.errors.rows, settings.seed, places)
    return Looked(worst, errors, found)
