"""Target encoding: a category's value becomes the mean of the label among the train rows that have it.

The mean is drawn towards the overall mean, the more the fewer rows a value has (Micci-Barreca 2001, "A preprocessing
scheme for high-cardinality categorical attributes"): `(sum + m * mean) / (rows + m)`. By default `m` is the variance
within the values over the variance between them, by the method of moments of a one-way random-effects model (Searle,
Casella, McCulloch 1992, "Variance Components", ch. 3): a category that says nothing about the label becomes a constant.

A row of the train split must not be described by its own label: a model would learn the encoding's noise by heart.
Each gets the means of the folds in which neither it is nor a row that belongs with it (see `trainer.groups`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.trainer.features.categories import Table, table_rows
from headrace.trainer.features.numbers import Values

FOLDS = 5


@dataclass(frozen=True)
class Label:
    """What is encoded.

    Attributes:
        values: (rows, C): a column for each class where there are more than two, else one: the positive class as 0 or
            1, or the number.
        names: of the C columns; empty where C is 1.
        weights: how much each row counts, (rows,).
        folds: the fold of each row, (rows,).
    """

    values: Values
    names: tuple[str, ...]
    weights: Values
    folds: np.ndarray


def make_label(
    label: np.ndarray,
    classes: Sequence[str],
    weights: np.ndarray | None,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> Label:
    """The label as it is encoded.

    Args:
        label: class numbers, or values where there are no classes; (rows,).
        classes: their names.
        weights: how much each row counts; None: all the same.
        seed: of the folds. They are drawn by chance, as many rows in each, or groups.
        groups: which rows belong together, (rows,); None where each stands alone. Of a single group, all do.
    """
    rows = len(label)
    places = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    places = places if rows and places.max() else np.arange(rows)
    folds = (np.random.default_rng(seed).permutation(int(places.max(initial=0)) + 1) % FOLDS)[places]
    each = np.ones(rows) if weights is None else weights.astype(np.float64)
    if len(classes) > 2:
        values = (label[:, None] == np.arange(len(classes))).astype(np.float64)
        return Label(values, tuple(classes), each, folds)
    return Label(label.astype(np.float64).reshape(-1, 1), (), each, folds)


def fit_target(codes: Values, sizes: Sequence[int], label: Label, smoothing: float | None) -> tuple[Table, Values]:
    """Fits target encodings.

    Args:
        codes: of all rows of the train split, (rows, k).
        sizes: of the k categories.
        label: of the same rows.
        smoothing: `m`; None: by the variances.

    Returns:
        the encoding, and its values of the train rows, each by the folds in which it is not; (rows, k * C).
    """
    tables, held_out = [], []
    for place, size in enumerate(sizes):
        rows = table_rows(codes[:, place], size)
        table, own = _encode(rows, size + 2, label, smoothing)
        tables.append(table)
        held_out.append(own)
    return Table("target", tuple(tables), label.names), np.concatenate(held_out, axis=1)


def _encode(rows: np.ndarray, height: int, label: Label, smoothing: float | None) -> tuple[Values, Values]:
    """The table of one column (height, C), and the train rows' values by the other folds (rows, C)."""
    cells = rows * FOLDS + label.folds

    def sums(weights: Values) -> Values:
        return np.asarray(np.bincount(cells, weights, minlength=height * FOLDS), np.float64).reshape(height, FOLDS)

    count = sums(label.weights)
    table = np.empty((height, label.values.shape[1]))
    held_out = np.empty((len(rows), label.values.shape[1]))
    for place, value in enumerate(label.values.T):
        total, squares = sums(label.weights * value), sums(label.weights * value**2)
        table[:, place] = _means(count.sum(1), total.sum(1), squares.sum(1), smoothing)
        others = [each.sum(1, keepdims=True) - each for each in (count, total, squares)]  # all folds but one
        without = [
            _means(others[0][:, fold], others[1][:, fold], others[2][:, fold], smoothing) for fold in range(FOLDS)
        ]
        held_out[:, place] = np.stack(without, axis=1)[rows, label.folds]
    return table, held_out


def _means(count: Values, total: Values, squares: Values, smoothing: float | None) -> Values:
    """The smoothed mean of each value; the overall mean for a value that has no rows."""
    rows = count.sum()
    if rows <= 0:
        return np.zeros(len(count))
    count = np.where(count > 1e-9 * rows, count, 0.0)  # differences of sums leave crumbs
    mean = total.sum() / rows
    m = _shrinkage(count, total, squares) if smoothing is None else smoothing
    if not np.isfinite(m):
        return np.full(len(count), mean)
    means = np.full(len(count), mean)
    np.divide(total + m * mean, count + m, out=means, where=count + m > 0)
    return means


def _shrinkage(count: Values, total: Values, squares: Values) -> float:
    """The variance within the values over that between them; infinite where nothing is between them."""
    seen = count > 0
    n, sums = count[seen], total[seen]
    rows, values = n.sum(), len(n)
    within = squares[seen].sum() - (sums**2 / n).sum()
    between = (sums**2 / n).sum() - sums.sum() ** 2 / rows
    if values < 2 or rows <= values:
        return float("inf")
    within_mean = max(within, 0.0) / (rows - values)
    spread = (between - (values - 1) * within_mean) / (rows - (n**2).sum() / rows)
    return float(within_mean / spread) if spread > 1e-12 * max(within_mean, 1e-300) else float("inf")
