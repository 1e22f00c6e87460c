"""One version of a model, loaded: what a request is answered by."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.parallel import cores
from headrace.serving.batching import SLOW_SECONDS, Batcher, seconds_a_call
from headrace.serving.exchange import Pairs, Request, Response
from headrace.serving.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from headrace.serving.image_scorer import ImageScorer
    from headrace.serving.metrics import Counted
    from headrace.serving.scorer import Scorer

Made = TypeVar("Made")


class Codec(Protocol):
    """One protocol's form of a model's requests and answers; made once per model. It may be used from any thread."""

    def decode(self, request: Request) -> tuple[Any, Any]:
        """What the model takes (see `Scorer.run`, `ImageScorer.run`), and whatever `encode` has to know of the request.

        Raises:
            BadRequest: the message is for the client.
        """

    def encode(self, outputs: npt.NDArray[np.float32], known: Any) -> Response:
        """The answer, from the model's outputs [N, C] or [N, 1]."""


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
        self.batcher: Batcher | None = None  # of a slow model
        self.scorer: Scorer | ImageScorer
        if bundle.signature.image is None:
            from headrace.serving.scorer import Scorer

            self.scorer = Scorer(bundle, settings.deployed_model_id)
            self.batcher = _batcher(self.scorer, bundle, settings)
        else:
            from headrace.serving.image_scorer import ImageScorer

            # As many requests are worked on at a time as this process has cores to itself; the others wait.
            count = max(1, cores() // settings.workers)
            self.scorer = ImageScorer(bundle, settings.deployed_model_id, settings.max_pixels, count)
            self.threads = ThreadPoolExecutor(count, "requests")
        self.counted: Counted | None = None  # its counters, once an application answers with it
        self.variant = ""  # the name that a plan has for it
        self.told: Pairs = ()  # the headers of its answers that say who gave them
        self._codecs: dict[Any, Any] = {}
        self._one: ThreadPoolExecutor | None = None

    @property
    def at_once(self) -> bool:
        """Whether the model is called on the event loop, and not in threads."""
        return self.batcher is None and self.threads is None

    @property
    def waiting(self) -> int:
        """Requests that wait for a call of the model."""
        return self.batcher.waiting if self.batcher is not None else 0

    def one_thread(self) -> ThreadPoolExecutor:
        """The thread for requests so large that others would wait for them; made when the first of them comes."""
        if self._one is None:
            self._one = ThreadPoolExecutor(1, "large-requests")
        return self._one

    def codec(self, make: Callable[[Served], Made]) -> Made:
        """A protocol's codec of this model, made the first time that it is asked for."""
        codec: Made | None = self._codecs.get(make)
        if codec is None:
            codec = self._codecs[make] = make(self)
        return codec


def _batcher(scorer: Scorer, bundle: Bundle, settings: Settings) -> Batcher | None:
    """Where a call for one row takes long, what calls the model for several requests together."""
    instances, _ = bundle.samples()
    if settings.max_batch == 1 or not instances:
        return None
    try:
        inputs = scorer.inputs([tuple(instances[0][item.name] for item in scorer.signature.inputs)])
        seconds = seconds_a_call(scorer.run, inputs)
    except Exception:  # noqa: BLE001 (what fails now fails again, and is refused, when the samples are asked for)
        return None
    if seconds < SLOW_SECONDS:
        return None
    return Batcher(scorer.run, max(1, cores() // settings.workers), settings.max_batch)
