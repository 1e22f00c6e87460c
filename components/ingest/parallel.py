"""Works on a stream's parts side by side, and gives the results in the parts' order."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
MOST_WORKERS = 4  # each holds a batch or two


def workers() -> int:
    """How many threads work on a stream: Arrow releases Python's lock, so each is a core's worth."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def in_order(work: Callable[[Part], Result], parts: Iterator[Part]) -> Iterator[Result]:
    """`map`, in threads, with no more than a few parts in memory; a stream of one part starts none.

    The first error, of a part or of the stream, is raised where its result would stand.
    """
    start = list(itertools.islice(parts, 2))
    if len(start) < 2:
        yield from map(work, start)
        return
    threads = workers()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="ingest") as pool:
        try:
            for part in itertools.chain(start, parts):
                waiting.append(pool.submit(work, part))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
