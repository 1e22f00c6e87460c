"""Shapley values of a model's answers by sampling (Strumbelj and Kononenko 2014, "Explaining prediction models and
individual predictions with feature contributions").

A row's answer differs from the mean answer for background rows. That difference is shared among the columns: starting
from a background row, the row's own values are put in one column after the other, in a random order, and each column
gets the change that it made. The mean over background rows and orders is the Shapley value of the interventional game.

Each background row is used once per explained row, and orders come in pairs, one the reverse of the other. So

- contributions add up to the answer minus the mean answer for the background rows, exactly, whatever was sampled;
- for a model that adds up its columns they are exact: the weight times the difference to the background's mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headrace.components.evaluate.matrix_model import Cells, MatrixModel
from headrace.components.evaluate.scores import Array, Floats

MOST_CELLS = 4_000_000  # of mixed rows that are made at a time

Player = tuple[int, ...]  # places of the columns that are put in together


class Contributions(NamedTuple):
    """What N answers are made of.

    Attributes:
        values: (N, P, C) contributions of each player to each output.
        errors: (N, P, C) standard errors of the sampling.
        base: (C,) mean outputs of the background rows.
        outputs: (N, C) outputs of the rows.
    """

    values: Floats
    errors: Floats
    base: Floats
    outputs: Floats


def shapley(
    model: MatrixModel, rows: Cells, background: Cells, players: Sequence[Player], rng: np.random.Generator
) -> Contributions:
    """Shares each row's answer among the players.

    Args:
        model: the model.
        rows: N rows to explain.
        background: an even number M of rows that stand for "not known".
        players: P sets of columns; those in none of them must not matter to the model.
        rng: the orders are drawn from it.

    Raises:
        ValueError: the background has an odd number of rows, or none.
    """
    count = len(background)
    if count < 2 or count % 2:
        raise ValueError(f"expected an even number of background rows. Received: {count}")
    outputs = np.asarray(model.run(rows), np.float64)
    base = np.asarray(model.run(background), np.float64)
    cells = count * max(len(players) - 1, 1) * rows.matrix.shape[1]
    step = max(1, MOST_CELLS // max(cells, 1))
    parts = []
    for start in range(0, len(rows), step):
        block = np.arange(start, min(start + step, len(rows)))
        parts.append(_some(model, rows.take(block), outputs[block], background, base, players, rng))
    shape = (0, len(players), base.shape[1])
    values = np.concatenate([part[0] for part in parts]) if parts else np.zeros(shape)
    errors = np.concatenate([part[1] for part in parts]) if parts else np.zeros(shape)
    return Contributions(values, errors, base.mean(axis=0), outputs)


def _some(
    model: MatrixModel,
    rows: Cells,
    outputs: Floats,
    background: Cells,
    base: Floats,
    players: Sequence[Player],
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """(N, P, C) means of what the players change, and their standard errors."""
    count, many, size = len(rows), len(background), len(players)
    orders = rng.permuted(np.tile(np.arange(size), (count, many // 2, 1)), axis=2)
    orders = np.concatenate([orders, orders[:, :, ::-1]], axis=1)  # (N, M, P), the second half the first reversed
    answers = np.empty((count, many, size + 1, base.shape[1]))
    answers[:, :, 0], answers[:, :, size] = base, outputs[:, None]
    if size > 1:
        mixed = _mix(model, rows, background, players, orders)
        answers[:, :, 1:size] = np.asarray(model.run(mixed)).reshape(count, many, size - 1, -1)
    changes = np.empty((count, many, size, base.shape[1]))
    np.put_along_axis(changes, orders[..., None], np.diff(answers, axis=2), axis=2)
    # An order and its reverse are no two independent draws; their mean is one.
    pairs = (changes[:, : many // 2] + changes[:, many // 2 :]) / 2
    errors = pairs.std(axis=1, ddof=1) / np.sqrt(many // 2) if many > 2 else np.zeros_like(changes[:, 0])
    return changes.mean(axis=1), errors


def _mix(model: MatrixModel, rows: Cells, background: Cells, players: Sequence[Player], orders: Array) -> Cells:
    """The mixed rows, N x M x (P - 1) of them: after each step but the last, which is the row itself."""
    count, many, size = orders.shape
    width = rows.matrix.shape[1]
    rank = np.argsort(orders, axis=2)  # (N, M, P) when each player is put in
    when = np.full((count, many, width), size)  # a column of no player stays the background's
    for player, columns in enumerate(players):
        when[:, :, list(columns)] = rank[:, :, player, None]
    own = when[:, :, None, :] < np.arange(1, size)[:, None]  # (N, M, P - 1, F)
    matrix = np.where(own, rows.matrix[:, None, None], background.matrix[None, :, None]).reshape(-1, width)
    if rows.texts is None or background.texts is None:
        return Cells(matrix)
    of_texts = own[..., list(model.texts)]
    texts = np.where(of_texts, rows.texts[:, None, None], background.texts[None, :, None])
    return Cells(matrix, texts.reshape(-1, len(model.texts)))
