"""One column of a data report: its distributions side by side, its values, its figures."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias

from headrace.artifacts import report
from headrace.artifacts.dataset import names_its_row
from headrace.artifacts.report import Html
from headrace.artifacts.statistics import DescribedColumn

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    Feature: TypeAlias = statistics_pb2.FeatureNameStatistics

TOP = 8
BINS = 10  # what TFDV's histograms resolve
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS_A_DAY = 86_400e6
_WIDEST = 40  # characters of a value that are shown


def spark(column: DescribedColumn, feature: Feature) -> Html | str:
    """The distribution the size of a word."""
    if row_naming(feature):
        return ""
    if is_text(feature):
        counts: Sequence[float] = [value.frequency for value in feature.string_stats.top_values][:20]
    else:
        counts = _histogram(feature)[1]
    return report.mini_bars(counts, f"distribution of {column.name}") if counts else ""


def distribution(column: DescribedColumn, seen: Mapping[str, Feature]) -> Html:
    """The splits, and the earlier data, against each other: a chart for numbers, shares for values.

    Args:
        column: which one.
        seen: by the name of the split, in the order in which they are drawn.
    """
    present = {name: feature for name, feature in seen.items() if common(feature).num_non_missing}
    if not present:
        return report.callout("There is no value in any row.", "warn")
    if any(row_naming(feature) for feature in present.values()):
        return report.callout("There is a different value in nearly every row; none of them is shown.")
    if column.type == "bool" or any(is_text(feature) for feature in present.values()):
        return _shares(column, seen)
    series = {name: pair for name, feature in present.items() if (pair := _histogram(feature))[1]}
    ends = [edge for edges, _ in series.values() for edge in edges]
    if not ends or min(ends) == max(ends):
        value = write_value(column, ends[0]) if ends else "not finite"
        return report.callout(f"It is {value} in every row that has a value.", "warn")
    low, high = min(ends), max(ends)
    return _chart(column, series, [*(low + (high - low) * i / BINS for i in range(BINS)), high])


def figures(column: DescribedColumn, seen: Mapping[str, Feature]) -> Html:
    """A table with a line per split: how many values there are, and what is typical of them."""
    texts = any(is_text(feature) for feature in seen.values())
    head = ["", "Values", "Missing", "Distinct", "Characters"]
    if not texts:
        head = ["", "Values", "Missing", "Min", "Median", "Mean", "Max", "Zeros"]
    rows = [[name, *_line(column, feature, texts)] for name, feature in seen.items()]
    return report.table(head, rows, align="l" + "r" * (len(head) - 1))


def _line(column: DescribedColumn, feature: Feature, texts: bool) -> list[str]:
    number = int(common(feature).num_non_missing)
    start = [report.count(number), report.percent(missing(feature))]
    if texts:
        if not is_text(feature):
            return [*start, "–", "–"]
        distinct = feature.string_stats.unique
        return [*start, report.count(distinct) if distinct else "–", report.number(feature.string_stats.avg_length, 3)]
    if not number:
        return [*start, *["–"] * 5]
    stats = feature.num_stats
    values = [write_value(column, value) for value in (stats.min, stats.median, stats.mean, stats.max)]
    return [*start, *values, report.count(stats.num_zeros)]


def typical(column: DescribedColumn, feature: Feature) -> str:
    """What is typical of a column, in a word: the median, the share of true, the number of values."""
    if not common(feature).num_non_missing:
        return "no value"
    if is_text(feature):
        distinct = feature.string_stats.unique
        return f"{report.count(distinct)} different" if distinct else "text"
    if column.type == "bool":
        return f"{report.percent(feature.num_stats.mean)} true"
    if feature.num_stats.min == feature.num_stats.max:
        return f"always {write_value(column, feature.num_stats.min)}"
    return f"median {write_value(column, feature.num_stats.median)}"


def leading(column: DescribedColumn, feature: Feature) -> str:
    """What is typical of a part of the rows: the mean, the share of true, the most frequent value with its share."""
    if not common(feature).num_non_missing:
        return "no value"
    if not is_text(feature):
        mean = feature.num_stats.mean
        return f"{report.percent(mean)} true" if column.type == "bool" else f"mean {write_value(column, mean)}"
    shares = {} if row_naming(feature) else value_shares(column, feature)
    if not shares:
        return typical(column, feature)
    first = next(iter(shares))
    return f"{shortened(first)} {report.percent(shares[first])}"


def missing(feature: Feature) -> float:
    """Share of the rows without a value."""
    total = common(feature).num_missing + common(feature).num_non_missing
    return common(feature).num_missing / total if total else 0.0


def common(feature: Feature) -> statistics_pb2.CommonStatistics:
    """The counts that every kind of feature has."""
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def is_text(feature: Feature) -> bool:
    """Whether the values are described as texts."""
    return bool(feature.WhichOneof("stats") == "string_stats")


def row_naming(feature: Feature) -> bool:
    """Whether a text identifies rows, as addresses and e-mails do: a share of them tells nothing, and is private."""
    return is_text(feature) and names_its_row(feature.string_stats.unique, common(feature).num_non_missing)


def write_value(column: DescribedColumn, value: float) -> str:
    """A value as people write it: dates as dates."""
    days = _days(column, value)
    if days is None:
        return report.number(value)
    try:
        return (_EPOCH + timedelta(days=days)).date().isoformat()
    except OverflowError:  # beyond the year 9999
        return report.number(value)


def _days(column: DescribedColumn, value: float) -> float | None:
    if column.type == "date32":
        return value
    return value / _MICROSECONDS_A_DAY if column.type.startswith("timestamp") else None


def _histogram(feature: Feature) -> tuple[list[float], list[float]]:
    """Edges (n + 1) and counts (n) of TFDV's equal-width histogram, without the buckets at infinity."""
    for histogram in feature.num_stats.histograms:
        if histogram.type == histogram.STANDARD:
            finite = [b for b in histogram.buckets if math.isfinite(b.low_value) and math.isfinite(b.high_value)]
            edges = [bucket.low_value for bucket in finite] + [bucket.high_value for bucket in finite[-1:]]
            return edges, [bucket.sample_count for bucket in finite]
    return [], []


def _chart(column: DescribedColumn, series: dict[str, tuple[list[float], list[float]]], bins: list[float]) -> Html:
    """Histograms over common bins; dates in days since the earliest, which people can read."""
    counts = {name: _rebinned(pair, bins) for name, pair in series.items()}
    days = _days(column, 1.0)
    label, edges = "", bins
    if days is not None:
        edges = [(edge - bins[0]) * days for edge in bins]
        label = f"days since {write_value(column, bins[0])}"
    return report.histogram({s: (edges, c) for s, c in counts.items()}, column.name, x_label=label)


def _rebinned(histogram: tuple[list[float], list[float]], bins: list[float]) -> list[float]:
    """Counts in other bins, the values taken as evenly spread within a bucket."""
    edges, counts = histogram
    below = [0.0, *accumulate(counts)]

    def rows_below(value: float) -> float:
        after = bisect_right(edges, value)
        if after in (0, len(edges)):
            return below[-1] if after else 0.0
        before, width = after - 1, edges[after] - edges[after - 1]
        return below[before] + counts[before] * (value - edges[before]) / width

    return [more - less for less, more in pairwise(map(rows_below, bins))]


def _shares(column: DescribedColumn, seen: Mapping[str, Feature]) -> Html:
    """The most frequent values with their share in each split, as a table."""
    shares = {name: value_shares(column, feature) for name, feature in seen.items()}
    leading = list(dict.fromkeys(value for each in shares.values() for value in list(each)[:TOP]))[:TOP]
    rows = [
        [
            shortened(value),
            *(report.meter(each.get(value, 0.0)) for each in shares.values()),
        ]
        for value in leading
    ]
    return report.table(["Value", *seen], rows, align="l" * (len(seen) + 1))


def shortened(value: str) -> str:
    """A value, cut where it is long."""
    return value if len(value) <= _WIDEST else value[: _WIDEST - 1] + "…"


def value_shares(column: DescribedColumn, feature: Feature) -> dict[str, float]:
    """Value to share of the present values, the most frequent first."""
    present = common(feature).num_non_missing
    if not present:
        return {}
    if column.type == "bool" and not is_text(feature):
        mean = feature.num_stats.mean
        return {"true": mean, "false": 1 - mean}
    return {value.value: value.frequency / present for value in feature.string_stats.top_values}
