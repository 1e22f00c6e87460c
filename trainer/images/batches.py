"""Batches of pictures for Keras: made ahead by threads, always in the same order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from headrace.trainer.images.store import Pictures

_WORKERS = 2  # threads that put batches together; decoding has threads of its own
_AHEAD = 8  # batches that wait for the network at most


@dataclass(frozen=True)
class Labelled:
    """A split.

    Attributes:
        pictures: uint8 [N, H, W, 3].
        labels: class numbers, int32 [N].
        weights: how much each counts, of mean 1; None where all count the same.
    """

    pictures: Pictures
    labels: np.ndarray
    weights: np.ndarray | None = None


class Batches(keras.utils.PyDataset):  # type: ignore[misc] # Keras has no types
    """(pictures uint8, one-hot labels, weights) of a split in an order, or its pictures alone."""

    def __init__(self, rows: Labelled, order: np.ndarray, size: int, classes: int = 0) -> None:
        """Args: the rows; their order; how many make a batch; the number of classes, 0 for pictures alone."""
        super().__init__(workers=_WORKERS, use_multiprocessing=False, max_queue_size=_AHEAD)
        self._rows, self._order, self._size, self._classes = rows, order, size, classes
        self._weights = np.ones(len(rows.labels)) if rows.weights is None else rows.weights

    @property
    def num_batches(self) -> int:
        """Training leaves out a last batch that is not full: its statistics would be those of a few pictures."""
        whole, rest = divmod(len(self._order), self._size)
        return whole if whole and self._classes else whole + bool(rest)

    def __getitem__(self, index: int) -> Any:
        places = self._order[index * self._size : (index + 1) * self._size]
        pictures = self._rows.pictures.batch(places)
        if not self._classes:
            return pictures
        one_hot = np.eye(self._classes, dtype=np.float32)[self._rows.labels[places]]
        return pictures, one_hot, self._weights[places].astype(np.float32)
