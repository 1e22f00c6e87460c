"""Numbers of a whole source on disk, and the k-th smallest of them, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_BITS = 16  # looked at in one pass
_CHUNK = 1 << 20


class Numbers:
    """Unsigned 64-bit numbers, written to a file as they come and read back in chunks."""

    def __init__(self, file: Path) -> None:
        self._file, self.count = file, 0

    def add(self, numbers: np.ndarray) -> None:
        """Appends numbers, uint64."""
        with self._file.open("ab") as stream:
            stream.write(np.ascontiguousarray(numbers, "<u8").tobytes())
        self.count += len(numbers)

    def chunks(self) -> Iterator[np.ndarray]:
        """All numbers, in the order in which they came."""
        if not self.count:
            return
        with self._file.open("rb") as stream:
            while block := stream.read(_CHUNK * 8):
                yield np.frombuffer(block, "<u8")

    def smallest(self, rank: int) -> int:
        """The number that has `rank` others before it in order (equal ones in any order).

        It is found digit by digit, from the highest: a pass counts the numbers that share the digits known so far, by
        their next one, and so tells which digit the wanted one has. Four passes find any.

        Raises:
            IndexError: there are not so many.
        """
        if not 0 <= rank < self.count:
            raise IndexError(f"expected a rank below {self.count}. Received: {rank}")
        known = 0
        for shift in range(64 - _BITS, -1, -_BITS):
            counts = np.zeros(1 << _BITS, np.int64)
            for chunk in self.chunks():
                if shift + _BITS < 64:
                    chunk = chunk[(chunk >> np.uint64(shift + _BITS)) == np.uint64(known)]
                digits = ((chunk >> np.uint64(shift)) & np.uint64((1 << _BITS) - 1)).astype(np.int64)
                counts += np.bincount(digits, minlength=1 << _BITS)
            before = np.cumsum(counts)
            digit = int(np.searchsorted(before, rank, side="right"))
            rank -= int(before[digit] - counts[digit])
            known = known << _BITS | digit
        return known
