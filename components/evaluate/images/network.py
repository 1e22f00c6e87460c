"""A model of images at work: pictures are decoded in threads while it answers for those before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.pictures import PictureError, Pixels, by_size, decode, in_threads
from headrace.artifacts.raw_inputs import open_graph
from headrace.artifacts.signature import Signature
from headrace.components.evaluate.scores import Array

BATCH = 32  # pictures that the graph gets at a time: more of them cost memory and win nothing on a CPU
_PIXELS = 1 << 23  # that wait to be put together with others of their size
_READ = 64  # rows that are read at a time, so that a split of many large files fits

Made = TypeVar("Made")


@dataclass(frozen=True)
class Network:
    """A model of images.

    Attributes:
        answer: from pictures of one size, uint8 [n, h, w, 3], to probabilities [n, C].
        column: of the snapshot, which holds the encoded images.
        height: of the pictures as the network sees them, in pixels.
        width: likewise.
    """

    signature: Signature
    digest: str
    answer: Callable[[Pixels], Array]
    column: str
    height: int
    width: int

    @classmethod
    def of(cls, bundle: Bundle) -> Network:
        """The model as it is served."""
        session, image = open_graph(bundle.model), bundle.signature.image
        if image is None:
            raise ValueError("expected a bundle of a model of images. Received: one of a table")

        def answer(pictures: Pixels) -> Array:
            return np.asarray(session.run(None, {image.name: pictures})[0])

        return cls(bundle.signature, bundle.digest, answer, image.name, image.height, image.width)

    def of_one_size(self, pictures: Pixels) -> Array:
        """The answers for any number of pictures of one size, [n, C]."""
        parts = [self.answer(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.signature.classes)))

    def of_split(self, data: Dataset, split: str) -> Array:
        """The answers for a whole split, [rows, C], in its order; memory is bounded."""
        outputs = np.empty((data.info.rows[split], len(self.signature.classes)))
        pictures = (picture for _, picture in pictures_of(data, split, self.column, lambda pixels: pixels))
        for places, batch in by_size(pictures, _PIXELS):
            outputs[places] = self.of_one_size(batch)
        return outputs

    def seen(self, pixels: Pixels) -> Pixels:
        """A picture in the size that the network sees, uint8 [height, width, 3]; by Pillow, so as much as equal."""
        from PIL import Image

        small = Image.fromarray(pixels).resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(small)


def pictures_of(
    data: Dataset, split: str, column: str, make: Callable[[Pixels], Made], rows: Iterable[int] | None = None
) -> Iterator[tuple[int, Made]]:
    """What `make` makes of a split's pictures, on all cores and in order, each with its row: of all, or of some.

    Raises:
        HeadraceError: an image cannot be decoded; the message names the row.
    """
    wanted = None if rows is None else set(rows)

    def work(one: tuple[int, Any]) -> tuple[int, Made]:
        row, content = one
        try:
            return row, make(decode(content.as_py()))
        except PictureError as error:
            raise HeadraceError(f"{split}, row {row}, column `{column}`: {error}") from None

    return in_threads(work, _contents(data, split, column, wanted))


def _contents(data: Dataset, split: str, column: str, wanted: set[int] | None) -> Iterator[tuple[int, Any]]:
    """The rows with their encoded images; of some rows, only the row groups that they lie in are read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(data.file(split)) as file:
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            row, first = first, first + count
            if wanted is not None and wanted.isdisjoint(range(row, first)):
                continue
            for batch in file.iter_batches(_READ, row_groups=[group], columns=[column]):
                for content in batch.column(0):
                    if wanted is None or row in wanted:
                        yield row, content
                    row += 1
