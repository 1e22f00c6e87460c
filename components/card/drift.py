"""Which features are prone to drift: what moved while the data was collected, what moves with time by its nature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.artifacts.signature import Input

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from headrace.artifacts.statistics import Statistics

# The same distances, and the same thresholds, as the data report's checks for drift between runs.
CATEGORIES, NUMBERS = 0.1, 0.2


@dataclass(frozen=True)
class Moved:
    """A feature whose distribution is another in test, the later rows, than in train."""

    feature: str
    distance: float
    measure: str  # how it was measured, in words


def moved(statistics: Statistics, inputs: Sequence[Input], share: Mapping[str, float]) -> list[Moved]:
    """The inputs that moved between train and test, where rows were split by time; what matters most first.

    Args:
        statistics: of the snapshot that was trained on.
        inputs: the model's inputs. Dates always move; they are not compared.
        share: feature -> its share in what the model's answers depend on; those that it does not use come last.
    """
    train, test = (_features(statistics, split) for split in ("train", "test"))
    found = []
    for item in inputs:
        if item.type == "date" or item.name not in train or item.name not in test:
            continue
        result = _distance(item.name, train[item.name], test[item.name])
        if result is not None:
            found.append(result)
    return sorted(found, key=lambda one: (-share.get(one.feature, 0.0), -one.distance))


def _features(statistics: Statistics, split: str) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    return {feature.path.step[0]: feature for feature in statistics.split(split).features}


def _distance(
    name: str, a: statistics_pb2.FeatureNameStatistics, b: statistics_pb2.FeatureNameStatistics
) -> Moved | None:
    kind = a.WhichOneof("stats")
    if kind != b.WhichOneof("stats"):
        return None
    if kind == "string_stats":
        largest = _largest_change(_shares(a.string_stats), _shares(b.string_stats))
        return Moved(name, largest, "largest change of a value's share") if largest > CATEGORIES else None
    divergence = _divergence(_histogram(a.num_stats), _histogram(b.num_stats))
    return Moved(name, divergence, "Jensen-Shannon divergence") if divergence > NUMBERS else None


def _shares(stats: statistics_pb2.StringStatistics) -> dict[str, float]:
    total = stats.common_stats.num_non_missing
    return {bucket.label: bucket.sample_count / total for bucket in stats.rank_histogram.buckets} if total else {}


def _largest_change(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    return max((abs(a.get(value, 0.0) - b.get(value, 0.0)) for value in {*a, *b}), default=0.0)


def _histogram(stats: statistics_pb2.NumericStatistics) -> list[tuple[float, float, float]]:
    """(from, to, count) of the histogram with buckets of equal width."""
    standard = [one for one in stats.histograms if one.type == one.STANDARD]
    buckets = standard[0].buckets if standard else ()
    return [(bucket.low_value, bucket.high_value, bucket.sample_count) for bucket in buckets]


def _divergence(a: list[tuple[float, float, float]], b: list[tuple[float, float, float]]) -> float:
    """Jensen-Shannon divergence in bits (Lin 1991), from 0 to 1, over the edges of both; 0 where one has no values.

    Within a bucket, values are taken to be spread evenly.
    """
    edges = np.unique([edge for low, high, _ in (*a, *b) for edge in (low, high)])
    p, q = _masses(a, edges), _masses(b, edges)
    if p is None or q is None:
        return 0.0
    middle = (p + q) / 2
    return float(_entropy(middle) - (_entropy(p) + _entropy(q)) / 2)


def _masses(buckets: list[tuple[float, float, float]], edges: np.ndarray) -> np.ndarray | None:
    """The share of values at each edge, and in each cell between two edges; None where there is no value."""
    points, cells = np.zeros(len(edges)), np.zeros(max(len(edges) - 1, 0))
    for low, high, count in buckets:
        first, last = np.searchsorted(edges, (low, high))
        if first == last:
            points[first] += count
        else:
            cells[first:last] += count * np.diff(edges[first : last + 1]) / (high - low)
    masses = np.concatenate([points, cells])
    total = masses.sum()
    return masses / total if total > 0 else None


def _entropy(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())
