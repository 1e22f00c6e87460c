"""What a network knows of its features before it learns: which are codes, and the scales and bins of the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headrace.artifacts.transform import Feature
from headrace.trainer.model import Features

SAMPLE = 100_000  # rows by which scales and bins are found
RARE = 0.1  # a column with fewer cells that are not 0 is one of words or of indicators, and is not centred
MOST_BINNED = 256  # numbers; of more, none is binned


@dataclass(frozen=True)
class Layout:
    """The W features as the network takes them apart.

    Attributes:
        numbers: the columns that are numbers, (K,).
        center, scale: what standardizes them, (K,) each.
        incomplete: positions among the numbers of those that are missing somewhere in training: each has an indicator.
        binned: positions among the numbers of those that are also seen in bins, (B,).
        edges: of their bins, on the standardized scale, (B, bins + 1); equal edges enclose nothing.
        codes: the columns that are codes, (C,).
        sizes: how many known values each has, (C,).
    """

    numbers: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    incomplete: np.ndarray
    binned: np.ndarray
    edges: np.ndarray
    codes: np.ndarray
    sizes: np.ndarray

    @property
    def rows_of_codes(self) -> np.ndarray:
        """Where each code's part of the table of embeddings begins, (C + 1,): unseen, the known values, missing."""
        return np.concatenate([[0], np.cumsum(self.sizes + 2)]).astype(np.int64)


def fit_layout(features: Features, described: Sequence[Feature], bins: int, seed: int) -> Layout:
    """Finds scales and bins on the train split.

    Numbers get mean 0 and standard deviation 1. A column of mostly zeros keeps its zeros, and is divided by its
    largest value. Bins hold equally many rows each.

    Args:
        features: of the train split, (rows, W).
        described: what its W columns are.
        bins: of each number; 0 for none.
        seed: of the sample of rows.
    """
    is_code = np.array([feature.kind == "code" for feature in described], bool)
    numbers, codes = np.flatnonzero(~is_code), np.flatnonzero(is_code)
    rows = features.shape[0]
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE])
    center, scale = np.zeros(len(numbers), np.float32), np.ones(len(numbers), np.float32)
    incomplete, binned, edges = [], [], []
    few = len(numbers) <= MOST_BINNED
    columns = features if isinstance(features, np.ndarray) else features.tocsc()
    for position, place in enumerate(numbers):
        column = columns[:, place] if isinstance(columns, np.ndarray) else dense(columns[:, [place]]).ravel()
        if np.isnan(column).any():
            incomplete.append(position)
        values = column[chosen]
        values = values[np.isfinite(values)].astype(np.float64)
        if np.count_nonzero(values) < RARE * len(values):
            scale[position] = np.abs(values).max(initial=0.0) or 1.0
            continue
        center[position], scale[position] = values.mean() if len(values) else 0.0, values.std() if len(values) else 1.0
        if scale[position] == 0:
            scale[position] = 1.0
        standardized = (values - center[position]) / scale[position]
        if few and bins and len(np.unique(standardized)) > 2:
            binned.append(position)
            edges.append(np.quantile(standardized, np.linspace(0, 1, bins + 1)))
    return Layout(
        numbers=numbers,
        center=center,
        scale=scale,
        incomplete=np.array(incomplete, np.int64),
        binned=np.array(binned, np.int64),
        edges=np.array(edges, np.float32).reshape(len(binned), bins + 1),
        codes=codes,
        sizes=np.array([described[int(place)].size or 0 for place in codes], np.int64),
    )


def dense(features: Features) -> np.ndarray:
    """The same rows, float32 (rows, W), as a network takes them."""
    return np.asarray(features if isinstance(features, np.ndarray) else features.todense(), np.float32)
