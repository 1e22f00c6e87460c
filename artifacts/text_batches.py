"""How many rows with texts a graph is given at a time.

In a graph the words of texts are a rectangle, [rows, most words of a row]: one long text among many short ones makes it
large. So rows are taken in turn until rows times longest text would be more than `MOST_CHARACTERS`.

Only NumPy is imported here: the server uses it too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_ROWS = 1_024  # a row becomes its words, and thousands of counts
MOST_CHARACTERS = 4_000_000  # of a rectangle; a word is 32 bytes at least


def text_slices(lengths: np.ndarray, most: int = MOST_ROWS) -> Iterator[slice]:
    """Consecutive slices that cover all rows, in order; none is empty.

    Args:
        lengths: of each row's texts together, in characters or bytes; (rows,).
        most: rows of a slice.
    """
    start = 0
    while start < len(lengths):
        ahead = np.maximum.accumulate(lengths[start : start + most])
        fits = ahead * np.arange(1, len(ahead) + 1) <= MOST_CHARACTERS
        rows = len(fits) if fits.all() else max(1, int(np.argmin(fits)))
        yield slice(start, start + rows)
        start += rows
