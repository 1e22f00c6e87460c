"""Shares with their intervals, and what of them is known of each class."""

from __future__ import annotations

import numpy as np

from headrace.artifacts.image_evaluation import ClassQuality, Share
from headrace.components.evaluate.scores import Array
from headrace.components.evaluate.wilson import wilson


def share(count: int, of: int) -> Share:
    """So many of so many, with Wilson's interval, which stays honest near 0 and 1 and for few.

    Raises:
        ValueError: of nothing.

    >>> found = share(95, 100)
    >>> round(found.low, 4), round(found.high, 4)
    (0.8882, 0.9785)
    """
    if of <= 0:
        raise ValueError(f"expected a share of one or more. Received: {count} of {of}")
    return Share(int(count), int(of), *wilson(count, of))


def share_of(hits: Array, among: Array) -> Share | None:
    """Of the rows `among` (mask), those that are hits (mask); None where there are none."""
    of = int(among.sum())
    return share(int((hits & among).sum()), of) if of else None


def class_quality(truth: Array, predicted: Array, classes: tuple[str, ...]) -> tuple[ClassQuality, ...]:
    """Recall and precision of each class; codes [N] into `classes`."""
    found = []
    for code, name in enumerate(classes):
        actual, said = np.asarray(truth == code), np.asarray(predicted == code)
        found.append(ClassQuality(name, int(actual.sum()), share_of(said, actual), share_of(actual, said)))
    return tuple(found)
