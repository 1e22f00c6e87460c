"""The page of the statistics, of messages made by hand."""

from __future__ import annotations

import math

from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.dataset import Column, DatasetInfo
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.components.statistics.report import render

SPLITS = ("train", "eval", "test")


def page(column: DescribedColumn, feature: statistics_pb2.FeatureNameStatistics, copies: int = 1) -> str:
    """The page of a snapshot with one column, `copies` times over, the same in each split."""
    columns = [DescribedColumn(f"{column.name}{i or ''}", column.type, column.role) for i in range(copies)]
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    for split in SPLITS:
        dataset = proto.datasets.add(name=split, num_examples=10)
        for described in columns:
            copy = dataset.features.add()
            copy.CopyFrom(feature)
            copy.path.step.append(described.name)
    info = DatasetInfo(
        task="regression",
        columns=[Column(c.name, c.type) for c in columns],
        label="y",
        rows=dict.fromkeys(SPLITS, 10),
    )
    return render(Statistics(proto, "sha256:x", columns), info)


def numeric(low: float, high: float, missing: int = 0) -> statistics_pb2.FeatureNameStatistics:
    feature = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.FLOAT)
    stats = feature.num_stats
    stats.common_stats.num_missing, stats.common_stats.num_non_missing = missing, 10 - missing
    stats.min, stats.max, stats.mean, stats.median = low, high, (low + high) / 2, low
    histogram = stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    histogram.buckets.add(low_value=low, high_value=high, sample_count=10 - missing)
    return feature


def test_a_number_shows_its_range_and_its_distribution() -> None:
    text = page(DescribedColumn("fare", "float64"), numeric(2.5, 60, missing=5))
    for part in ("fare", "float64", "50.0 %", "2.5", "60", "31.25", "<svg"):
        assert part in text


def test_dates_are_shown_as_dates() -> None:
    text = page(DescribedColumn("since", "date32"), numeric(19_000, 19_365))
    assert "2022-01-08" in text and "2023-01-08" in text
    assert "days since 2022-01-08" in text
    text = page(DescribedColumn("at", "timestamp[us]"), numeric(19_000 * 86_400e6, 19_365 * 86_400e6))
    assert "2022-01-08" in text and "days since 2022-01-08" in text


def test_a_constant_and_an_empty_column_are_called_that() -> None:
    assert "is 7 in every row that has a value" in page(DescribedColumn("x", "float64"), numeric(7, 7))
    assert "has no value in any row" in page(DescribedColumn("x", "float64"), numeric(7, 7, missing=10))


def test_infinite_values_do_not_break_the_page() -> None:
    feature = numeric(0, 1)
    feature.num_stats.max = feature.num_stats.mean = math.inf
    feature.num_stats.histograms[0].buckets.add(low_value=math.inf, high_value=math.inf, sample_count=1)
    text = page(DescribedColumn("x", "float64"), feature)
    assert "∞" in text and "<svg" in text


def test_text_shows_its_values_and_cannot_inject_markup() -> None:
    feature = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.STRING)
    feature.string_stats.common_stats.num_non_missing = 10
    feature.string_stats.unique = 2
    feature.string_stats.top_values.add(value="<script>alert(1)</script>", frequency=7)
    feature.string_stats.top_values.add(value="x" * 300, frequency=3)
    text = page(DescribedColumn("<b>plan</b>", "string"), feature)
    assert "<script>" not in text and "<b>" not in text
    assert "&lt;script&gt;" in text and "70.0 %" in text and "30.0 %" in text
    assert "x" * 300 not in text


def test_a_wide_table_folds_its_charts_away() -> None:
    assert "<details" not in page(DescribedColumn("x", "float64"), numeric(0, 1), copies=60)
    assert page(DescribedColumn("x", "float64"), numeric(0, 1), copies=500).count("<details") == 500


def test_an_id_is_marked_and_gets_no_chart() -> None:
    text = page(DescribedColumn("x", "float64", "id"), numeric(0, 1))
    assert ">id</span>" in text
    assert "<figure" not in text
