"""Works on a stream's parts side by side, and gives the results in the parts' order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace.artifacts import parallel

Part = TypeVar("Part")
Result = TypeVar("Result")
MOST_WORKERS = 4  # each holds a batch or two


def workers() -> int:
    """How many threads work on a stream: Arrow releases Python's lock, so each is a core's worth."""
    return min(MOST_WORKERS, parallel.cores())


def in_order(work: Callable[[Part], Result], parts: Iterator[Part]) -> Iterator[Result]:
    """`map`, in threads, with no more than a few parts in memory; a stream of one part starts none.

    The first error, of a part or of the stream, is raised where its result would stand.
    """
    start = list(itertools.islice(parts, 2))
    if len(start) < 2:
        yield from map(work, start)
        return
    threads = workers()
    with ThreadPoolExecutor(threads, thread_name_prefix="ingest") as pool:
        yield from parallel.in_order(pool, work, itertools.chain(start, parts), threads + 1)
