"""How well one feature alone predicts the label, on rows that were held out.

A feature is cut into bins on one half of a sample; each bin predicts what the label was there. The other half
tells how good that is: area under the ROC curve for classes (one against the rest, weighted by the classes'
shares), R2 of the label's ranks for numbers. A column that names its row predicts nothing there, as no value
of the second half was seen in the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

BINS = 64
FEWEST_ROWS = 100  # in each half
FEWEST_OF_CLASS = 5  # in each half
_MOST_CLASSES = 20  # the most frequent ones


@dataclass(frozen=True)
class Target:
    """The label, made ready: of shape (rows, columns), a column per class with 0 and 1, or one with ranks."""

    values: Floats
    weights: Floats
    measure: str  # "AUC" | "R²"


def target_of(label: pa.ChunkedArray, task: str) -> Target | None:
    """The label as a target; None where there are too few rows to hold any out."""
    if len(label) < 2 * FEWEST_ROWS:
        return None
    if task == "regression":
        ranks = ranked(label.to_numpy().astype(np.float64))
        return Target(ranks[:, None], np.ones(1), "R²")
    counts = sorted(pc.value_counts(label).to_pylist(), key=lambda entry: (-entry["counts"], str(entry["values"])))
    columns, weights = [], []
    for entry in counts[:_MOST_CLASSES]:
        column = pc.equal(label, entry["values"]).to_numpy().astype(np.float64)
        halves = (column[0::2], column[1::2])
        if min(min(half.sum(), len(half) - half.sum()) for half in halves) >= FEWEST_OF_CLASS:
            columns.append(column)
            weights.append(float(entry["counts"]))
    if not columns:
        return None
    if len(counts) == 2:  # the other class's curve is the same one
        columns, weights = columns[-1:], weights[-1:]
    return Target(np.stack(columns, axis=1), np.array(weights), "AUC")


def power(feature: pa.ChunkedArray, target: Target) -> float:
    """How well a feature predicts the target: 0.5 (AUC) or 0 (R2) is nothing, 1 is all."""
    codes = binned(feature)
    fitted, held_out = codes[0::2], codes[1::2]
    known, actual = target.values[0::2], target.values[1::2]
    bins = int(codes.max()) + 1
    counts = np.bincount(fitted, minlength=bins).astype(np.float64)
    prior = known.mean(axis=0)
    sums = np.stack([np.bincount(fitted, weights=column, minlength=bins) for column in known.T], axis=1)
    predicted = ((sums + prior) / (counts + 1.0)[:, None])[held_out]
    if target.measure == "R²":
        errors = ((actual - predicted) ** 2).sum()
        spread = ((actual - actual.mean()) ** 2).sum()
        return max(0.0, 1.0 - float(errors / spread)) if spread else 0.0
    areas = [roc_auc(actual[:, i], predicted[:, i]) for i in range(actual.shape[1])]
    return float(np.average(areas, weights=target.weights))


def binned(feature: pa.ChunkedArray) -> Codes:
    """Each row's bin, 0 for a missing value. Numbers get quantiles of the first half, texts a bin each."""
    values = as_numbers(feature)
    if values is None:
        encoded = pc.dictionary_encode(feature.combine_chunks() if feature.num_chunks != 1 else feature.chunk(0))
        codes = pc.fill_null(pc.add(encoded.indices.cast(pa.int64()), 1), 0).to_numpy(zero_copy_only=False)
        return np.asarray(codes, dtype=np.int64)
    missing = ~np.isfinite(values)
    first = values[0::2][~missing[0::2]]
    distinct = np.unique(first)
    if len(distinct) > BINS:
        edges = np.unique(np.quantile(first, np.linspace(0, 1, BINS + 1)[1:-1]))
    else:
        edges = (distinct[1:] + distinct[:-1]) / 2
    # A value that many rows share is an edge, and gets a bin of its own between its neighbours'.
    codes = np.searchsorted(edges, values, side="left") + np.searchsorted(edges, values, side="right") + 1
    codes[missing] = 0
    return codes.astype(np.int64)


def as_numbers(feature: pa.ChunkedArray) -> Floats | None:
    """Numbers, truth values and times as float64, NaN where missing; None for texts and the like."""
    type = feature.type
    if pa.types.is_boolean(type):
        feature = feature.cast(pa.int8())
    elif pa.types.is_date32(type):
        feature = feature.cast(pa.int32())
    elif pa.types.is_timestamp(type):
        feature = feature.cast(pa.int64())
    elif not (pa.types.is_integer(type) or pa.types.is_floating(type)):
        return None
    numbers: Floats = feature.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def roc_auc(actual: Floats, score: Floats) -> float:
    """Area under the ROC curve: the chance that a positive row scores above a negative one; ties count half."""
    _, group = np.unique(score, return_inverse=True)
    positives = np.bincount(group, weights=actual)
    negatives = np.bincount(group, weights=1.0 - actual)
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    return float((positives * (below + negatives / 2)).sum() / pairs) if pairs else 0.5


def ranked(values: Floats) -> Floats:
    """Average ranks, scaled to 0..1; of finite values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = ((last - (counts - 1) / 2)[inverse] - 1) / max(len(values) - 1, 1)
    return ranks
