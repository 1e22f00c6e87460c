"""One column of the data report, of messages made by hand."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.statistics import DescribedColumn
from headrace.components.examine import drawing
from headrace.components.examine.drawing import distribution, figures, spark, typical

Feature = statistics_pb2.FeatureNameStatistics


def page(column: DescribedColumn, feature: Feature, **others: Feature) -> str:
    """All that is drawn of a column, the same in train and eval."""
    seen = {"train": feature, "eval": feature, **others}
    return " ".join(
        [spark(column, feature), typical(column, feature), distribution(column, seen), figures(column, seen)]
    )


def numeric(low: float, high: float, missing: int = 0) -> Feature:
    feature = Feature(type=Feature.FLOAT)
    stats = feature.num_stats
    stats.common_stats.num_missing, stats.common_stats.num_non_missing = missing, 10 - missing
    stats.min, stats.max, stats.mean, stats.median = low, high, (low + high) / 2, low
    histogram = stats.histograms.add(type=statistics_pb2.Histogram.STANDARD)
    histogram.buckets.add(low_value=low, high_value=high, sample_count=10 - missing)
    return feature


def text(*counts: tuple[str, int]) -> Feature:
    feature = Feature(type=Feature.STRING)
    feature.string_stats.common_stats.num_non_missing = sum(count for _, count in counts)
    feature.string_stats.unique = len(counts)
    for value, count in counts:
        feature.string_stats.top_values.add(value=value, frequency=count)
    return feature


def test_a_number_shows_its_range_and_its_distribution() -> None:
    drawn = page(DescribedColumn("fare", "float64"), numeric(2.5, 60, missing=5))
    for part in ("fare", "50.0 %", "2.5", "60", "31.25", "<svg", "median 2.5"):
        assert part in drawn


def test_dates_are_shown_as_dates() -> None:
    drawn = page(DescribedColumn("since", "date32"), numeric(19_000, 19_365))
    assert "2022-01-08" in drawn and "2023-01-08" in drawn
    assert "days since 2022-01-08" in drawn
    drawn = page(DescribedColumn("at", "timestamp[us]"), numeric(19_000 * 86_400e6, 19_365 * 86_400e6))
    assert "2022-01-08" in drawn and "days since 2022-01-08" in drawn


def test_a_constant_and_an_empty_column_are_called_that() -> None:
    assert "is 7 in every row that has a value" in page(DescribedColumn("x", "float64"), numeric(7, 7))
    assert "no value in any row" in page(DescribedColumn("x", "float64"), numeric(7, 7, missing=10))


def test_infinite_values_do_not_break_it() -> None:
    feature = numeric(0, 1)
    feature.num_stats.max = feature.num_stats.mean = math.inf
    feature.num_stats.histograms[0].buckets.add(low_value=math.inf, high_value=math.inf, sample_count=1)
    drawn = page(DescribedColumn("x", "float64"), feature)
    assert "∞" in drawn and "<svg" in drawn


def test_text_shows_its_values_and_cannot_inject_markup() -> None:
    drawn = page(DescribedColumn("<b>plan</b>", "string"), text(("<script>alert(1)</script>", 7), ("x" * 300, 3)))
    assert "<script>" not in drawn and "<b>" not in drawn
    assert "&lt;script&gt;" in drawn and "70.0 %" in drawn and "30.0 %" in drawn
    assert "x" * 300 not in drawn


def test_a_text_that_names_its_row_is_not_shown() -> None:
    drawn = page(DescribedColumn("mail", "string"), text(*((f"{i}@example.com", 1) for i in range(200))))
    assert "@example.com" not in drawn
    assert "a different value in nearly every row" in drawn


def test_a_column_that_was_a_number_and_is_a_text_shows_both() -> None:
    drawn = page(DescribedColumn("x", "string"), text(("a", 9), ("b", 1)), champion=numeric(0, 1))
    assert "champion" in drawn and "90.0 %" in drawn


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=12, unique=True).map(sorted),
    st.lists(st.integers(-1200, 1200), min_size=2, max_size=12).map(sorted),
    st.data(),
)
def test_counts_in_other_bins_are_interpolated_as_numpy_does(edges, bins, data):
    counts = data.draw(st.lists(st.integers(0, 99), min_size=len(edges) - 1, max_size=len(edges) - 1))
    expected = np.diff(np.interp(bins, edges, [0.0, *np.cumsum(counts)]))
    np.testing.assert_allclose(drawing._rebinned((edges, counts), bins), expected, atol=1e-9)


def test_buckets_without_width_take_no_room():
    assert drawing._rebinned(([0.0, 1.0, 1.0, 2.0], [4.0, 2.0, 4.0]), [0.0, 0.5, 2.0]) == [2.0, 8.0]
