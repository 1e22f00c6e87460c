"""Bytes in, bytes out, of a model of images: a request's body to the answer's body. It knows nothing of HTTP.

Files are decoded in threads, and small pictures of one size go through the graph together. A large picture goes alone
as soon as it is decoded, so that each thread holds one of them at most, whatever a request asks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from headrace.artifacts.answer import predictions
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.parallel import cores, in_order
from headrace.artifacts.pictures import MOST_PIXELS, PictureError, Pixels, by_size, decode
from headrace.artifacts.signature import Input
from headrace.serving.image_request import picture_decoder
from headrace.serving.request import BadRequest
from headrace.serving.scorer import Scored, about, open_session

TOGETHER = 8  # pictures of the network's size: more at once are no faster on a core, and wait for one another

Answers = npt.NDArray[np.float32]


class ImageScorer:
    """One model of images, loaded. Safe to call from several threads, which then work at the same time."""

    def __init__(
        self, bundle: Bundle, deployed_model_id: str | None = None, most_pixels: int = MOST_PIXELS, threads: int = 0
    ) -> None:
        """Loads `model.onnx`, and tries it.

        Args:
            bundle: of a model of images.
            deployed_model_id: Vertex's; with name and version it is repeated in every answer.
            most_pixels: of a picture; a larger one is refused.
            threads: that work on the pictures of one request, 0 for as many as there are cores.

        Raises:
            ArtifactError: ONNX Runtime refuses the graph, or it is not of the signature's shape.
        """
        item = bundle.signature.image
        if item is None:
            raise ArtifactError(f"{bundle.path}: expected a model of images. Received: one of a table")
        self.signature = bundle.signature
        self._name, self._most_pixels = item.name, most_pixels
        self._session = open_session(bundle.model)
        self._together = TOGETHER * item.height * item.width
        self._threads = threads or cores()
        self._pool = ThreadPoolExecutor(self._threads, "pictures")
        self._pictures = picture_decoder(item.name)
        self._encode = msgspec.json.Encoder().encode
        self._tail = about(bundle, deployed_model_id)
        _check_graph(self._session, bundle)
        self._try(bundle, item)

    def _try(self, bundle: Bundle, item: Input) -> None:
        """Answers once: the first client does not wait for what is made at the first time."""
        from PIL import Image

        Image.init()
        try:
            answers = self._run(np.zeros((1, item.height, item.width, 3), np.uint8))
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's exceptions have no common base but Exception)
            raise ArtifactError(f"{bundle.model}: expected a graph over pictures. Received: {error}") from None
        wanted = (1, max(1, len(self.signature.classes)))
        if answers.shape != wanted:
            raise ArtifactError(f"{bundle.model}: expected answers of the shape {wanted}. Received: {answers.shape}")

    def score(self, body: bytes) -> Scored:
        """Scores one request of Vertex AI's protocol.

        Raises:
            BadRequest: the body cannot be scored; the message is for the client.
        """
        pictures, known = self.decode(body)
        return Scored(self.encode(self.run(pictures), known), len(pictures), 0)

    def decode(self, body: bytes) -> tuple[list[bytes | Pixels], None]:
        """A body {"instances": [...]} as its pictures: files' bytes, or pixels uint8 [h, w, 3].

        Raises:
            BadRequest: see `score`.
        """
        return self._pictures(body), None

    def encode(self, outputs: Answers, known: None = None) -> bytes:
        """The body {"predictions": [...], ...} of an answer."""
        found = predictions(self.signature, outputs) if len(outputs) else []
        return b'{"predictions":' + self._encode(found) + self._tail

    def run(self, pictures: Sequence[bytes | Pixels]) -> Answers:
        """The model alone: N pictures to its outputs [N, C].

        Raises:
            BadRequest: one of them cannot be decoded.
        """
        # For a single one no other thread need be woken.
        return self._run(self._decoded((0, pictures[0]))[None]) if len(pictures) == 1 else self._answers(pictures)

    def _answers(self, pictures: Sequence[bytes | Pixels]) -> Answers:
        """The answers for several pictures, in their order."""
        answers: Answers = np.empty((len(pictures), max(1, len(self.signature.classes))), np.float32)
        small: list[int] = []  # the places of the pictures that do not go alone

        def decoded() -> Iterator[Pixels]:
            for place, made in enumerate(in_order(self._pool, self._begin, enumerate(pictures), self._threads)):
                if made.ndim == 1:
                    answers[place] = made
                else:
                    small.append(place)
                    yield made

        batches = by_size(decoded(), self._together)
        for places, outputs in in_order(self._pool, self._finish, batches, self._threads):
            answers[[small[place] for place in places]] = outputs
        return answers

    def _begin(self, numbered: tuple[int, bytes | Pixels]) -> Any:
        """A picture's pixels [h, w, 3], or its answer [C] where it is so large that it goes alone."""
        pixels = self._decoded(numbered)
        return pixels if pixels.shape[0] * pixels.shape[1] <= self._together else self._run(pixels[None])[0]

    def _finish(self, batch: tuple[list[int], Pixels]) -> tuple[list[int], Answers]:
        places, pixels = batch
        return places, self._run(pixels)

    def _decoded(self, numbered: tuple[int, bytes | Pixels]) -> Pixels:
        place, picture = numbered
        if isinstance(picture, np.ndarray):
            return picture
        try:
            return decode(picture, self._most_pixels)
        except PictureError as error:
            raise BadRequest(f"instances[{place}]: {error}") from None

    def _run(self, pixels: Pixels) -> Answers:
        answers: Answers = self._session.run([self.signature.output], {self._name: pixels})[0]
        return answers


def _check_graph(session: onnxruntime.InferenceSession, bundle: Bundle) -> None:
    """Compares model.onnx with the signature.

    Raises:
        ArtifactError: they do not belong together.
    """
    item = bundle.signature.inputs[0]
    inputs = [(one.name, one.type, one.shape[3:]) for one in session.get_inputs()]
    wanted = [(item.name, "tensor(uint8)", [3])]
    if inputs != wanted:
        raise ArtifactError(f"{bundle.model}: expected the inputs {wanted}. Received: {inputs}")
    names = [one.name for one in session.get_outputs()]
    if bundle.signature.output not in names:
        raise ArtifactError(f"{bundle.model}: expected the output {bundle.signature.output}. Received: {names}")
