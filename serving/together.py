"""Requests of a fast model that came in one turn of the event loop: answered by one call of the model.

Nothing is waited for. What one look at the sockets brought is decoded, request by request; then the model is called
once for all of it, and the answers leave one after the other. A call has a cost of its own, most of it for bringing the
model back into the processor's caches, which requests that came together share. A request that came alone is answered
alone. (Slow models are called in threads: see `serving.batching`.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.serving.batching import Outputs, outputs_of
from headrace.serving.exchange import Request, Response, Soon
from headrace.serving.served import Codec

if TYPE_CHECKING:
    from headrace.serving.scorer import Inputs

MOST_ROWS = 32  # of one call: so long does the first request of them wait for the last
FEW_ROWS = 8  # of a request; one of more gains nothing from company


class Waiting(NamedTuple):
    """A request that is decoded, and what its answer is handed to."""

    request: Request
    codec: Codec
    inputs: Inputs
    known: Any
    soon: Soon


class Together:
    """The requests of one version that wait for the end of this turn."""

    def __init__(
        self,
        scorer: Any,
        answered: Callable[[Waiting, Outputs], Response],
        failed: Callable[[Request, Exception], Response],
    ) -> None:
        """`scorer.run` is the model; `answered` makes an answer from its outputs, `failed` from an error."""
        self._scorer, self._answered, self._failed = scorer, answered, failed
        self._waiting: list[Waiting] = []
        self._rows = 0
        self.seen: Callable[[int, int], object] | None = None  # is told the requests and rows of each call

    def add(self, request: Request, codec: Codec, inputs: Inputs, known: Any) -> Soon:
        """Takes a request in; the turn's end answers it, or where there is no event loop this call."""
        soon = Soon()
        rows = len(inputs.matrix)
        if self._rows + rows > MOST_ROWS:
            self.flush()
        first = not self._waiting
        self._waiting.append(Waiting(request, codec, inputs, known, soon))
        self._rows += rows
        if first:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # without an event loop there are no turns
                self.flush()
        return soon

    def flush(self) -> None:
        """Answers what waits."""
        waiting = self._waiting
        if not waiting:
            return
        rows, self._waiting, self._rows = self._rows, [], 0
        if self.seen is not None:
            self.seen(len(waiting), rows)
        found = outputs_of(self._scorer.run, [one.inputs for one in waiting])
        for one, outputs in zip(waiting, found, strict=True):
            try:
                if isinstance(outputs, Exception):
                    raise outputs
                response = self._answered(one, outputs)
            except Exception as error:  # noqa: BLE001 (one request's error is not the others')
                response = self._failed(one.request, error)
            try:
                one.soon.settle(response)
            except Exception as error:  # noqa: BLE001 (one client's connection is not the others')
                context = {"message": f"expected an answer to be sent. Received: {error}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
