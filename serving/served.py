"""One version of a model, loaded: what a request is answered by."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.parallel import cores
from headrace.serving.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from headrace.serving.image_scorer import ImageScorer
    from headrace.serving.scorer import Scorer

Made = TypeVar("Made")


class Codec(Protocol):
    """One protocol's form of a model's requests and answers; made once per model. It may be used from any thread."""

    def decode(self, body: bytes) -> tuple[Any, Any]:
        """What the model takes (see `Scorer.run`, `ImageScorer.run`), and whatever `encode` has to know of the request.

        Raises:
            BadRequest: the message is for the client.
        """

    def encode(self, outputs: npt.NDArray[np.float32], known: Any) -> bytes:
        """The body of the answer, from the model's outputs [N, C] or [N, 1]."""


class Served:
    """A loaded version."""

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        """Loads the model.

        Raises:
            ArtifactError: ONNX Runtime refuses the graph, or it is not of the signature's shape.
        """
        self.bundle = bundle
        self.name, self.version, self.digest = bundle.name, bundle.version, bundle.digest
        self.deployed_model_id = settings.deployed_model_id
        self.threads: ThreadPoolExecutor | None = (
            None  # that work on requests; None: they are worked on where they come
        )
        self.scorer: Scorer | ImageScorer
        if bundle.signature.image is None:
            from headrace.serving.scorer import Scorer

            self.scorer = Scorer(bundle, settings.deployed_model_id)
        else:
            from headrace.serving.image_scorer import ImageScorer

            # As many requests are worked on at a time as this process has cores to itself; the others wait.
            count = max(1, cores() // settings.workers)
            self.scorer = ImageScorer(bundle, settings.deployed_model_id, settings.max_pixels, count)
            self.threads = ThreadPoolExecutor(count, "requests")
        self._codecs: dict[Any, Any] = {}

    def codec(self, make: Callable[[Served], Made]) -> Made:
        """A protocol's codec of this model, made the first time that it is asked for."""
        codec: Made | None = self._codecs.get(make)
        if codec is None:
            codec = self._codecs[make] = make(self)
        return codec
