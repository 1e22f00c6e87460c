"""Two models of the same rows, as alike and as good as a test wants them."""

from __future__ import annotations

import numpy as np

from headrace.components.evaluate.scores import Scores


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def two(rng, rows: int, own: float, other: float, alike: float = 0.8, weights=None) -> tuple[Scores, Scores]:
    """Two models of two classes; each sees the truth through noise, shared in part, the better the higher its signal."""
    actual = rng.random(rows) < 0.3
    shared = rng.normal(size=rows)
    made = []
    for signal in (own, other):
        noise = np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(size=rows)
        probability = sigmoid(signal * actual + noise - 1.2).astype(np.float32).astype(np.float64)
        outputs = np.column_stack([1 - probability, probability])
        made.append(Scores("classification", actual.astype(int), outputs, ("no", "yes"), 1, 0.5, weights))
    return made[0], made[1]


def several(rng, rows: int, own: float, other: float) -> tuple[Scores, Scores]:
    """Two models of three classes."""
    truth = rng.integers(0, 3, rows)
    shared = rng.normal(size=(rows, 3))
    made = []
    for signal in (own, other):
        score = signal * np.eye(3)[truth] + 0.9 * shared + 0.45 * rng.normal(size=(rows, 3))
        outputs = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
        made.append(Scores("classification", truth, outputs, ("a", "b", "c")))
    return made[0], made[1]


def values(rng, rows: int, own: float, other: float) -> tuple[Scores, Scores]:
    """Two models of a number, each off by an error of this size."""
    truth = 5 + rng.gamma(2.0, 2.0, rows)
    shared = rng.normal(size=rows)
    made = []
    for size in (own, other):
        error = size * (0.9 * shared + 0.45 * rng.normal(size=rows))
        made.append(Scores("regression", truth, np.maximum(truth + error, 0.1)[:, None]))
    return made[0], made[1]
