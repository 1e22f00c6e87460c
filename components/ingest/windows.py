"""Aggregates over windows of rows that are sorted by key and time: arithmetic on arrays, nothing else.

A window is a range of rows, from `low` to before `high`, within the rows of one key. Many windows are worked on at
once, and each costs the logarithm of its length, however many rows it has. The result depends on the rows of its key
alone: not on other keys, batches, threads or machines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Parts = tuple[np.ndarray, ...]  # of equal length; what is known of a run of rows
Combine = Callable[[Parts, Parts], Parts]


@dataclass(frozen=True)
class Windows:
    """Ranges of rows; arrays of shape (windows,)."""

    first: np.ndarray  # the number of the first row of the key
    low: np.ndarray
    high: np.ndarray
    group: np.ndarray  # the number of the key, from 0


def before(values: np.ndarray, low: np.ndarray, high: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """How far each range of sorted values is below its bound: the first position, from low to high, that is not.

    Args:
        values: sorted within each range.
        low: where each range begins, (ranges,).
        high: where it ends.
        bounds: one for each.
    """
    low, high = low.copy(), high.copy()
    while (open := low < high).any():
        middle = (low + high) >> 1
        below = np.zeros(len(low), bool)
        below[open] = values[middle[open]] < bounds[open]
        low = np.where(below, middle + 1, low)
        high = np.where(open & ~below, middle, high)
    return low


class Levels:
    """What is known of every aligned run of 1, 2, 4, ... rows of a key, from which any range is put together.

    A segment tree per key, all keys at once. Ranges are put together and never subtracted, so nothing cancels out.
    """

    def __init__(self, values: Parts, starts: np.ndarray, combine: Combine, nothing: tuple[float, ...]) -> None:
        """Args:
        values: of each row.
        starts: where each key's rows begin, and at last where they end: (keys + 1,).
        combine: what is known of two neighbouring runs together.
        nothing: what is known of no rows.
        """
        self._combine, self._nothing = combine, nothing
        self._levels = [(values, starts)]
        while (sizes := np.diff(starts)).max(initial=0) > 1:
            pairs = sizes >> 1
            after = np.concatenate([[0], np.cumsum(pairs)])
            left = 2 * np.arange(after[-1]) + np.repeat(starts[:-1] - 2 * after[:-1], pairs)
            values = combine(tuple(one[left] for one in values), tuple(one[left + 1] for one in values))
            starts = after
            self._levels.append((values, starts))

    def over(self, windows: Windows) -> Parts:
        """What is known of each window."""
        low, high = windows.low - windows.first, windows.high - windows.first
        found = tuple(
            np.full(len(low), empty, part.dtype) for part, empty in zip(self._levels[0][0], self._nothing, strict=True)
        )
        for values, starts in self._levels:
            begins = starts[windows.group]
            self._take(found, values, (low & 1 == 1) & (low < high), begins + low)
            low = low + (low & 1)
            self._take(found, values, (high & 1 == 1) & (low < high), begins + high - 1)
            low, high = low >> 1, high >> 1
        return found

    def _take(self, found: Parts, values: Parts, chosen: np.ndarray, rows: np.ndarray) -> None:
        places = np.flatnonzero(chosen)
        if len(places):
            so_far, more = (tuple(one[places] for one in found), tuple(one[rows[places]] for one in values))
            for part, result in zip(found, self._combine(so_far, more), strict=True):
                part[places] = result


def add(one: Parts, other: Parts) -> Parts:
    """Sums."""
    return (one[0] + other[0],)


def least(one: Parts, other: Parts) -> Parts:
    """Minima."""
    return (np.minimum(one[0], other[0]),)


def greatest(one: Parts, other: Parts) -> Parts:
    """Maxima."""
    return (np.maximum(one[0], other[0]),)


def spread(one: Parts, other: Parts) -> Parts:
    """Counts, means and sums of squared deviations, by Chan, Golub and LeVeque (1979), equation 2.1."""
    (n, mean, squares), (m, other_mean, other_squares) = one, other
    total = n + m
    share = np.divide(m, total, out=np.zeros(len(total)), where=total > 0)
    apart = other_mean - mean
    return total, mean + apart * share, squares + other_squares + apart * (apart * (n * share))


class Last:
    """The last row of each window that has a mark; -1 for none."""

    def __init__(self, marks: np.ndarray) -> None:
        self._so_far = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), -1))

    def over(self, windows: Windows) -> np.ndarray:
        """The rows' numbers."""
        found = np.full(len(windows.low), -1)
        some = windows.low < windows.high
        found[some] = self._so_far[windows.high[some] - 1]
        found[found < windows.low] = -1
        return found


class First:
    """The first row of each window that has a mark; -1 for none."""

    def __init__(self, marks: np.ndarray) -> None:
        count = len(marks)
        self._from_here = np.minimum.accumulate(np.where(marks, np.arange(count), count)[::-1])[::-1]

    def over(self, windows: Windows) -> np.ndarray:
        """The rows' numbers."""
        found = np.full(len(windows.low), -1)
        some = windows.low < windows.high
        found[some] = self._from_here[windows.low[some]]
        found[found >= windows.high] = -1
        return found


class Counts:
    """How many rows of each window have a mark."""

    def __init__(self, marks: np.ndarray) -> None:
        self._before = np.concatenate([[0], np.cumsum(marks, dtype=np.int64)])

    def over(self, windows: Windows) -> np.ndarray:
        """The counts."""
        found: np.ndarray = self._before[windows.high] - self._before[windows.low]
        return found


class Distinct:
    """How many different values each window has.

    A value counts where it occurs for the first time in the window: where its previous occurrence lies before. The
    rows of a window with a previous occurrence below `low` are counted by a wavelet matrix (Claude, Navarro and
    Ordonez, 2015), whose levels are the binary digits.
    """

    def __init__(self, codes: np.ndarray, groups: np.ndarray) -> None:
        """Args:
        codes: of the rows' values; -1 for none.
        groups: the rows' keys.
        """
        count = len(codes)
        order = np.lexsort((codes, groups))  # stable: equal ones stay in the order of the rows
        same = (codes[order][1:] == codes[order][:-1]) & (groups[order][1:] == groups[order][:-1])
        previous = np.zeros(count, np.int64)  # 1 + the row, 0 for none
        previous[order[1:][same]] = order[:-1][same] + 1
        previous[codes < 0] = count + 1  # below no window
        self._levels: list[tuple[int, np.ndarray, int]] = []
        for digit in reversed(range(int(count + 1).bit_length())):
            ones = (previous >> digit) & 1 == 1
            zeros_before = np.concatenate([[0], np.cumsum(~ones)])
            self._levels.append((digit, zeros_before, int(zeros_before[-1])))
            previous = np.concatenate([previous[~ones], previous[ones]])

    def over(self, windows: Windows) -> np.ndarray:
        """The counts."""
        low, high = windows.low.copy(), np.maximum(windows.low, windows.high)
        bound = windows.low + 1
        found = np.zeros(len(low), np.int64)
        for digit, zeros_before, zeros in self._levels:
            low_zeros, high_zeros = zeros_before[low], zeros_before[high]
            one = (bound >> digit) & 1 == 1
            found += np.where(one, high_zeros - low_zeros, 0)
            low = np.where(one, zeros + low - low_zeros, low_zeros)
            high = np.where(one, zeros + high - high_zeros, high_zeros)
        return found
