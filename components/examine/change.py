"""What statistics alone tell: the number of rows, the label's distribution, the newest row, columns of one value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dataset import SPLITS, names_its_row
from headrace.artifacts.errors import nearest_column
from headrace.artifacts.findings import DATASET, Finding
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.components.validate.spec import Freshness, ValidateSpec, age

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

_DAY = 86_400_000_000  # in microseconds
_AT_SOURCE = "Find out at the source why"

Feature = "statistics_pb2.FeatureNameStatistics"


def by_name(dataset: statistics_pb2.DatasetFeatureStatistics) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """The features of one set of statistics by their names."""
    return {feature.path.step[0]: feature for feature in dataset.features}


def rows_of(statistics: Statistics) -> int:
    """Rows of all splits."""
    return sum(int(statistics.split(name).num_examples) for name in SPLITS)


def find_volume(statistics: Statistics, before: Statistics, settings: ValidateSpec) -> Iterator[Finding]:
    """Far fewer rows than the champion was trained from, or far more."""
    check, now, then = settings.volume, rows_of(statistics), rows_of(before)
    if check.level == "off" or not then:
        return
    change = now / then - 1
    if -check.fell_by <= change <= check.rose_by:
        return
    expected = f"between {_times(then, 1 - check.fell_by)} and {_times(then, 1 + check.rose_by)} rows, "
    expected += f"as the champion was trained from {then:,}"
    todo = f"{_AT_SOURCE}, or change validate.volume"
    yield Finding("volume", check.level, DATASET, expected, f"{now:,} rows ({change:+.0%})", todo, [], now)


def _times(rows: int, factor: float) -> str:
    return f"{round(rows * factor):,}"


def find_label_change(
    statistics: Statistics, before: Statistics, label: str, settings: ValidateSpec
) -> Iterator[Finding]:
    """Another share of a class than in the champion's data; for a number, another mean."""
    check = settings.label_change
    now, then = by_name(statistics.split("train")).get(label), by_name(before.split("train")).get(label)
    if check.level == "off" or now is None or then is None or now.WhichOneof("stats") != then.WhichOneof("stats"):
        return
    expected = f"a label within {check.at_most:g} of what the champion was trained on"
    if now.WhichOneof("stats") == "string_stats":
        a, b = _shares(then), _shares(now)
        name = max(a | b, key=lambda value: (abs(b.get(value, 0) - a.get(value, 0)), value), default="")
        change = abs(b.get(name, 0) - a.get(name, 0))
        told = f"{name} in {b.get(name, 0):.1%} of the rows, and in {a.get(name, 0):.1%} then"
    else:
        spread = then.num_stats.std_dev
        change = abs(now.num_stats.mean - then.num_stats.mean) / spread if spread else 0.0
        told = f"a mean of {now.num_stats.mean:.6g}, and of {then.num_stats.mean:.6g} then: {change:.2g} deviations"
        expected = f"a mean within {check.at_most:g} standard deviations of what the champion was trained on"
    if change > check.at_most:
        todo = f"{_AT_SOURCE}, or change validate.label_change"
        yield Finding("label_change", check.level, label, expected, told, todo, [label])


def _shares(feature: statistics_pb2.FeatureNameStatistics) -> dict[str, float]:
    rows = feature.string_stats.common_stats.num_non_missing
    buckets = feature.string_stats.rank_histogram.buckets
    return {bucket.label: bucket.sample_count / rows for bucket in buckets} if rows else {}


Rows = Callable[[str, Callable[[Any], Any]], list[str]]  # a column and a mask of it to what its rows are called


def find_staleness(statistics: Statistics, settings: ValidateSpec, now: datetime, rows: Rows) -> Iterator[Finding]:
    """A newest row that is too old, or rows of the future.

    Args:
        statistics: of the snapshot.
        settings: with the column that tells the time, and the greatest age.
        now: with a time zone.
        rows: names the rows that a mask of a column marks.
    """
    check = settings.freshness
    if check is None or check.level == "off":
        return
    columns = {column.name: column for column in statistics.columns}
    column = columns.get(check.column)
    todo = "Name a column with a date or a time as validate.freshness.column"
    if column is None or not (column.type == "date32" or column.type.startswith("timestamp")):
        received = f"`{check.column}` of type {column.type}" if column else nearest_column(check.column, columns)
        yield Finding("freshness", check.level, check.column, "a column with a date or a time", received, todo)
        return
    ends = [
        stats.num_stats.max
        for name in SPLITS
        if (stats := by_name(statistics.split(name)).get(column.name)) and stats.num_stats.common_stats.num_non_missing
    ]
    if not ends:
        yield Finding("freshness", check.level, check.column, "a newest row", "no value in any row", todo)
        return
    yield from _judge_age(check, column, max(ends), now, rows)


def _judge_age(
    check: Freshness, column: DescribedColumn, newest: float, now: datetime, rows: Rows
) -> Iterator[Finding]:
    assert check.level != "off"
    is_date = column.type == "date32"
    microseconds = newest * _DAY if is_date else newest
    elapsed = timedelta(
        microseconds=(now - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1) - microseconds
    )
    told = _time_text(microseconds, is_date)
    if elapsed > age(check.max_age) + (timedelta(days=1) if is_date else timedelta()):  # a date lasts a day
        expected = f"a newest row not older than {check.max_age}"
        received = f"{told}, {_length(elapsed)} ago"
        todo = f"{_AT_SOURCE} nothing newer came, or raise validate.freshness.max_age"
        yield Finding("freshness", check.level, check.column, expected, received, todo, [check.column])
    if -elapsed > age(check.ahead):
        end = (now + age(check.ahead)).astimezone(UTC).replace(tzinfo=None)
        received = f"a newest row of {told}, {_length(-elapsed)} ahead"
        todo = "Correct the dates, or their time zone, or raise validate.freshness.ahead"
        shown = rows(check.column, lambda values: _after(values, end))
        expected = f"no row more than {check.ahead} in the future"
        yield Finding("freshness", check.level, check.column, expected, received, todo, [check.column], None, shown)


def _after(values: Any, end: datetime) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.greater(values.cast(pa.timestamp("us")), pa.scalar(end, pa.timestamp("us")))


def _time_text(microseconds: float, is_date: bool) -> str:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds:g} microseconds since 1970"
    return moment.date().isoformat() if is_date else moment.strftime("%Y-%m-%d %H:%M UTC")


def _length(length: timedelta) -> str:
    hours = length / timedelta(hours=1)
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"


def find_monotony(statistics: Statistics, settings: ValidateSpec, dropped: Collection[str]) -> Iterator[Finding]:
    """Features of one value only, and texts that name their row."""
    splits = [by_name(statistics.split(name)) for name in SPLITS]
    for column in statistics.columns:
        if column.role != "feature" or not column.described or column.name in dropped:
            continue
        seen = [features[column.name] for features in splits if column.name in features]
        if settings.constant.level != "off" and (value := constant_value(seen)) is not None:
            todo = "Put it under features.drop, or find out why it no longer varies"
            told = f"{value} in every row"
            yield Finding(
                "constant", settings.constant.level, column.name, "values that differ", told, todo, [column.name]
            )
        distinct = max((f.string_stats.unique for f in seen), default=0)
        values = max((f.string_stats.common_stats.num_non_missing for f in seen), default=0)
        if settings.near_unique.level != "off" and names_its_row(distinct, values):
            told = f"{distinct:,} different texts in {values:,} rows of train: it names the row"
            todo = "Put it under features.drop, or under features.text if it holds texts, or name it as data.id"
            expected = "a feature whose values repeat"
            yield Finding("near_unique", settings.near_unique.level, column.name, expected, told, todo, [column.name])


def constant_value(seen: list[statistics_pb2.FeatureNameStatistics]) -> str | None:
    """The one value that all splits have in every row; None where there are several, or some rows have none."""
    if not seen:
        return None
    common = [getattr(feature, feature.WhichOneof("stats")).common_stats for feature in seen]
    if not any(each.num_non_missing for each in common):
        return "no value"
    if any(each.num_missing for each in common):
        return None
    if all(feature.WhichOneof("stats") == "string_stats" for feature in seen):
        values = {v.value for feature in seen for v in feature.string_stats.top_values}
        single = all(feature.string_stats.unique == 1 for feature in seen) and len(values) == 1
        return repr(values.pop()) if single else None
    numbers = {end for feature in seen for end in (feature.num_stats.min, feature.num_stats.max)}
    return f"{numbers.pop():.6g}" if len(numbers) == 1 else None
