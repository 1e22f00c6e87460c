"""A bundle's model over whole columns: the graph that the server runs, many rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.pictures import MOST_PIXELS, PictureError, Pixels, by_size, decode
from headrace.artifacts.raw_inputs import BATCH_PIXELS
from headrace.artifacts.text_batches import text_slices
from headrace.serving.batch.cells import ColumnEncoder
from headrace.serving.scorer import check_graph, open_session

ROWS = 8_192  # that go through the graph at a time: more are no faster, and fewer leave its threads idle

Outputs = npt.NDArray[np.float32]


class Answered(NamedTuple):
    """What a model said of some rows."""

    outputs: Outputs  # [N, C] probabilities or [N, 1] values; undefined where the row is refused
    refused: dict[int, str]  # by its place: why a row has no answer
    unseen: npt.NDArray[np.int64]  # [F]: of each input, the values that training did not know


class ColumnModel(Protocol):
    """A loaded model. Safe to call from several threads."""

    def answer(self, columns: Mapping[str, Any], rows: int) -> Answered:
        """The model's outputs for columns of `rows` values each, by the inputs' names."""


def open_model(bundle: Bundle) -> ColumnModel:
    """Loads the graph that the server runs.

    Raises:
        ArtifactError: ONNX Runtime refuses it, or it is not of the signature's shape.
    """
    return TableModel(bundle) if bundle.signature.image is None else PictureModel(bundle)


class TableModel:
    """`matrix.onnx`, behind the encoding of columns."""

    def __init__(self, bundle: Bundle) -> None:
        """See `open_model`."""
        self._encoder = ColumnEncoder(bundle.signature)
        self._session = open_session(bundle.matrix)
        self._output = check_graph(self._session, bundle)
        self._width = max(1, len(bundle.signature.classes))

    def answer(self, columns: Mapping[str, Any], rows: int) -> Answered:
        """See `ColumnModel`."""
        cells = self._encoder.encode(columns, rows)
        outputs = np.empty((rows, self._width), np.float32)
        for part in _slices(cells.texts, rows):
            tensors: dict[str, Any] = {"matrix": cells.matrix[part]}
            if cells.texts is not None:
                tensors["texts"] = cells.texts[part]
            outputs[part] = self._session.run(self._output, tensors)[0]
        return Answered(outputs, {}, cells.unseen)


def _slices(texts: npt.NDArray[np.object_] | None, rows: int) -> Iterator[slice]:
    if texts is not None:
        yield from text_slices(np.array([sum(map(len, row)) for row in texts], np.int64))
        return
    for start in range(0, rows, ROWS):
        yield slice(start, min(start + ROWS, rows))


class PictureModel:
    """`model.onnx` over image files; one that cannot be decoded is refused, and the others are answered."""

    def __init__(self, bundle: Bundle, most_pixels: int = MOST_PIXELS) -> None:
        """See `open_model`."""
        item = bundle.signature.image
        if item is None:
            raise ArtifactError(f"{bundle.path}: expected a model of images. Received: one of a table")
        self._name, self._most_pixels = item.name, most_pixels
        self._session = open_session(bundle.model)
        self._output = [bundle.signature.output]
        self._width = max(1, len(bundle.signature.classes))

    def answer(self, columns: Mapping[str, Any], rows: int) -> Answered:
        """See `ColumnModel`; the column is of files' bytes."""
        outputs = np.zeros((rows, self._width), np.float32)
        refused: dict[int, str] = {}
        places: list[int] = []
        pictures = self._decoded(columns[self._name], places, refused)
        for which, pixels in by_size(pictures, BATCH_PIXELS):
            outputs[[places[one] for one in which]] = self._session.run(self._output, {self._name: pixels})[0]
        return Answered(outputs, refused, np.zeros(1, np.int64))

    def _decoded(self, files: Sequence[Any], places: list[int], refused: dict[int, str]) -> Iterator[Pixels]:
        for place, file in enumerate(files):
            content = file.as_py()
            try:
                if content is None:
                    raise PictureError("expected an image file's bytes. Received: null")
                pixels = decode(content, self._most_pixels)
            except PictureError as error:
                refused[place] = str(error)
                continue
            places.append(place)
            yield pixels
