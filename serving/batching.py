"""Requests of a slow model, scored together: what comes during one call of the model goes into the next.

Nothing is waited for: a request that finds a thread free is scored at once, alone. So one client at a time is answered
as soon as without batches, and many share the cost of a call. For a model that takes microseconds the way to a thread
and back would cost more than the call; such a one is called on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from headrace.serving.scorer import Inputs

SLOW_SECONDS = 0.0005  # that a call for one row takes, from which on a model is called in threads
_TRIALS, _TRIAL_SECONDS = 5, 0.05

Outputs: TypeAlias = "npt.NDArray[np.float32]"
Waiting: TypeAlias = "tuple[Inputs, asyncio.Future[Outputs]]"


class Batcher:
    """Calls one model in threads, for one event loop."""

    def __init__(self, run: Callable[[Inputs], Outputs], threads: int, most_rows: int) -> None:
        """`run` is the model, `threads` call it at a time, each for at most `most_rows` rows of several requests."""
        self._run = run
        self._threads, self._most = threads, most_rows
        self._pool = ThreadPoolExecutor(threads, "batches")
        self._waiting: deque[Waiting] = deque()
        self._working = 0
        self.seen: Callable[[int, int], object] | None = None  # is told the requests and rows of each call

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return len(self._waiting)

    async def run(self, inputs: Inputs) -> Outputs:
        """The outputs of one request's rows.

        Raises:
            Exception: what the model raises for these rows; that of others does not concern them.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = loop.create_future()
        self._waiting.append((inputs, future))
        if self._working < self._threads:
            self._begin(loop)
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hands what waits to a thread, as much as goes into one call; requests whose clients left are not scored."""
        batch: list[Waiting] = []
        rows = 0
        while self._waiting:
            inputs, future = self._waiting[0]
            if future.done():
                self._waiting.popleft()
                continue
            if batch and rows + len(inputs.matrix) > self._most:
                break
            batch.append(self._waiting.popleft())
            rows += len(inputs.matrix)
        if not batch:
            return
        self._working += 1
        if self.seen is not None:
            self.seen(len(batch), rows)
        work = loop.run_in_executor(self._pool, outputs_of, self._run, [inputs for inputs, _ in batch])
        work.add_done_callback(lambda done: self._end(loop, batch, done.result()))

    def _end(self, loop: asyncio.AbstractEventLoop, batch: list[Waiting], found: Sequence[Outputs | Exception]) -> None:
        self._working -= 1
        self._begin(loop)
        for (_, future), outputs in zip(batch, found, strict=True):
            if future.done():
                continue
            if isinstance(outputs, Exception):
                future.set_exception(outputs)
            else:
                future.set_result(outputs)

    def close(self) -> None:
        """Lets the threads end once they have done what they do."""
        self._pool.shutdown(wait=False)


def seconds_a_call(run: Callable[[Inputs], Outputs], inputs: Inputs) -> float:
    """What the model takes for these inputs: the fastest of some calls, since the first ones prepare things."""
    fastest, end = float("inf"), perf_counter() + _TRIAL_SECONDS
    for _ in range(_TRIALS):
        began = perf_counter()
        if began > end:
            break
        run(inputs)
        fastest = min(fastest, perf_counter() - began)
    return fastest


def outputs_of(run: Callable[[Inputs], Outputs], batch: Sequence[Inputs]) -> Sequence[Outputs | Exception]:
    """The outputs of each request by one call of the model, or what it raised for that request alone."""
    if len(batch) > 1:
        try:
            outputs = run(_joined(batch))
            if all(len(inputs.matrix) == 1 for inputs in batch):  # as most are
                return [outputs[place : place + 1] for place in range(len(batch))]
            return np.split(outputs, np.cumsum([len(inputs.matrix) for inputs in batch])[:-1])
        except Exception:  # noqa: BLE001 (one of them is at fault: each alone tells which)
            pass
    found: list[Outputs | Exception] = []
    for inputs in batch:
        try:
            found.append(run(inputs))
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            found.append(error)
    return found


def _joined(batch: Sequence[Inputs]) -> Inputs:
    texts = [inputs.texts for inputs in batch if inputs.texts is not None]
    matrix = np.concatenate([inputs.matrix for inputs in batch])
    return batch[0]._replace(matrix=matrix, texts=np.concatenate(texts) if texts else None)
