"""What training minimizes, as everybody defines it; with weights."""

from __future__ import annotations

import numpy as np

LEAST = 1e-15  # a probability counts as at least this, or one sure and wrong answer would be all of the loss


def metric_name(classes: int) -> str:
    """`rmse` of a regression, whose classes are 0; else `log_loss`."""
    return "log_loss" if classes else "rmse"


def loss(answers: np.ndarray, labels: np.ndarray, weights: np.ndarray | None, classes: int) -> float:
    """The weighted mean of -log of the true class's probability, or the root of the mean squared error.

    Args:
        answers: probabilities (rows, classes), or values (rows, 1).
        labels: class numbers, or values; (rows,).
        weights: of the rows, (rows,); None where all count the same.
        classes: how many; 0 for a regression.
    """
    if classes:
        chosen = answers[np.arange(len(labels)), labels]
        return float(np.average(-np.log(np.clip(chosen, LEAST, 1.0)), weights=weights))
    return float(np.sqrt(np.average((answers[:, 0] - labels) ** 2, weights=weights)))
