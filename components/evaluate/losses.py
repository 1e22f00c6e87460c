"""How wrong a model is about each single row, and whether some rows have more of it than the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr

from headrace.components.evaluate.measure import normalized
from headrace.components.evaluate.scores import Array, Floats, Scores

LEAST_RATIO = 1.1  # a tenth more error than the others: of very many rows, less is beyond chance too, and no news


def loss_name(scores: Scores) -> str:
    """`log_loss` where there are classes, `squared_error` where there are values."""
    return "squared_error" if scores.task == "regression" else "log_loss"


def losses(scores: Scores) -> Floats:
    """(N,) the log loss in nats of each row, or its squared error."""
    if scores.task == "regression":
        return np.asarray((scores.predicted - scores.truth) ** 2, np.float64)
    own = normalized(scores.outputs)[np.arange(len(scores)), scores.truth]
    return np.asarray(-np.log(np.clip(own, np.finfo(np.float32).eps, 1)))


class Sums(NamedTuple):
    """Of K sets of rows: how many there are, their summed losses, and the sums of the losses' squares; (K,) each."""

    rows: Floats
    total: Floats
    squares: Floats

    def minus(self, other: Sums) -> Sums:
        """Of the rows that are not in the other sets."""
        return Sums(self.rows - other.rows, self.total - other.total, self.squares - other.squares)

    @property
    def mean(self) -> Floats:
        """(K,) 0 of an empty set."""
        return np.divide(self.total, self.rows, out=np.zeros_like(self.total), where=self.rows > 0)

    @property
    def variance(self) -> Floats:
        """(K,) unbiased; 0 of fewer than two rows."""
        spread = np.maximum(self.squares - self.rows * self.mean**2, 0)
        return np.divide(spread, self.rows - 1, out=np.zeros_like(spread), where=self.rows > 1)


def sums_of(values: Floats) -> Sums:
    """Of one set of rows, (1,) each."""
    return Sums(np.array([float(len(values))]), np.array([values.sum()]), np.array([(values**2).sum()]))


def worse(parts: Sums, whole: Sums) -> tuple[Floats, Floats]:
    """Whether parts of the rows have a greater mean loss than the rest of them: Welch's t test, one-sided.

    The standard error is never less than the one that "no difference" implies (the spread of all rows), as a small
    part whose rows happen to be alike has nearly none of its own.

    Args:
        parts: (K,) sums of the parts.
        whole: (1,) sums of all rows.

    Returns:
        t (K,) and p (K,); p is 1 where a part is empty, or everything.
    """
    rest = Sums(whole.rows - parts.rows, whole.total - parts.total, whole.squares - parts.squares)
    usable = (parts.rows > 1) & (rest.rows > 1)
    own = np.divide(parts.variance, parts.rows, out=np.zeros_like(parts.rows), where=usable)
    other = np.divide(rest.variance, rest.rows, out=np.zeros_like(parts.rows), where=usable)
    even = np.divide(1, parts.rows, out=np.zeros_like(parts.rows), where=usable)
    even += np.divide(1, rest.rows, out=np.zeros_like(parts.rows), where=usable)
    squared = np.maximum(own + other, whole.variance * even)
    usable &= squared > 0
    t = np.divide(parts.mean - rest.mean, np.sqrt(squared), out=np.zeros_like(squared), where=usable)
    spread = own**2 / np.maximum(parts.rows - 1, 1) + other**2 / np.maximum(rest.rows - 1, 1)
    freedom = np.divide((own + other) ** 2, spread, out=parts.rows - 1, where=usable & (spread > 0))
    return t, np.where(usable, stdtr(np.maximum(freedom, 1), -t), 1.0)


def excess(parts: Sums, whole: Sums) -> Floats:
    """(K,) the share of the whole loss that would be gone, had each part the mean loss of the rest; may be negative."""
    rest = Sums(whole.rows - parts.rows, whole.total - parts.total, whole.squares - parts.squares)
    gone = parts.total - parts.rows * rest.mean
    return gone / whole.total if whole.total[0] > 0 else np.zeros_like(gone)


def each(codes: Array, values: Floats, size: int) -> Sums:
    """The sums of each code from 0 to size - 1."""
    return Sums(
        np.bincount(codes, minlength=size).astype(np.float64),
        np.asarray(np.bincount(codes, values, size), np.float64),
        np.asarray(np.bincount(codes, values**2, size), np.float64),
    )
