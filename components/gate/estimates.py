"""A figure with its error, and the bounds that follow: all that a gate has to know of how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Unsure(Exception):
    """How sure a figure is cannot be told. The message says why."""


@contextmanager
def in_slice(name: str) -> Iterator[None]:
    """Says of which slice it is that nothing can be told."""
    try:
        yield
    except Unsure as missing:
        raise Unsure(f"in slice {name}, {missing}") from None


@dataclass(frozen=True)
class Estimate:
    """A figure, or a difference of two, with what is known of its error.

    Attributes:
        value: the estimate.
        error: its standard error.
        freedom: degrees of freedom of that, at least 1.
        rows: that it is of.
        method: how the error was found, in words.
        count: of a share, how many of `rows` count: then bounds are exact.
        least: what a share of 0 stands for, as some metrics go from -1 to 1.
    """

    value: float
    error: float
    freedom: float
    rows: int
    method: str
    count: float | None = None
    least: float = 0.0

    def bound(self, confidence: float, upper: bool) -> float:
        """The one-sided bound of this confidence: in so many of 100 samples the true figure is on its inner side."""
        from scipy import special

        if self.count is not None:
            return self.least + (1 - self.least) * _share_bound(self.count, self.rows, confidence, upper)
        reach = float(special.stdtrit(self.freedom, confidence)) * self.error
        return self.value + reach if upper else self.value - reach

    def needed(self, bound: float, confidence: float) -> int | None:
        """About how many rows would show that the figure is beyond a bound, if it stayed; None if none would."""
        from scipy import special

        distance = abs(self.value - bound)
        if not distance or not self.error:
            return None
        return math.ceil(self.rows * (float(special.stdtrit(self.freedom, confidence)) * self.error / distance) ** 2)


def _share_bound(count: float, rows: int, confidence: float, upper: bool) -> float:
    """Clopper and Pearson 1934, one side."""
    from scipy import special

    if upper:
        return 1.0 if count >= rows else float(special.betaincinv(count + 1, rows - count, confidence))
    return 0.0 if count <= 0 else float(special.betaincinv(count, rows - count + 1, 1 - confidence))
