"""A split of more rows than fit in memory: scored batch by batch, counted in a tally, and a part of it kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.scores import MOST_ROWS, kept
from headrace.components.evaluate.scores import Array, Scores
from headrace.components.evaluate.tally import Tally, merge, tally

BATCH_ROWS = 65_536
STRETCH_ROWS = 1_000_000  # at least so many rows, in whole row groups, are scored by one worker

Predict = Callable[[pa.Table], Array]
Score = Callable[[pa.Table, Array], Scores]


class Stretch(NamedTuple):
    """Some row groups of a split, after one another."""

    number: int
    first: int  # place of its first row in the split
    groups: list[int]


class Counted(NamedTuple):
    """What is left of a stretch: the tally of all its rows; and the rows that are kept, with what the model said."""

    tally: Tally
    table: pa.Table
    outputs: Array
    row: Array


def stretches(metadata: pq.FileMetaData) -> list[Stretch]:
    """The row groups of a file in runs of at least `STRETCH_ROWS` rows; one without any if there are no rows."""
    found = [Stretch(0, 0, [])]
    rows = 0
    for group in range(metadata.num_row_groups):
        if rows - found[-1].first >= STRETCH_ROWS:
            found.append(Stretch(len(found), rows, []))
        found[-1].groups.append(group)
        rows += metadata.row_group(group).num_rows
    return found


def share_of_rows(rows: int) -> float:
    """The share of a split's rows that are kept, the same for every model on it."""
    return min(1.0, MOST_ROWS / max(rows, 1))


def count_stretch(file: pq.ParquetFile, part: Stretch, predict: Predict, score: Score, share: float) -> Counted:
    """Scores the rows of some row groups.

    Args:
        file: the split.
        part: which of its row groups, with a row at least.
        predict: from a table to the model's outputs.
        score: puts outputs beside the truth.
        share: of the rows that are kept.

    Raises:
        HeadraceError: model and dataset do not fit each other.
    """
    tallies: list[Tally] = []
    tables, outputs, places = [], [], []
    first, kind = part.first, ""
    for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=part.groups):
        table = pa.Table.from_batches([batch])
        answered = predict(table)
        scores = score(table, answered)
        kind = scores.kind
        tallies[:] = [*tallies, tally(scores)] if not tallies else [merge(tallies[0], tally(scores), kind)]
        row = np.arange(first, first + table.num_rows)
        first += table.num_rows
        chosen = kept(row, share)
        tables.append(table.filter(pa.array(chosen)))
        outputs.append(np.asarray(answered)[chosen])
        places.append(row[chosen])
    return Counted(tallies[0], pa.concat_tables(tables), np.concatenate(outputs), np.concatenate(places))
