"""Slices in the data report: how many rows each has, what their label is, and in what they differ from the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from headrace.artifacts import report
from headrace.artifacts.dataset import SPLITS
from headrace.artifacts.report import Cell, Html
from headrace.artifacts.statistics import DescribedColumn, Slice, Statistics
from headrace.components.examine import drawing
from headrace.components.examine.change import by_name

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    Feature: TypeAlias = statistics_pb2.FeatureNameStatistics

_MOST_DIFFERENT = 3  # columns that are named of a slice
_NOTEWORTHY = 0.1  # difference of a share
_NOTEWORTHY_DEVIATIONS = 0.25
_MOST_LINES = 3_000  # of all columns' tables, so that a page loads


def slice_blocks(statistics: Statistics, label: str, positive: str | None = None) -> list[Html]:
    """A table for each column that the rows are sliced by; nothing where they are not.

    Args:
        statistics: with the slices.
        label: its column.
        positive: the label's class whose share is shown; by default the most frequent one's is, or the mean.
    """
    columns = list(dict.fromkeys(one.column for one in statistics.slices))
    return [_table(statistics, column, label, positive) for column in columns]


def slices_of(statistics: Statistics, columns: int) -> list[Slice]:
    """The slices of train to show with each column: the fewer, the more columns are shown."""
    slices = [one for one in statistics.slices if one.split == "train"]
    return slices[: max(4, _MOST_LINES // max(columns, 1))]


def column_slices(
    column: DescribedColumn, statistics: Statistics, features: dict[str, dict[str, Feature]], slices: list[Slice]
) -> Html | None:
    """One column's figures in each slice of train, folded away; None where there are no slices of it.

    Args:
        column: which one.
        statistics: with the slices.
        features: each slice's features by name.
        slices: those to show.
    """
    rows: list[list[Cell]] = []
    for one in slices:
        feature = features[one.name].get(column.name)
        if feature is None or one.column == column.name:
            continue
        share = drawing.missing(feature)
        lead = drawing.leading(column, feature)
        rows.append(
            [f"{one.column} = {_shown(statistics, one)}", int(drawing.common(feature).num_non_missing),
             report.percent(share) if share else "none", lead]
        )  # fmt: skip
    if not rows:
        return None
    return report.details(
        "In each slice of train", report.table(["Slice", "Values", "Missing", "Typical"], rows, "lrrl")
    )


def _table(statistics: Statistics, column: str, label: str, positive: str | None) -> Html:
    values = list(dict.fromkeys(one.value for one in statistics.slices if one.column == column))
    by_split = {(one.split, one.value): one for one in statistics.slices if one.column == column}
    rows: list[list[Cell]] = []
    for value in values:
        counts: list[Cell] = []
        for split in SPLITS:
            whole = int(statistics.split(split).num_examples) or 1
            found = by_split.get((split, value))
            count = int(statistics.split(found.name).num_examples) if found else 0
            counts.append(report.meter(count / whole, f"{count:,} · {report.percent(count / whole)}"))
        train = by_split.get(("train", value))
        shown = _shown(statistics, train) if train else str(value)
        rows.append([shown, *counts, *(_of_train(statistics, train, label, positive) if train else ("–", "–"))])
    caption = f"Rows by {column}"
    return report.table([column, *SPLITS, label, "Differs from all rows of train in"], rows, "llllll", caption)


def _shown(statistics: Statistics, one: Slice) -> str:
    kind = next((column.type for column in statistics.columns if column.name == one.column), "")
    return str(bool(one.value)).lower() if kind == "bool" else str(one.value)


def _of_train(statistics: Statistics, one: Slice, label: str, positive: str | None) -> tuple[Cell, Cell]:
    """The label's typical value in a slice, and the columns in which it differs most from all rows."""
    inside, outside = by_name(statistics.split(one.name)), by_name(statistics.split("train"))
    columns = {column.name: column for column in statistics.columns}
    typical: Cell = "–"
    if label in inside and label in columns:
        typical = drawing.leading(columns[label], inside[label])
        if positive is not None and drawing.is_text(inside[label]):
            share = drawing.value_shares(columns[label], inside[label]).get(positive, 0.0)
            typical = report.meter(share, f"{drawing.shortened(positive)} · {report.percent(share)}")
    found = []
    for name, feature in inside.items():
        column = columns.get(name)
        if column is None or column.role != "feature" or name == one.column or name not in outside:
            continue
        if (difference := _difference(column, feature, outside[name])) is not None:
            found.append((difference[0], name, difference[1]))
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    told = "; ".join(f"{name}: {text}" for _, name, text in found[:_MOST_DIFFERENT])
    return typical, told or Html('<span class="muted">nothing much</span>')


def _difference(column: DescribedColumn, inside: Feature, outside: Feature) -> tuple[float, str] | None:
    """How far a slice's column is from all rows', by its own measure of what is noteworthy; None where it is not."""
    if inside.WhichOneof("stats") != outside.WhichOneof("stats"):
        return None
    gap = abs(drawing.missing(inside) - drawing.missing(outside))
    told = (
        gap / _NOTEWORTHY,
        f"missing in {report.percent(drawing.missing(inside))}, of all {report.percent(drawing.missing(outside))}",
    )
    if drawing.is_text(inside):
        shares = _change_of_shares(column, inside, outside)
    else:
        shares = _change_of_mean(column, inside, outside)
    strongest = max([told, *([shares] if shares else [])])
    return strongest if strongest[0] > 1 else None


def _change_of_shares(column: DescribedColumn, inside: Feature, outside: Feature) -> tuple[float, str] | None:
    if drawing.row_naming(inside) or drawing.row_naming(outside):
        return None
    here, there = drawing.value_shares(column, inside), drawing.value_shares(column, outside)
    if not here or not there:
        return None
    value = max(here | there, key=lambda one: (abs(here.get(one, 0) - there.get(one, 0)), one))
    a, b = here.get(value, 0.0), there.get(value, 0.0)
    return abs(a - b) / _NOTEWORTHY, f"{drawing.shortened(value)} {report.percent(a)}, of all {report.percent(b)}"


def _change_of_mean(column: DescribedColumn, inside: Feature, outside: Feature) -> tuple[float, str] | None:
    a, b = inside.num_stats, outside.num_stats
    if not (a.common_stats.num_non_missing and b.std_dev > 0):
        return None
    if column.type == "bool":
        return abs(a.mean - b.mean) / _NOTEWORTHY, f"{report.percent(a.mean)} true, of all {report.percent(b.mean)}"
    told = f"mean {drawing.write_value(column, a.mean)}, of all {drawing.write_value(column, b.mean)}"
    return abs(a.mean - b.mean) / b.std_dev / _NOTEWORTHY_DEVIATIONS, told
