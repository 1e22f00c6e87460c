"""What an evaluation keeps of each row, for gates that compare two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa

from headrace.artifacts.by import by_name
from headrace.artifacts.scores import ScoresTable
from headrace.components.evaluate.groups import coded
from headrace.components.evaluate.scores import Array, Scores
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.value import row_gains

Keep = Callable[[ScoresTable], object]


def per_row(
    scores: Scores,
    table: pa.Table,
    settings: EvaluateSpec,
    split_rows: int,
    row: Array | None = None,
    share: float = 1.0,
) -> ScoresTable:
    """The scores of each row, with the slices and groups that gates divide rows by.

    Args:
        scores: N rows.
        table: the columns of the same rows.
        settings: whose gates name the columns, and whose `value` says what decisions bring.
        split_rows: rows of the split.
        row: (N,) their places in the split; all of it by default.
        share: which share of the split's rows these are, where they are a sample.

    Raises:
        HeadraceError: a column is not there.
    """
    return ScoresTable(
        task=scores.task,
        row=np.arange(len(scores)) if row is None else row,
        truth=scores.truth,
        outputs=scores.outputs,
        classes=scores.classes,
        split_rows=split_rows,
        share=share,
        weight=scores.weights,
        by=_members(table, settings),
        gains=row_gains(scores, table, settings.value),
    )


def _members(table: pa.Table, settings: EvaluateSpec) -> Mapping[str, pa.DictionaryArray]:
    found = {}
    for by in settings.gated_by:
        labels, codes = coded(table, by)
        found[by_name(by)] = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(labels, pa.string()))
    return found
