"""Sums over rows, in as many Poisson resamples as are asked for; and limits from what they give.

Each row counts Poisson(1) times in each resample, which for sums of many rows is the ordinary bootstrap (Hanley and
MacGibbon 2006; Chamandy et al. 2012).
"""

from __future__ import annotations

import math

import numpy as np

from headrace.artifacts.limits import CONFIDENCES
from headrace.components.evaluate.scores import Floats

RESAMPLES = 1000
LEAST_RESAMPLES = 400
BOTH = 0.975  # the confidence of either end of a 95 % interval
_BUDGET = 40_000_000  # rows times resamples; above, there are fewer resamples
_CELLS = 2_000_000  # counts that are held at once


def resamples_for(rows: int) -> int:
    """How many resamples so many rows can be given."""
    return max(LEAST_RESAMPLES, min(RESAMPLES, _BUDGET // max(rows, 1)))


def resampled_sums(terms: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """(resamples, K) sums of the columns of `terms` (N, K), with each row as often as chance has it."""
    found = np.zeros((resamples, terms.shape[1]))
    step = max(1, _CELLS // resamples)
    for start in range(0, len(terms), step):
        part = terms[start : start + step]
        found += POISSON[rng.integers(0, 1 << 16, (resamples, len(part)), dtype=np.uint16)] @ part
    return found


def percentile_limits(draws: Floats) -> dict[str, tuple[float, float]]:
    """One-sided limits by confidence, as `artifacts.limits` keeps them."""
    return {
        f"{confidence:g}": (float(np.quantile(draws, 1 - confidence)), float(np.quantile(draws, confidence)))
        for confidence in CONFIDENCES
    }


def _poisson_counts() -> Floats:
    """A table from 16 random bits to a Poisson(1) count."""
    share = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(10)])
    return np.searchsorted(share, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)


POISSON = _poisson_counts()
