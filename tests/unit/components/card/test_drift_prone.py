"""Which features moved between train and the later test split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.signature import Input
from headrace.artifacts.statistics import Statistics
from headrace.components.card.drift import moved


def described(train: Mapping[str, Any], test: Mapping[str, Any]) -> Statistics:
    """Statistics of columns: a list of numbers, or value -> count."""
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    for split, columns in (("train", train), ("test", test)):
        dataset = proto.datasets.add(name=split)
        for name, values in columns.items():
            feature = dataset.features.add()
            feature.path.step.append(name)
            if isinstance(values, Mapping):
                feature.string_stats.common_stats.num_non_missing = sum(values.values())
                for label, count in values.items():
                    feature.string_stats.rank_histogram.buckets.add(label=label, sample_count=count)
            else:
                _histogram(feature.num_stats, values)
    return Statistics(proto, "sha256:data")


def _histogram(stats: Any, values: list[float]) -> None:
    found = stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    counts, edges = np.histogram(values, bins=10)
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        found.buckets.add(low_value=low, high_value=high, sample_count=count)


def inputs(*names: str) -> list[Input]:
    return [Input(name, "number") for name in names]


def test_the_change_of_a_value_s_share() -> None:
    statistics = described({"plan": {"a": 50, "b": 50}}, {"plan": {"a": 20, "c": 80}})
    (found,) = moved(statistics, [Input("plan", "category")], {})
    assert found.distance == pytest.approx(0.8) and found.measure == "largest change of a value's share"


def test_what_stayed_is_not_named() -> None:
    same = {"plan": {"a": 50, "b": 50}, "hours": [float(n) for n in range(100)]}
    assert moved(described(same, same), [Input("plan", "category"), *inputs("hours")], {}) == []


def test_the_divergence_is_scipy_s() -> None:
    edges = [0.0, 1.0, 2.0, 3.0, 4.0]
    masses = {"train": [0.7, 0.2, 0.1, 0.0], "test": [0.0, 0.1, 0.1, 0.8]}
    statistics = described({"hours": [0.0]}, {"hours": [0.0]})
    for dataset in statistics.proto.datasets:
        (histogram,) = dataset.features[0].num_stats.histograms
        del histogram.buckets[:]
        for low, high, mass in zip(edges[:-1], edges[1:], masses[dataset.name], strict=True):
            histogram.buckets.add(low_value=low, high_value=high, sample_count=mass * 1000)
    (found,) = moved(statistics, inputs("hours"), {})
    assert found.distance == pytest.approx(jensenshannon(masses["train"], masses["test"], base=2) ** 2)


def test_buckets_that_overlap_are_cut_where_both_have_edges() -> None:
    train, test = [float(n) for n in range(101)], [float(n) for n in range(50, 151)]
    (found,) = moved(described({"hours": train}, {"hours": test}), inputs("hours"), {})
    # Two uniform distributions that share half of their range: half of each lies where the other has none.
    assert found.distance == pytest.approx(0.5, abs=0.01)


def test_one_value_alone_is_at_a_distance_of_one_from_another() -> None:
    statistics = described({"hours": [3.0]}, {"hours": [3.0]})
    for place, dataset in enumerate(statistics.proto.datasets):
        (histogram,) = dataset.features[0].num_stats.histograms
        del histogram.buckets[:]
        histogram.buckets.add(low_value=place, high_value=place, sample_count=10)
    (found,) = moved(statistics, inputs("hours"), {})
    assert math.isclose(found.distance, 1.0)


def test_what_matters_most_comes_first_and_dates_are_left_out() -> None:
    before, after = {"a": 9, "b": 1}, {"a": 1, "b": 9}
    statistics = described(dict.fromkeys("xyd", before), dict.fromkeys("xyd", after))
    wanted = [Input("x", "category"), Input("y", "category"), Input("d", "date")]
    assert [item.feature for item in moved(statistics, wanted, {"y": 0.5, "x": 0.1})] == ["y", "x"]


def test_a_column_without_any_value_is_no_distance() -> None:
    statistics = described({"hours": [1.0]}, {"hours": [1.0]})
    del statistics.proto.datasets[0].features[0].num_stats.histograms[:]
    assert moved(statistics, inputs("hours"), {}) == []
