"""The page of the statistics: all columns at a glance, then each split against split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headrace.artifacts import report
from headrace.artifacts.dataset import SPLITS, DatasetInfo, names_its_row
from headrace.artifacts.report import Html
from headrace.artifacts.statistics import DescribedColumn, Statistics

if TYPE_CHECKING:
    import numpy.typing as npt
    from tensorflow_metadata.proto.v0 import statistics_pb2

    Edges = npt.NDArray[np.float64]

_MOST_OPEN = 60  # with more columns than this the charts are folded away
_TOP = 8
_BINS = 10  # what TFDV's histograms resolve
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS_A_DAY = 86_400e6


def write_report(path: Path | str, statistics: Statistics, info: DatasetInfo) -> None:
    """Writes the page as one self-contained HTML file."""
    report.write(path, render(statistics, info))


def render(statistics: Statistics, info: DatasetInfo) -> str:
    """The page as HTML."""
    described = [column for column in statistics.columns if column.described]
    features = {name: _by_name(statistics.split(name)) for name in SPLITS}
    rows = [_row(column, features) for column in described]
    charts = {column.name: _column_block(column, features) for column in described if column.role != "id"}
    if len(charts) > _MOST_OPEN:
        shown = [report.details(name, chart) for name, chart in charts.items()]
    else:
        shown = [report.grid(*charts.values())]
    head = ["Column", "Type", "Train", "Missing", "Distinct", "Min", "Median", "Mean", "Max"]
    sections = [
        report.section("Splits", report.tiles(_split_tiles(statistics, info))),
        report.section("Columns", report.table(head, rows, align="llllrrrrr"), intro="Figures of the train split."),
        report.section("Distributions", *shown, intro="As shares of each split, so that splits compare."),
    ]
    omitted = [column.name for column in statistics.columns if not column.described]
    if omitted:
        sections.append(
            report.section(
                "Not described",
                report.bullets(omitted),
                intro="TensorFlow Data Validation has no statistics for these columns' types.",
            )
        )
    return report.page(
        "Statistics",
        f"{len(statistics.columns)} columns, {sum(info.rows.values()):,} rows",
        sections,
        facts=[("Data version", statistics.dataset), ("Source", str(info.source.get("uri", "–")))],
    )


Features = dict[str, dict[str, "statistics_pb2.FeatureNameStatistics"]]


def _by_name(
    split: statistics_pb2.DatasetFeatureStatistics,
) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    return {feature.path.step[0]: feature for feature in split.features}


def _split_tiles(statistics: Statistics, info: DatasetInfo) -> list[tuple[str, str, str]]:
    total = sum(info.rows.values()) or 1
    return [
        (name, report.count(statistics.split(name).num_examples), report.percent(info.rows[name] / total))
        for name in SPLITS
    ]


def _row(column: DescribedColumn, features: Features) -> list[str | int | Html | None]:
    feature = features["train"][column.name]
    missing = _missing(feature)
    name = Html(
        f"{report.markup(column.name)} {report.badge(column.role, 'info')}"
        if column.role != "feature"
        else report.markup(column.name)
    )
    alert = report.meter(missing, kind="bad" if missing == 1 else "warn" if missing > 0.5 else "neutral")
    return [name, column.type, _spark(feature, column), alert, *_figures(column, feature)]


def _missing(feature: statistics_pb2.FeatureNameStatistics) -> float:
    common = _common(feature)
    total = common.num_missing + common.num_non_missing
    return common.num_missing / total if total else 0.0


def _common(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def _figures(column: DescribedColumn, feature: statistics_pb2.FeatureNameStatistics) -> list[str | None]:
    """Distinct, min, median, mean and max as text; None where a column has none."""
    if not _common(feature).num_non_missing:
        return [None] * 5
    if feature.WhichOneof("stats") == "string_stats":
        distinct = feature.string_stats.unique
        return [report.count(distinct) if distinct else None, None, None, None, None]
    stats = feature.num_stats
    if column.type == "bool":
        return [
            "2" if stats.min != stats.max else "1",
            None,
            None,
            report.percent(stats.mean) + " true",
            None,
        ]
    values = [stats.min, stats.median, stats.mean, stats.max]
    return [None, *(_write(column, value) for value in values)]


def _write(column: DescribedColumn, value: float) -> str:
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


def _histogram(feature: statistics_pb2.FeatureNameStatistics) -> tuple[list[float], list[float]]:
    """Edges (n + 1) and counts (n) of TFDV's equal-width histogram, without the buckets at infinity."""
    for histogram in feature.num_stats.histograms:
        if histogram.type == histogram.STANDARD:
            finite = [b for b in histogram.buckets if math.isfinite(b.low_value) and math.isfinite(b.high_value)]
            edges = [bucket.low_value for bucket in finite] + [bucket.high_value for bucket in finite[-1:]]
            return edges, [bucket.sample_count for bucket in finite]
    return [], []


def _names_its_row(feature: statistics_pb2.FeatureNameStatistics) -> bool:
    """Whether a text identifies rows, as addresses and e-mails do: a share of them tells nothing, and is private."""
    return names_its_row(feature.string_stats.unique, _common(feature).num_non_missing)


def _spark(feature: statistics_pb2.FeatureNameStatistics, column: DescribedColumn) -> Html | None:
    if _names_its_row(feature):
        return None
    if feature.WhichOneof("stats") == "string_stats":
        counts: Sequence[float] = [value.frequency for value in feature.string_stats.top_values]
    else:
        counts = _histogram(feature)[1]
    return report.mini_bars(counts, f"distribution of {column.name}") if counts else None


def _column_block(column: DescribedColumn, features: Features) -> Html:
    seen = {split: features[split][column.name] for split in SPLITS}
    present = {split: feature for split, feature in seen.items() if _common(feature).num_non_missing}
    if not present:
        return report.callout("has no value in any row.", "warn", title=column.name)
    if _names_its_row(seen["train"]):
        return report.callout("has a different value in nearly every row; none of them is shown.", title=column.name)
    if seen["train"].WhichOneof("stats") == "string_stats" or column.type == "bool":
        return _shares(column, seen)
    series = {split: _histogram(feature) for split, feature in present.items()}
    series = {split: pair for split, pair in series.items() if pair[1]}
    ends = [edge for edges, _ in series.values() for edge in edges]
    if not ends or min(ends) == max(ends):
        value = _write(column, ends[0]) if ends else "not finite"
        return report.callout(f"is {value} in every row that has a value.", "warn", title=column.name)
    return _distribution(column, series, np.linspace(min(ends), max(ends), _BINS + 1))


def _distribution(column: DescribedColumn, series: dict[str, tuple[list[float], list[float]]], bins: Edges) -> Html:
    """The splits' histograms over common bins; dates in days since the earliest, which people can read."""
    counts = {split: _rebinned(pair, bins) for split, pair in series.items()}
    days = _days(column, 1.0)
    label, edges = "", bins
    if days is not None:
        edges = (bins - bins[0]) * days
        label = f"days since {_write(column, float(bins[0]))}"
    return report.histogram({s: (edges.tolist(), c) for s, c in counts.items()}, _title(column), x_label=label)


def _rebinned(histogram: tuple[list[float], list[float]], bins: Edges) -> list[float]:
    """Counts in other bins, the values taken as evenly spread within a bucket."""
    edges, counts = histogram
    below = np.interp(bins, edges, np.concatenate([[0.0], np.cumsum(counts)]))
    return [float(count) for count in np.diff(below)]


def _title(column: DescribedColumn) -> str:
    return column.name if column.role == "feature" else f"{column.name} ({column.role})"


def _shares(column: DescribedColumn, seen: dict[str, statistics_pb2.FeatureNameStatistics]) -> Html:
    """The most frequent values with their share in each split, as a table."""
    shares = {split: _value_shares(column, feature) for split, feature in seen.items()}
    leading = list(dict.fromkeys(value for split in SPLITS for value in list(shares[split])[:_TOP]))[:_TOP]
    rows = [
        [
            value if len(value) <= 40 else value[:39] + "…",
            *(report.meter(shares[split].get(value, 0.0)) for split in SPLITS),
        ]
        for value in leading
    ]
    return report.table(["Value", *SPLITS], rows, align="llll", caption=_title(column))


def _value_shares(column: DescribedColumn, feature: statistics_pb2.FeatureNameStatistics) -> dict[str, float]:
    """Value to share of the present values, the most frequent first."""
    present = _common(feature).num_non_missing
    if not present:
        return {}
    if column.type == "bool":
        mean = feature.num_stats.mean
        return {"true": mean, "false": 1 - mean}
    return {value.value: value.frequency / present for value in feature.string_stats.top_values}
