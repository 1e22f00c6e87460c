"""The pictures of a split, ready for a network: each decoded once where they fit into memory, else each time anew.

What does not fit lies as encoded bytes in a scratch file: memory stays bounded, and any picture is a seek away.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.pictures import PictureError, Pixels, decode, in_threads
from headrace.artifacts.signature import Input
from headrace.trainer.images.resize import Resizer

_READ_ROWS = 256  # of the snapshot at a time


class Pictures(Protocol):
    """Pictures of one size, uint8 [H, W, 3] each, by their places."""

    def batch(self, places: np.ndarray) -> Pixels:
        """uint8 [n, H, W, 3]; from any thread."""


@dataclass(frozen=True)
class Decoded:
    """Pictures in memory, uint8 [N, H, W, 3]."""

    pixels: Pixels

    def batch(self, places: np.ndarray) -> Pixels:
        """A copy of them."""
        return np.asarray(self.pixels[places], np.uint8)


class Encoded:
    """Pictures as encoded bytes in a file without a name, which is gone with the process."""

    def __init__(self, contents: Iterator[bytes], resize: Resizer) -> None:
        self._resize = resize
        self._file = tempfile.TemporaryFile(prefix="headrace-pictures-")  # noqa: SIM115 (it lives as long as this)
        self._ends = [0]
        for content in contents:
            self._file.write(content)
            self._ends.append(self._ends[-1] + len(content))
        self._file.flush()
        self._pool = ThreadPoolExecutor(thread_name_prefix="decode")

    def batch(self, places: np.ndarray) -> Pixels:
        """Decodes them, several at a time."""
        return np.stack(list(self._pool.map(self._picture, places.tolist())))

    def _picture(self, place: int) -> Pixels:
        start, end = self._ends[place], self._ends[place + 1]
        return self._resize(decode(os.pread(self._file.fileno(), end - start, start)))


def load(snapshot: Dataset, split: str, item: Input, most_bytes: int) -> Pictures:
    """Reads the pictures of a split.

    Args:
        snapshot: whose pictures.
        split: of it.
        item: the signature's input: its name is the column's, its size the one that the network sees.
        most_bytes: of memory that decoded pictures may take; where they need more, they stay encoded.

    Raises:
        HeadraceError: a picture cannot be decoded; its row is named.
    """
    rows, resize = snapshot.info.rows[split], Resizer(item)
    if rows * item.height * item.width * 3 > most_bytes:
        return Encoded(contents(snapshot, split, item.name), resize)
    pixels = np.empty((rows, item.height, item.width, 3), np.uint8)
    row = 0
    try:
        for picture in in_threads(lambda content: resize(decode(content)), contents(snapshot, split, item.name)):
            pixels[row] = picture
            row += 1
    except PictureError as error:
        raise HeadraceError(f"row {row + 1:,} of the {split} split: {error}") from None
    return Decoded(pixels)


def contents(snapshot: Dataset, split: str, column: str) -> Iterator[bytes]:
    """The files' bytes, in the snapshot's order."""
    for batch in snapshot.batches(split, _READ_ROWS, [column]):
        for value in batch.column(0):
            yield value.as_py()
