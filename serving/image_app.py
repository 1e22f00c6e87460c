"""The HTTP surface of a model of images: the same, but pictures are worked on beside the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.parallel import cores
from headrace.serving.app import JSON, App, Scope, Send, answer
from headrace.serving.body import Receive, rest_of_body
from headrace.serving.http_error import HttpError
from headrace.serving.image_scorer import ImageScorer
from headrace.serving.metrics import Metrics
from headrace.serving.request import BadRequest
from headrace.serving.settings import Settings


class ImageApp(App):
    """The ASGI application of one model of images.

    As many requests are worked on at a time as this process has cores to itself; the others wait, and health is
    answered meanwhile.
    """

    def __init__(self, bundle: Bundle, settings: Settings, counted: Metrics | None = None) -> None:
        threads = max(1, cores() // settings.workers)
        self._images = ImageScorer(bundle, settings.deployed_model_id, settings.max_pixels, threads)
        self._requests = ThreadPoolExecutor(threads, "requests")
        super().__init__(bundle, self._images, settings, counted)

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
        body = await rest_of_body(message, receive, declared, self._settings)
        start = perf_counter()
        try:
            scored = await asyncio.get_running_loop().run_in_executor(self._requests, self._images.score, body)
        except BadRequest as error:
            raise HttpError(400, str(error)) from None
        await answer(send, JSON, scored.body)
        self._metrics.scored(perf_counter() - start, scored.rows, scored.unseen)
