"""Does a server answer as the trained model did? And how fast?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.closeness import unit_of
from headrace.artifacts.errors import HeadraceError
from headrace.serving.scorer import Scores
from headrace.serving.target import titled

TOLERANCE = 1e-5  # in units, see `artifacts.closeness`: float32 sums of some hundred leaves
REQUESTS = 200

Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Verification:
    """What came of asking for a bundle's own samples."""

    samples: int
    largest_difference: float  # of a number, in units; infinite where one is missing or none
    mismatches: tuple[str, ...]  # one line per sample that was answered otherwise
    requests: int  # of one row each, timed
    p50_ms: float
    p99_ms: float

    @property
    def passed(self) -> bool:
        """Whether there were samples, and all were answered as they should be."""
        return self.samples > 0 and not self.mismatches


def verify_samples(
    target: str | Scores, bundle: Bundle, tolerance: float = TOLERANCE, requests: int = REQUESTS
) -> Verification:
    """Asks for every sample, all in one request and one by one, and compares the answers with the bundle's.

    Args:
        target: a server's url, or a scorer in this process.
        bundle: whose samples are asked for.
        tolerance: the largest difference of a number that is no mismatch.
        requests: how many single rows are timed.

    Raises:
        HeadraceError: the server cannot be reached, or refuses a sample.
    """
    if not isinstance(target, str):
        return _verify(_in_process(target), bundle, tolerance, requests)
    from headrace.serving.client import Client  # a server that tries its model when it starts needs none

    with Client(target) as client:
        return _verify(client.predict, bundle, tolerance, requests)


def require_samples(scorer: Scores, bundle: Bundle) -> None:
    """Has a model in this process answer its own samples.

    Raises:
        HeadraceError: it answers otherwise than the model that was trained, or not at all.
    """
    try:
        checked = verify_samples(scorer, bundle, requests=0)
    except HeadraceError:
        raise
    except Exception as error:  # noqa: BLE001 (a graph that is not what the signature says fails in any way)
        what = f"expected the answers to its samples. Received: {type(error).__name__}: {error}"
        raise HeadraceError(f"{titled(bundle)}: {' '.join(what.split())[:600]}") from None
    if not checked.passed:
        received = f"{len(checked.mismatches)} others; {checked.mismatches[0]}"
        raise HeadraceError(
            f"{titled(bundle)}: expected the answers to its {checked.samples} samples. Received: {received}"
        )


def _in_process(scorer: Scores) -> Ask:
    def ask(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = json.loads(scorer.score(json.dumps({"instances": instances}).encode()).body)
        predictions: list[dict[str, Any]] = answer["predictions"]
        return predictions

    return ask


def _verify(ask: Ask, bundle: Bundle, tolerance: float, requests: int) -> Verification:
    instances, expected = bundle.samples()
    together = ask(instances)
    seconds = []
    alone: list[dict[str, Any]] = []
    for number in range(max(requests, len(instances))):
        start = time.perf_counter()
        answer = ask([instances[number % len(instances)]])
        seconds.append(time.perf_counter() - start)
        alone += answer if number < len(instances) else []
    unit = 1.0 if bundle.signature.classes else unit_of([answer["value"] for answer in expected])
    mismatches, largest = [], 0.0
    for answers, how in ((together, "together"), (alone, "alone")):
        for place, (want, got) in enumerate(zip(expected, answers, strict=True)):
            apart = difference(want, got, unit)
            largest = max(largest, apart)
            if not apart <= tolerance:
                texts = f"expected {json.dumps(want)}. Received: {json.dumps(got)}"
                mismatches.append(f"samples[{place}], {how}: {texts}")
    return Verification(
        samples=len(instances),
        largest_difference=largest,
        mismatches=tuple(mismatches),
        requests=len(seconds),
        p50_ms=1000 * quantile(seconds, 0.5),
        p99_ms=1000 * quantile(seconds, 0.99),
    )


def difference(want: Any, got: Any, unit: float = 1.0) -> float:
    """The largest difference between two predictions' numbers, in units; infinite where anything else differs."""
    if isinstance(want, dict) and isinstance(got, dict):
        if want.keys() != got.keys():
            return float("inf")
        return max((difference(want[key], got[key], unit) for key in want), default=0.0)
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (want, got))
    if not numbers:
        return 0.0 if want == got and type(want) is type(got) else float("inf")
    apart = abs(want - got) / max(unit, abs(want))
    return float(apart) if apart == apart else float("inf")


def quantile(values: list[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
