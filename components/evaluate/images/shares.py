"""Shares with their intervals, and what of them is known of each class."""

from __future__ import annotations

import math

import numpy as np

from headrace.artifacts.image_evaluation import ClassQuality, Share
from headrace.components.evaluate.scores import Array

_Z = 1.959963984540054  # of the normal distribution: 95 % lie within


def share(count: int, of: int) -> Share:
    """So many of so many, with Wilson's interval, which stays honest near 0 and 1 and for few.

    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Raises:
        ValueError: of nothing.

    >>> found = share(95, 100)
    >>> round(found.low, 4), round(found.high, 4)
    (0.8882, 0.9785)
    """
    if of <= 0:
        raise ValueError(f"expected a share of one or more. Received: {count} of {of}")
    p, z2 = count / of, _Z**2
    centre = (p + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of**2))
    low = 0.0 if count == 0 else max(0.0, centre - half)
    return Share(int(count), int(of), low, 1.0 if count == of else min(1.0, centre + half))


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
