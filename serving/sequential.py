"""Two groups compared as often as one likes: tests whose error rates hold at every look, and at all looks together.

What is compared are means of values between 0 and 1 in two groups that are served at the same time: shares of
errors, of slow requests, of scores below a threshold, mean losses. Only sums and counts are needed, so they can come
from counters.

Each test has an *e-process*: a wealth that starts at 1 and, where the null hypothesis is true, is not expected to
grow, whatever was seen before. By Ville's inequality the probability that it ever reaches 1/a is at most a: so
whoever looks after each request and acts at the first 1/a is wrong with probability a at most, and may also stop,
pause or go on for longer.

One block, the requests between two looks, multiplies the wealth by the likelihood ratio

    (p*c/pc)^Sc ((1-p*c)/(1-pc))^(Nc-Sc) (p*b/pb)^Sb ((1-p*b)/(1-pb))^(Nb-Sb)

of an alternative (p*c, p*b) that was chosen before the block, against its projection (pc, pb) onto the null
hypothesis: the point of it that is nearest in Nc KL(p*c || pc) + Nb KL(p*b || pb). For a convex null hypothesis its
expectation is at most 1 under all of it: the logarithm of the expectation is concave in the true means, is 0 at the
projection, and the projection's own condition says that it falls from there. Values between 0 and 1 that are neither
only make it smaller, since x -> r^x is convex. Because each block stands for itself, the rates may change over the
day, and the shares of the traffic from step to step.

Sources: Turner, Ly and Grünwald, "Generic E-variables for exact sequential k-sample tests" (2024); Turner and
Grünwald, "Exact anytime-valid confidence intervals for contingency tables and beyond" (2023); Ramdas, Grünwald, Vovk
and Shafer, "Game-theoretic statistics and safe anytime-valid inference" (2023); Howard, Ramdas, McAuliffe and
Sekhon, "Time-uniform confidence sequences" (2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_KEEP = 0.9  # of the recent counts, from block to block: some ten blocks are remembered
_BOLDNESS = (1.0, 0.5)  # how far from the null hypothesis to the estimate an alternative stands
EXPERTS = 2 * len(
    _BOLDNESS
)  # alternatives that share the first wealth: all that was seen and the recent, each bold and careful
_HALVINGS = 30
_SMALL = 1e-12


@dataclass(frozen=True)
class Block:
    """What was counted between two looks; arrays broadcast: many comparisons at once.

    `units` are what is independent: requests. Where one has several rows, their mean is one value, so that 32 rows
    of one request, which are alike, do not count as 32 pieces of evidence.
    """

    candidate_sum: Array  # of values between 0 and 1
    candidate_units: Array
    baseline_sum: Array
    baseline_units: Array

    def __add__(self, other: Block) -> Block:
        return Block(
            self.candidate_sum + other.candidate_sum,
            self.candidate_units + other.candidate_units,
            self.baseline_sum + other.baseline_sum,
            self.baseline_units + other.baseline_units,
        )

    def scaled(self, by: float | Array) -> Block:
        """All of it times a number."""
        return Block(
            self.candidate_sum * by, self.candidate_units * by, self.baseline_sum * by, self.baseline_units * by
        )

    def means(self) -> tuple[Array, Array]:
        """The estimates (candidate, baseline), half a success and half a failure added."""
        return (self.candidate_sum + 0.5) / (self.candidate_units + 1), (self.baseline_sum + 0.5) / (
            self.baseline_units + 1
        )


def block(candidate_sum: Any, candidate_units: Any, baseline_sum: Any, baseline_units: Any) -> Block:
    """A block from numbers or arrays.

    Raises:
        ValueError: a sum is not between 0 and its count, or not a number.
    """
    found = [np.asarray(part, float) for part in (candidate_sum, candidate_units, baseline_sum, baseline_units)]
    for total, units in (found[:2], found[2:]):
        if not (np.all(total >= 0) and np.all(total <= units * (1 + 1e-9) + 1e-9) and np.all(np.isfinite(units))):
            raise ValueError(f"expected sums between 0 and their counts. Received: {total} of {units}")
        np.minimum(total, units, out=total)
    return Block(*found)


@dataclass(frozen=True)
class Wealth:
    """The e-processes of one null hypothesis per entry of `margin`; blocks broadcast against it.

    `above`: the null hypothesis is "candidate - baseline <= margin", and wealth is evidence that the candidate is
    worse than that. Otherwise it is "candidate - baseline >= margin", and wealth is evidence that it is better than
    that.
    """

    margin: Array
    above: bool
    logs: Array  # (EXPERTS, *shape): the logarithm of what each alternative has made of 1
    seen: Block
    recent: Block
    waiting: Block  # counted, but one of the groups had no request yet

    def log(self) -> Array:
        """The logarithm of the wealth: that of the mean over the alternatives."""
        top = self.logs.max(axis=0)
        return np.asarray(top + np.log(np.exp(self.logs - top).mean(axis=0)))


def anew(wealth: Wealth, where: Array | bool = True) -> Wealth:
    """An e-process that begins again at 1, `where` it is asked to, and keeps what it has learnt."""
    return replace(wealth, logs=np.where(where, 0.0, wealth.logs))


def start(margin: Any, above: bool, shape: tuple[int, ...] | None = None) -> Wealth:
    """An e-process that has seen nothing; its wealth is 1.

    Args:
        margin: the largest difference of the means that counts as none, or an array of them.
        above: which null hypothesis, see `Wealth`.
        shape: that of the blocks with the margin, where the blocks are larger.
    """
    margins = np.asarray(margin, float)
    if not np.all(np.abs(margins) < 1):
        raise ValueError(f"expected margins between -1 and 1. Received: {margin}")
    shape = margins.shape if shape is None else shape
    zero = np.zeros(shape)
    none = Block(zero, zero, zero, zero)
    return Wealth(np.broadcast_to(margins, shape), above, np.zeros((EXPERTS, *shape)), none, none, none)


def update(wealth: Wealth, counted: Block) -> Wealth:
    """The wealth after one more block. A block of which one group had no request waits for the next."""
    counted = wealth.waiting + counted
    ready = ((counted.candidate_units > 0) & (counted.baseline_units > 0)).astype(float)
    if not ready.any():
        return replace(wealth, waiting=counted)
    used = counted.scaled(ready)
    factors = _log_ratios(wealth, used)
    return replace(
        wealth,
        logs=wealth.logs + np.where(ready > 0, factors, 0.0),
        seen=wealth.seen + used,
        recent=wealth.recent.scaled(np.where(ready > 0, _KEEP, 1.0)) + used,
        waiting=counted.scaled(1 - ready),
    )


def _log_ratios(wealth: Wealth, used: Block) -> Array:
    """The logarithms of a block's likelihood ratios, (EXPERTS, *shape); 0 where an alternative lies in the null."""
    pasts = wealth.seen, wealth.recent
    known = [(past.candidate_units > 0) & (past.baseline_units > 0) for past in pasts]  # the first block only teaches
    candidate, baseline = (np.stack(found) for found in zip(*(past.means() for past in pasts), strict=True))
    outside = candidate - baseline > wealth.margin if wealth.above else candidate - baseline < wealth.margin
    weights = np.maximum(used.candidate_units, _SMALL), np.maximum(used.baseline_units, _SMALL)
    nearest = _project(candidate, baseline, wealth.margin, *weights)
    candidate = _experts(candidate, nearest + wealth.margin)
    baseline = _experts(baseline, nearest)
    null = _project(candidate, baseline, wealth.margin, *weights)
    ratio = _gain(candidate, null + wealth.margin, used.candidate_sum, used.candidate_units)
    ratio = ratio + _gain(baseline, null, used.baseline_sum, used.baseline_units)
    return np.asarray(np.where(np.repeat(outside & np.stack(known), len(_BOLDNESS), axis=0), ratio, 0.0))


def _experts(estimates: Array, nearest: Array) -> Array:
    """The alternatives, (EXPERTS, *shape), between each of the estimates and what is nearest to it of the null."""
    found = np.stack([bold * estimates + (1 - bold) * nearest for bold in _BOLDNESS], axis=1)
    return found.reshape(EXPERTS, *estimates.shape[1:])


def _gain(alternative: Array, null: Array, total: Array, units: Array) -> Array:
    return np.asarray(total * np.log(alternative / null) + (units - total) * np.log((1 - alternative) / (1 - null)))


def _project(candidate: Array, baseline: Array, margin: Array, weight: Array, other: Array) -> Array:
    """The baseline's mean in the point of "candidate - baseline = margin" that is nearest, by halving.

    It lies between what is nearest to each of the two means alone.
    """
    least, most = np.maximum(0.0, -margin) + _SMALL, np.minimum(1.0, 1.0 - margin) - _SMALL
    low = np.clip(np.minimum(baseline, candidate - margin), least, most)
    high = np.clip(np.maximum(baseline, candidate - margin), least, most)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        there = middle + margin
        slope = weight * (there - candidate) / (there * (1 - there)) + other * (middle - baseline) / (
            middle * (1 - middle)
        )
        rises = slope > 0
        high = np.where(rises, middle, high)
        low = np.where(rises, low, middle)
    return np.asarray((low + high) / 2)
