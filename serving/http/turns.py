"""Whose turn it is: requests are answered in the order in which they came, and those that would wait too long are not.

Work is done on the event loop, so that what waits would wait unseen in the sockets' buffers. Therefore, once the loop
has worked for `SLICE` without looking at its sockets, requests are only read, and queued with the time at which they
came; so it is known how long each has waited, and how long the next one would. A request that would wait longer than it
may is refused: to refuse costs less than to answer, and who was let in is answered in time.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from headrace.serving.exchange import HttpError, Request

if TYPE_CHECKING:
    from headrace.serving.http.connection import Connection

SLICE = 0.002  # seconds of work between two looks at the sockets
_SHARE = 3  # times as long as was read and refused, what waits is answered
LEAST = 8  # requests that may always wait: a slow model's clients are few, and each takes its time
_MEASURED = 0.1  # seconds of work apart (in threads) over which its pace is measured
RETRY_AFTER = ((b"retry-after", b"1"),)


class Turns:
    """The requests of one process that wait, and those that are worked on apart from the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_wait: float, max_requests: int) -> None:
        """`max_wait` seconds are waited at most; `max_requests` wait or are worked on at a time."""
        self._loop = loop
        self.flush: Callable[[], object] | None = None  # answers what was begun in this turn
        self._max_wait, self._max_requests = max_wait, max_requests
        self._turning = False  # a request was answered since the loop last looked at its sockets
        self._began = 0.0  # and that was when
        self._queue: deque[tuple[Connection, Request, int, float]] = deque()
        self._left = 0.0  # when the last of them was answered
        self._mean = 0.0  # seconds that one request of the queue takes
        self.apart = 0  # requests that are worked on in threads, or wait there
        self._pace = 0.0  # seconds between two of those that are answered, while there is work
        self._busy_since = 0.0
        self._busy, self._answered = 0.0, 0

    @property
    def waiting(self) -> int:
        """Requests that came and are not yet answered."""
        return len(self._queue) + self.apart

    @property
    def queued(self) -> int:
        """Requests that nobody works on yet."""
        return len(self._queue)

    def free(self) -> bool:
        """Whether a request that has just come can be answered at once, or begun.

        Raises:
            HttpError: 503, it would have to wait too long for what is worked on apart.
        """
        if self.apart >= LEAST:
            if self.waiting >= self._max_requests:
                raise self._crowded()
            if self.apart * self._pace > self._max_wait:
                raise self._late(self.apart * self._pace)
        if self._queue:
            return False
        if self._turning:
            return perf_counter() - self._began < SLICE
        self._turning, self._began = True, perf_counter()
        self._loop.call_soon(self._turn)  # before it looks at its sockets again
        return True

    def _turn(self) -> None:
        self._turning = False

    def queue(self, connection: Connection, request: Request, keep: int) -> None:
        """Has a request wait for its turn.

        Raises:
            HttpError: 503, it would have to wait too long.
        """
        ahead = len(self._queue)
        if ahead + self.apart >= self._max_requests:
            raise self._crowded()
        if ahead >= LEAST and ahead * self._mean > self._max_wait:
            raise self._late(ahead * self._mean)
        if not ahead:
            self._left = perf_counter()
            self._loop.call_soon(self._work)
        self._queue.append((connection, request, keep, perf_counter()))

    def _work(self) -> None:
        """Answers what waits, for a slice of time."""
        began = now = perf_counter()
        # However much there is to read and refuse: most of the time is for answers.
        end = began + min(max(SLICE, _SHARE * (began - self._left)), self._max_wait / 2)
        done = 0
        while self._queue and now < end:
            connection, request, keep, came = self._queue.popleft()
            try:
                if now - came > self._max_wait and len(self._queue) >= LEAST:
                    connection.passed_over(self._late(now - came), request, keep)
                else:
                    connection.answered(request, keep)
                    done += 1
            except Exception as error:  # noqa: BLE001 (one connection's fault may not stop the others' turns)
                traceback.print_exception(error, file=sys.stderr)
                connection.abort()
            now = perf_counter()
        if done and self.flush is not None:
            self.flush()
            now = perf_counter()
        if done:
            mean = (now - began) / done
            self._mean += (0.2 if mean < 4 * self._mean else 0.5) * (mean - self._mean)
        self._left = now
        if self._queue:
            self._loop.call_soon(self._work)

    def begin(self) -> None:
        """A request is worked on apart from now on."""
        if not self.apart:
            self._busy_since = perf_counter()
        self.apart += 1

    def end(self) -> None:
        """A request that was worked on apart is answered, or given up."""
        self.apart -= 1
        self._answered += 1
        now = perf_counter()
        busy = self._busy + now - self._busy_since
        if busy >= _MEASURED and self._answered >= LEAST:
            pace = busy / self._answered
            self._pace = (self._pace + pace) / 2 if self._pace else pace
            self._busy, self._answered, self._busy_since = 0.0, 0, now
        elif not self.apart:
            self._busy = busy

    def _late(self, seconds: float) -> HttpError:
        expected = f"a turn within {self._max_wait:g} seconds"
        return HttpError(
            503, f"server: expected {expected}. Received: {seconds:.3g}; ask again later", False, RETRY_AFTER
        )

    def _crowded(self) -> HttpError:
        expected = f"at most {self._max_requests} requests at a time"
        return HttpError(503, f"server: expected {expected}. Received: one more; ask again later", False, RETRY_AFTER)
