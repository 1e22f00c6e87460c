"""Scores a split that is too large for memory: in this process batch by batch, or by Apache Beam."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.scores import kept
from headrace.components.evaluate.batches import (
    Counted,
    Predict,
    Score,
    count_stretch,
    share_of_rows,
    stretches,
)
from headrace.components.evaluate.scores import Array, Scores
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.tally import Tally, merge
from headrace.components.fold import Fold


class Large(NamedTuple):
    """A split that was scored: the tally of all its rows, and those of them that are looked at."""

    tally: Tally
    table: pa.Table
    scores: Scores
    row: Array  # their places in the split


def is_large(data: Dataset, split: str, settings: EvaluateSpec) -> bool:
    """Whether the split is not scored at once."""
    rows = data.info.rows[split]
    return rows > settings.batches.most_rows or (settings.batches.beam is not None and rows > 0)


def score_large(
    data: Dataset,
    split: str,
    settings: EvaluateSpec,
    predict: Predict,
    score: Score,
    bundle: Path | None = None,
    uri: str | None = None,
) -> Large:
    """Scores all rows of a split.

    Args:
        data: the snapshot.
        split: its split, with a row at least.
        settings: how many rows are looked at, and whether by Beam.
        predict: from a table to outputs, of the model.
        score: puts outputs beside the truth.
        bundle: the model's folder, for Beam.
        uri: the snapshot's folder as Beam's workers find it, such as `gs://...`; by default the snapshot's own.

    Raises:
        HeadraceError: model and dataset do not fit each other, or Beam's options are wrong.
    """
    rows = data.info.rows[split]
    if settings.batches.beam is not None and bundle is not None:
        from headrace.components.evaluate.beam import counted_by_beam

        remote = uri is not None and urlsplit(uri).scheme not in ("", "file")
        place = str(uri if remote else data.path)
        counted = counted_by_beam(place, bundle, data.info, split, settings)
    else:
        counted = _in_process(data, split, predict, score)
    return _gathered(counted, min(1.0, settings.batches.most_rows / rows), score)


def some_rows(data: Dataset, split: str, settings: EvaluateSpec) -> pa.Table:
    """A split, or as many of its rows as are looked at."""
    most, rows = settings.batches.most_rows, data.info.rows[split]
    if rows <= most:
        return data.table(split)
    first, tables = 0, []
    for batch in data.batches(split):
        chosen = kept(np.arange(first, first + batch.num_rows), most / rows)
        first += batch.num_rows
        tables.append(pa.Table.from_batches([batch.filter(pa.array(chosen))]))
    return pa.concat_tables(tables)


def _in_process(data: Dataset, split: str, predict: Predict, score: Score) -> Iterator[Counted]:
    share = share_of_rows(data.info.rows[split])
    with pq.ParquetFile(data.file(split)) as file:
        for part in stretches(file.metadata):
            yield count_stretch(file, part, predict, score, share)


def _gathered(counted: Iterable[Counted], share: float, score: Score) -> Large:
    kind = ""
    folded: Fold[Tally] = Fold(lambda one, other: merge(one, other, kind))
    tables, outputs, rows = [], [], []
    for part in counted:
        scores = score(part.table, part.outputs)
        kind = scores.kind
        folded.add(part.tally)
        looked_at = kept(part.row, share)
        tables.append(part.table.filter(pa.array(looked_at)))
        outputs.append(part.outputs[looked_at])
        rows.append(part.row[looked_at])
    table, answered = pa.concat_tables(tables), np.concatenate(outputs)
    return Large(folded.result(), table, score(table, answered), np.concatenate(rows))
