"""The metrics of parts of the rows: where a model that is good on the whole is not."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from headrace.artifacts.by import By, by_name
from headrace.artifacts.evaluation import LEAST_ROWS, Slice, Unjudged
from headrace.components.evaluate.bootstrap import OF_SLICES, intervals
from headrace.components.evaluate.groups import groups
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.scores import Scores

MOST_SLICES = 100  # of one column, or of one pair of columns
MOST_NAMED = 20  # of the values that are too small


def slices(
    scores: Scores, table: pa.Table, columns: Iterable[By], seed: int = 0
) -> tuple[tuple[Slice, ...], tuple[Unjudged, ...]]:
    """Measures each value of each column on its own, or of each pair of columns, if it has enough rows.

    Args:
        scores: N rows.
        table: the same rows' columns.
        columns: columns, or pairs of them.
        seed: of the resampling that gives the intervals.

    Raises:
        HeadraceError: there is no such column.
    """
    found, unjudged = [], []
    for by in columns:
        parts = groups(table, by)
        large = [part for part in parts if len(part.rows) >= LEAST_ROWS]
        small = parts[len(large) :]
        for part in large[:MOST_SLICES]:
            own = scores.take(part.rows)
            values, undefined = measure(own)
            # A metric without a value, such as the AUC of rows of one class, has no interval either.
            around = {name: ends for name, ends in intervals(own, seed, **OF_SLICES).items() if name in values}
            found.append(Slice(by_name(by), part.value, len(part.rows), values, undefined, around))
        left_out = max(0, len(large) - MOST_SLICES)
        if small or left_out:
            rows = sum(len(part.rows) for part in small)
            names = tuple(part.value for part in small[:MOST_NAMED])
            unjudged.append(Unjudged(by_name(by), len(small), rows, LEAST_ROWS, left_out, names))
    return tuple(found), tuple(unjudged)
