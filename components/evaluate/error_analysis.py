"""Which rows a model is most wrong about, and what they share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.artifacts.errors_found import ErrorsFound, WorstRow
from headrace.artifacts.evaluation import MISSING
from headrace.components.evaluate.error_rules import error_rules
from headrace.components.evaluate.losses import loss_name, losses
from headrace.components.evaluate.scores import Array, Scores

MOST_TEXT = 80  # characters of a value that are kept
MOST_COLUMNS = 40  # of a listed row


def analyse_errors(
    scores: Scores,
    table: pa.Table,
    columns: Sequence[str],
    inputs: Sequence[str],
    id: str | None,
    most: int,
    seed: int,
    places: Array | None = None,
) -> ErrorsFound | None:
    """Looks at each row's error; None where nothing can be measured.

    Args:
        scores: N rows.
        table: the same rows' columns.
        columns: those that rules may speak of.
        inputs: the columns that are shown of the worst rows: what the model was given, the most important first. No
            others are, so that what `features.drop` names is not shown either.
        id: the column that names a row.
        most: how many rows are listed.
        seed: of the thirds that rules are found and measured on.
        places: (N,) the rows' places in the split; 0 to N - 1 by default.
    """
    if scores.flaw():
        return None
    values = losses(scores)
    wrong = None if scores.task == "regression" else scores.predicted != scores.truth
    rules = error_rules(table, list(columns), values, wrong, seed)
    measured = rules.measured
    order = np.argsort(-values, kind="stable")
    total = float(values.sum())
    tenth = float(values[order[: max(1, len(order) // 10)]].sum()) / total if total else 0.0
    shown = [name for name in inputs if name in table.column_names][:MOST_COLUMNS]
    listed = order[:most]
    values_of = table.select([*dict.fromkeys([*shown, *([id] if id else [])])]).take(pa.array(listed)).to_pylist()
    worst = tuple(
        WorstRow(
            row=int(row if places is None else places[row]),
            id=None if id is None else as_text(cells[id]),
            truth=truth_of(scores, row),
            predicted=answer_of(scores, row),
            probability=None if wrong is None else float(scores.outputs[row, scores.truth[row]]),
            error=float(values[row]),
            values={name: as_text(cells[name]) for name in shown},
        )
        for row, cells in zip(listed, values_of, strict=True)
    )
    off = None if wrong is None or not len(measured) else float(wrong[measured].mean())
    return ErrorsFound(loss_name(scores), float(values.mean()), tenth, len(measured), off, rules.found, worst)


def truth_of(scores: Scores, row: int) -> str:
    """What is true of a row, as text."""
    return as_text(float(scores.truth[row])) if scores.task == "regression" else scores.classes[scores.truth[row]]


def answer_of(scores: Scores, row: int) -> str:
    """What the model says of a row, as text."""
    said = scores.predicted[row]
    return as_text(float(said)) if scores.task == "regression" else scores.classes[said]


def as_text(value: Any) -> str:
    """A cell for people: missing where there is none, numbers short, long texts cut."""
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)
    return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 1]}…"
