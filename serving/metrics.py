"""What a server process counts, as it happens; `serving.page` tells it for all processes together.

A prediction costs about a microsecond here: additions to shared memory (see `serving.board`), and one bisection
each for its time and for what was predicted. What is counted per version makes versions comparable: `headrace
rollout` reads it.
"""

from __future__ import annotations

import math
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headrace.serving import board
from headrace.serving.board import Block, Board, Slot

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from headrace.artifacts.bundle import Bundle
    from headrace.artifacts.signature import Signature

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds
ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
PROBABILITIES = tuple(round(step / 20, 2) for step in range(1, 21))  # bounds of a positive class's probability
BINS = 20

KINDS = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "timeout",
    411: "length",
    413: "too_large",
    414: "too_large",
    415: "media_type",
    417: "expectation",
    429: "too_many",
    431: "too_large",
    499: "client_left",
    500: "internal",
    501: "not_implemented",
    503: "overload",
    505: "http_version",
}
_NAMES = (*dict.fromkeys(KINDS.values()), "shadow", "shadow_dropped", "other")
_KIND = {name: place for place, name in enumerate(_NAMES)}
_LONGEST = 128  # characters of a name: a block's key is bounded
_FEW = 4  # rows that are counted one by one faster than as an array


class Counted:
    """The counters of one version in one process. It may be used from any thread."""

    def __init__(self, block: Block, signature: Signature, bounds: Sequence[float], labels: int) -> None:
        self._block = block
        self._counts, self._numbers = block.counts, block.numbers
        self._lock = threading.Lock()
        self._words: dict[tuple[str, int], int] = {}
        self._fine: dict[str, int] = {}  # by route, of answers with status 200
        self._bounds = bounds  # empty where labels are counted
        self._labels = labels
        two = signature.positive is not None
        self._place = signature.classes.index(signature.positive) if two and signature.positive else 0

    def scored(self, route: str, seconds: float, outputs: npt.NDArray[np.float32], unseen: int = 0) -> None:
        """Counts one prediction request that was answered with 200.

        Args:
            route: the path that was asked.
            seconds: from the whole request to its answer.
            outputs: the model's, [N, C] or [N, 1].
            unseen: category values that training did not know.
        """
        counts, rows = self._counts, len(outputs)
        with self._lock:
            counts[board.LATENCY + bisect_left(BUCKETS, seconds)] += 1
            self._numbers[board.LATENCY_SUM] += seconds
            word = self._fine.get(route) or self._new(route, 200)
            counts[word] += 1
            if unseen:
                counts[board.UNSEEN] += unseen
            if rows == 1:
                counts[board.SINGLES] += 1
                if not self._bounds:
                    self._one_label(outputs)
                    return
                value = outputs.item(self._place)
                if value - value == 0.0:  # finite
                    counts[board.PREDICTED + bisect_left(self._bounds, value)] += 1
                    self._numbers[board.PREDICTED_SUM] += value
                else:
                    counts[board.PREDICTED + board.NOT_A_NUMBER] += 1
                return
            counts[board.ROWS] += rows
            counts[board.REQUEST_ROWS + bisect_left(ROW_BUCKETS, rows)] += 1
            self._predicted(outputs)

    def answered(self, route: str, status: int) -> None:
        """Counts a prediction request that this version was to answer, and that was answered with an error."""
        with self._lock:
            word = self._words.get((route, status)) or self._new(route, status)
            self._counts[word] += 1

    def serves(self, percent: int) -> None:
        """That this version gets so much of the traffic from now on; a shadow gets 0."""
        self._numbers[board.TOUCHED] = time.time()
        self._counts[board.SHARE] = percent + 1

    def retires(self) -> None:
        """That this version answers nobody from now on."""
        self._numbers[board.TOUCHED] = time.time()
        self._counts[board.SHARE] = 0

    def _new(self, route: str, status: int) -> int:
        word = self._words[route, status] = self._block.add_pair(route, status)
        if status == 200:
            self._fine[route] = word
        return word

    def _one_label(self, outputs: npt.NDArray[np.float32]) -> None:
        row = outputs.tolist()[0]
        place: int = row.index(max(row))
        if math.isnan(sum(row)):
            place = board.NOT_A_NUMBER
        elif place >= self._labels:
            place = board.OTHER_LABEL
        self._counts[board.PREDICTED + place] += 1

    def _number(self, value: float) -> None:
        if not math.isfinite(value):
            self._counts[board.PREDICTED + board.NOT_A_NUMBER] += 1
            return
        self._counts[board.PREDICTED + bisect_left(self._bounds, value)] += 1
        self._numbers[board.PREDICTED_SUM] += value

    def _predicted(self, outputs: npt.NDArray[np.float32]) -> None:
        if self._bounds and len(outputs) <= _FEW:
            for value in outputs[:, self._place].tolist():
                self._number(value)
            return
        if not len(outputs):
            return
        import numpy as np

        if self._bounds:
            column = outputs[:, self._place].astype(np.float64)
            finite = column[np.isfinite(column)]
            self._counts[board.PREDICTED + board.NOT_A_NUMBER] += len(column) - len(finite)
            self._numbers[board.PREDICTED_SUM] += float(finite.sum())
            self._add(np.searchsorted(self._bounds, finite, side="left"))
            return
        places = outputs.argmax(axis=1)
        places[places >= self._labels] = board.OTHER_LABEL
        places[np.isnan(outputs).any(axis=1)] = board.NOT_A_NUMBER
        self._add(places)

    def _add(self, places: Any) -> None:
        import numpy as np

        for place, number in enumerate(np.bincount(places).tolist()):
            if number:
                self._counts[board.PREDICTED + place] += number


class Metrics:
    """The counters of one process."""

    def __init__(self, shared: Board | None = None, number: int = 0) -> None:
        """Takes the slot of this number on a board; without one, on a board of its own."""
        self.board = shared or Board()
        self.slot: Slot = self.board.slots[number]
        self.slot.take(os.getpid())
        self._counts = self.slot.process.counts
        self._lock = threading.Lock()
        self._came = 0

    def version(self, bundle: Bundle, *, shadow: bool = False) -> Counted:
        """The counters of a version, which go on where it was served before; a shadow's are others."""
        signature = bundle.signature
        name, version = bundle.name[:_LONGEST], (bundle.version or "")[:_LONGEST]
        key: dict[str, Any] = {"model": name, "version": version, "digest": bundle.digest, "shadow": shadow}
        bounds: Sequence[float] = ()
        if signature.positive is not None:
            bounds, key["class"] = PROBABILITIES, signature.positive[:_LONGEST]
        elif signature.classes:
            key["labels"] = board.room_for(list(signature.classes), len(str(key)) + 64)
        else:
            key["value"] = True
        with self._lock:
            block = self.slot.claim(key)
            if "value" in key:
                bounds = self._bounds(block, bundle)
        return Counted(block, signature, bounds, len(key.get("labels", ())))

    def _bounds(self, block: Block, bundle: Bundle) -> Sequence[float]:
        """Of a regression's histogram: those that this model's versions before had, so that they can be compared."""
        there = slice(board.BOUNDS, board.BOUNDS + BINS)
        for other in (block, *self.slot.used()):
            found = list(other.numbers[there])
            if any(found) and other.key()["model"] == bundle.name[:_LONGEST]:
                break
        else:
            found = value_bounds([sample["value"] for sample in bundle.samples()[1]])
        for place, bound in enumerate(found):
            block.numbers[board.BOUNDS + place] = bound
        return found

    def error(self, status: int) -> None:
        """Counts an answer that is an error, by the kind that its HTTP status stands for."""
        self.error_of(KINDS.get(status, "other"))

    def error_of(self, kind: str) -> None:
        """Counts an error by its kind, one of `KINDS`' values, "shadow" or "shadow_dropped"."""
        self.add(board.ERRORS + _KIND.get(kind, _KIND["other"]))

    def called(self, requests: int, rows: int) -> None:
        """Counts one call of a slow model, for one request or for several together."""
        with self._lock:
            self._counts[board.BATCH_ROWS + bisect_left(ROW_BUCKETS, rows)] += 1
            self._counts[board.BATCH_ROWS_SUM] += rows
            self._counts[board.BATCH_REQUESTS + bisect_left(ROW_BUCKETS, requests)] += 1
            self._counts[board.BATCH_REQUESTS_SUM] += requests

    def state(self, connections: int, came: int, requests: int, queued: int) -> None:
        """Says what this process has now.

        Args:
            connections: that are open.
            came: connections since the process began.
            requests: without an answer yet.
            queued: of them, that nobody works on yet.
        """
        counts = self._counts
        counts[board.CONNECTIONS], counts[board.IN_PROGRESS], counts[board.QUEUED] = connections, requests, queued
        counts[board.ALL_CONNECTIONS] += came - self._came
        self._came = came

    def swapped(self) -> None:
        """Counts that another model, or plan, took over."""
        self.add(board.SWAPS)

    @property
    def refused(self) -> bool:
        """Whether something else should be served, and cannot be."""
        return bool(self._counts[board.REFUSED])

    @refused.setter
    def refused(self, value: bool) -> None:
        self._counts[board.REFUSED] = int(value)

    def add(self, word: int, by: int = 1) -> None:
        """Adds to a word of the process's block (see `serving.board`)."""
        with self._lock:
            self._counts[word] += by

    def text(self) -> bytes:
        """The page that Prometheus reads, of all processes."""
        from headrace.serving.page import page

        return page(self.board)


def error_kinds() -> tuple[str, ...]:
    """The kinds of errors, in the order of their words."""
    return _NAMES


def value_bounds(values: Sequence[float]) -> list[float]:
    """Bounds of a histogram of 20 bins (and one above) around some values, at round numbers, twice as wide as they are.

    >>> value_bounds([100.0, 300.0])[:3], value_bounds([100.0, 300.0])[-1]
    ([0.0, 20.0, 40.0], 380.0)
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    width = (high - low) or max(1.0, abs(high))
    middle = (low + high) / 2
    power = 10.0 ** math.floor(math.log10(2 * width / BINS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * BINS >= 2 * width * 0.999)
    first = math.floor((middle - step * BINS / 2) / step)
    return [float(f"{(first + place) * step:.12g}") for place in range(BINS)]
