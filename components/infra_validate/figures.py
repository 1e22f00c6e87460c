"""What a bundle needs in the real server: time to answer, memory, room, and time until its first answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from headrace.artifacts.bundle import Bundle
from headrace.serving.client import Client
from headrace.serving.verify import quantile

ROUNDS = 4
REQUESTS = 250  # of one row each, in a round: the 99th percentile is the third slowest
LEAST_REQUESTS = 100  # of a round, however slow the model
SECONDS = 0.75  # after which a round has no more than the least
_WARM = 20  # requests that are not timed: the first ones fill caches
_MIB = 1024 * 1024


class Latencies(NamedTuple):
    """Times to answer one row, of the quietest round."""

    p50_ms: float
    p99_ms: float
    requests: int  # of all rounds


def latencies(client: Client, bundle: Bundle) -> Latencies:
    """Times single rows, one after another on one connection, of the bundle's own samples.

    What else a machine does slows some rounds down, and never makes one faster: what the model needs is seen in the
    round whose 99th percentile is least. A tail of the model's own is in each round.

    Raises:
        HeadraceError: the server refuses a sample, or does not answer.
    """
    instances = bundle.samples()[0]
    for number in range(_WARM):
        client.predict([instances[number % len(instances)]])
    rounds = [_round(client, instances) for _ in range(ROUNDS)]
    taken = min(rounds, key=lambda times: quantile(times, 0.99))
    return Latencies(1000 * quantile(taken, 0.5), 1000 * quantile(taken, 0.99), sum(map(len, rounds)))


def _round(client: Client, instances: list[dict[str, Any]]) -> list[float]:
    taken: list[float] = []
    started = time.perf_counter()
    for number in range(REQUESTS):
        begin = time.perf_counter()
        if number >= LEAST_REQUESTS and begin - started > SECONDS:
            break
        client.predict([instances[number % len(instances)]])
        taken.append(time.perf_counter() - begin)
    return taken


def bundle_mib(bundle: Bundle) -> float:
    """The size of the bundle's files together, in MiB."""
    return sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file()) / _MIB


def server_mib(pid: int) -> float | None:
    """The memory of a process and those below it, in MiB; None where the system does not say.

    It is the proportional set size: a page that several processes share counts in parts, so that the sum over all
    processes of a machine is what they use.
    """
    total = 0
    for process in (pid, *_below(pid)):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (ProcessLookupError, FileNotFoundError):
            continue  # it ended just now
        except OSError:
            return None  # no Linux, or none of our processes
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024 if total else None


def _below(pid: int) -> list[int]:
    """The processes that a process started, and those that they did."""
    found: list[int] = []
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(text) for text in place.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_below(child)]
    return found
