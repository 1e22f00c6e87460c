"""The metrics of parts of the rows: where a model that is good on the whole is not."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from headrace.artifacts.evaluation import LEAST_ROWS, Slice, Unjudged
from headrace.components.evaluate.groups import groups
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.scores import Scores

MOST_SLICES = 100  # of one column
MOST_NAMED = 20  # of the values that are too small


def slices(scores: Scores, table: pa.Table, columns: Iterable[str]) -> tuple[tuple[Slice, ...], tuple[Unjudged, ...]]:
    """Measures each value of each column on its own, if it has enough rows.

    Raises:
        HeadraceError: there is no such column.
    """
    found, unjudged = [], []
    for name in columns:
        parts = groups(table, name)
        large = [part for part in parts if len(part.rows) >= LEAST_ROWS]
        small = parts[len(large) :]
        for part in large[:MOST_SLICES]:
            values, undefined = measure(scores.take(part.rows))
            found.append(Slice(name, part.value, len(part.rows), values, undefined))
        left_out = max(0, len(large) - MOST_SLICES)
        if small or left_out:
            rows = sum(len(part.rows) for part in small)
            names = tuple(part.value for part in small[:MOST_NAMED])
            unjudged.append(Unjudged(name, len(small), rows, LEAST_ROWS, left_out, names))
    return tuple(found), tuple(unjudged)
