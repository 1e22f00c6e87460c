"""Axes: where the ticks stand, what they say, and which pixel a value falls on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

# Beyond, a range or its step is no number any more.
_MOST, _LEAST = 1e300, 1e-300


@dataclass(frozen=True)
class Scale:
    """A linear map from values `low..high` to pixels `start..end` (which may run backwards, as y does)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, held within the axis and rounded: a tenth of a pixel is not seen."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from `low` to `high`, about `most` of them, in steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0, 1), ticks(0, 950, 5), ticks(3, 3)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 200.0, 400.0, 600.0, 800.0], [3.0])
    """
    if not high > low:
        return [float(low)]
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.7)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(index * step, digits) + 0.0 for index in range(first, last + 1)]


def extent(values: Iterable[float], pad: float = 0.0) -> tuple[float, float]:
    """The range of the finite values, widened by a share of itself; never empty."""
    finite = [value for value in values if abs(value) < _MOST]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high - low < _LEAST:
        half = abs(low) * 0.1 if abs(low) * 0.1 > _LEAST else 1.0
        return low - half, high + half
    margin = (high - low) * pad
    return low - margin, high + margin


def tick_label(value: float, step: float) -> str:
    """A tick's text, with the digits that its step needs: 0.25, 1.5M.

    >>> tick_label(0.4, 0.2), tick_label(1500000, 500000), tick_label(2000, 1000), tick_label(0, 5)
    ('0.4', '1.5M', '2k', '0')
    >>> tick_label(1000002, 1), tick_label(2e12, 2e11), tick_label(0.500001, 1e-6), tick_label(2e-9, 1e-9)
    ('1,000,002', '2T', '0.500001', '2e−09')
    """
    if value == 0:
        return "0"
    return _told(value, step).replace("-", "−")


def _told(value: float, step: float) -> str:
    for divisor, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if step >= divisor / 10 and divisor <= abs(value) < 1e15:
            text = f"{value / divisor:,.{_digits(step / divisor)}f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix
    if abs(value) >= 1e15 or 0 < abs(step) < 1e-5:
        # As many digits as tell a tick from the next.
        first = math.floor(math.log10(abs(value)) + 1e-9)
        last = math.floor(math.log10(step) + 1e-9) if step > 0 else first
        return f"{value:.{min(max(first - last + 1, 1), 17)}g}"
    return f"{value:,.{_digits(step) if step > 0 else 2}f}"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
