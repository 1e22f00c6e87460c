"""From a split's raw columns to what a learner takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse

from headrace.artifacts.raw_inputs import batches, open_graph, raw_inputs
from headrace.artifacts.transform import TransformFiles
from headrace.trainer.model import Features

SPARSE_FROM = 256  # columns: below, a dense matrix is small anyway, and quicker
SPARSE_SHARE = 0.2  # of cells that are not 0: above, a sparse matrix is the larger one
BATCH_CELLS = 16_000_000  # of features that are dense at a time


def feature_matrix(transform: TransformFiles, table: pa.Table, split: str) -> Features:
    """The features of a split's rows, all of them and in their order, float32 (rows, W).

    Sparse where W is large and most cells are 0 in the first rows; it is put together batch by batch, so that all of
    it is never dense. Of the train split, features that were fitted on the label take the values that were made out of
    fold: a row must not be described by its own label.
    """
    width = len(transform.recipe.outputs)
    features = np.empty((table.num_rows, width), np.float32) if width < SPARSE_FROM else None
    parts: list[scipy.sparse.csr_matrix] = []
    for start, batch in _batches(transform, table, split):
        if start == 0 and features is None and not _mostly_zero(batch):
            features = np.empty((table.num_rows, width), np.float32)
        if features is None:
            parts.append(scipy.sparse.csr_matrix(batch))
        else:
            features[start : start + len(batch)] = batch
    if features is not None:
        return features
    return scipy.sparse.vstack(parts, format="csr") if parts else np.empty((0, width), np.float32)


def _mostly_zero(batch: np.ndarray) -> bool:
    return bool(np.count_nonzero(batch) <= SPARSE_SHARE * batch.size)


def _batches(transform: TransformFiles, table: pa.Table, split: str) -> Iterator[tuple[int, np.ndarray]]:
    """The features in batches, each with the number of its first row."""
    recipe = transform.recipe
    session = open_graph(transform.graph)
    held_out = _held_out(transform) if split == "train" else {}
    rows = max(256, BATCH_CELLS // max(1, len(recipe.outputs)))
    start = 0
    for part in batches(table, recipe.inputs, rows):
        batch = np.asarray(session.run(None, raw_inputs(part, recipe.inputs))[0])
        for place, values in held_out.items():
            batch[:, place] = values[start : start + len(batch)]
        yield start, batch
        start += len(batch)


def _held_out(transform: TransformFiles) -> dict[int, np.ndarray]:
    """The train rows' values of features that were fitted on the label, by the features' places."""
    if transform.out_of_fold is None:
        return {}
    places = {feature.name: place for place, feature in enumerate(transform.recipe.outputs)}
    table = pq.read_table(transform.out_of_fold)
    return {places[name]: table[name].to_numpy() for name in table.column_names}
