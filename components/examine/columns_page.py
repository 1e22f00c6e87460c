"""The list of columns in the data report: a line each, which unfolds to distributions, figures and findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from headrace.artifacts import report
from headrace.artifacts.findings import Finding
from headrace.artifacts.report import Cell, Entry, Html, Kind
from headrace.artifacts.statistics import DescribedColumn
from headrace.components.examine import drawing
from headrace.components.examine.change import by_name
from headrace.components.examine.slices_page import column_slices, slices_of
from headrace.components.examine.weighted import as_weighted
from headrace.components.examine.words import SCHEMA, expectation

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from headrace.components.examine.report import Examined

CHAMPION = "champion's"
LOGGED = "logged"
WEIGHTED = "train, weighted"
_MOST_CHARTS = 250  # columns: beyond, only those with findings and the strongest have charts, so that a page loads
_MOST_OPEN = 12


def anchor_of(index: int) -> str:
    """The anchor of a column: names may hold anything."""
    return f"column-{index}"


def column_list(examined: Examined) -> list[Html]:
    """All columns of the snapshot, to search in."""
    findings: dict[str, list[Finding]] = {}
    for finding in examined.findings.found:
        for name in finding.columns:
            findings.setdefault(name, []).append(finding)
    features = {name: by_name(examined.statistics.split(name)) for name in ("train", "eval", "test")}
    if examined.baseline.statistics is not None:
        features[CHAMPION] = by_name(examined.baseline.statistics.split("train"))
    if examined.requests is not None:
        features[LOGGED] = by_name(examined.requests)
    drawn = _drawn(examined, set(findings))
    opened = set(list(findings)[:_MOST_OPEN])
    slices = slices_of(examined.statistics, len(drawn))
    sliced = {one.name: by_name(examined.statistics.split(one.name)) for one in slices}
    rows = []
    for index, column in enumerate(examined.statistics.columns):
        seen = {name: each[column.name] for name, each in features.items() if column.name in each}
        entry = _entry(
            index, column, examined, seen, findings.get(column.name, []), column.name in drawn, column.name in opened
        )
        if column.name in drawn and (table := column_slices(column, examined.statistics, sliced, slices)):
            entry = replace(entry, blocks=[*entry.blocks, table])
        rows.append(entry)
    head = ["Column", "Train", "Typical", "Missing", _power_title(examined)]
    head += ["Drift"] * (examined.baseline.statistics is not None) + ["Skew"] * (examined.requests is not None)
    blocks = [report.entries("column-list", head, rows, "name, type, error, warning")]
    if len(drawn) < len(rows):
        blocks.append(
            report.paragraph(
                f"There are charts for {len(drawn)} of {len(rows)} columns: those with findings, and those that tell "
                "most about the label."
            )
        )
    return blocks


def _power_title(examined: Examined) -> str:
    measure = examined.profile.get("measure")
    return f"{measure} alone" if measure else "Alone"


def _drawn(examined: Examined, found: set[str]) -> set[str]:
    names = [column.name for column in examined.statistics.columns]
    if len(names) <= _MOST_CHARTS:
        return set(names)
    powers = examined.profile.get("powers") or {}
    strongest = sorted(names, key=lambda name: (name not in found, -powers.get(name, 0.0)))
    return set(strongest[:_MOST_CHARTS])


def _entry(
    index: int,
    column: DescribedColumn,
    examined: Examined,
    seen: dict[str, statistics_pb2.FeatureNameStatistics],
    found: list[Finding],
    drawn: bool,
    opened: bool,
) -> Entry:
    level = "error" if any(f.level == "error" for f in found) else "warning" if found else ""
    words = " ".join([column.name, column.type, column.role, level, *(f.check for f in found)])
    cells = _cells(column, examined, seen.get("train"), level)
    blocks: list[Html] = [
        report.callout(
            f"expected {f.expected}. Received: {f.received}", "bad" if f.level == "error" else "warn", f.check
        )
        for f in found
    ]
    expected = _expected(column, examined)
    if expected and not any(f.check == SCHEMA for f in found):  # such a finding says it already
        blocks.append(Html(f'<p class="muted">The schema expects {report.markup(expected)}.</p>'))
    if not column.described:
        blocks.append(report.paragraph("TensorFlow Data Validation has no statistics for this column's type."))
    elif column.role != "id" and seen:
        if "train" in seen and (weighted := as_weighted(seen["train"])) is not None:
            seen = {**seen, WEIGHTED: weighted}
        if drawn:
            shown = {name: feature for name, feature in seen.items() if name != "test"}
            blocks.append(drawing.distribution(column, shown))
        blocks.append(drawing.figures(column, seen))
    return Entry(anchor_of(index), words, cells, blocks, opened)


def _cells(
    column: DescribedColumn,
    examined: Examined,
    train: statistics_pb2.FeatureNameStatistics | None,
    level: str,
) -> list[Cell]:
    kind_of = f'<span class="muted">{report.markup(column.type)}</span>'
    name = f'<span class="name">{report.markup(column.name)}</span> {kind_of}'
    if column.role != "feature":
        name += f" {report.badge(column.role, 'info')}"
    if level:
        name += f" {report.badge(level, 'bad' if level == 'error' else 'warn')}"
    compared = [examined.drift] * (examined.baseline.statistics is not None)
    compared += [examined.skew] * (examined.requests is not None)
    if train is None or not column.described:
        return [Html(name), "", "", "", "", *[""] * len(compared)]
    share = drawing.missing(train)
    kind: Kind = "bad" if share == 1 else "warn" if share > 0.5 else "neutral"
    power = (examined.profile.get("powers") or {}).get(column.name)
    distances = [each.distances.get(column.name) for each in compared]
    return [
        Html(name),
        "" if column.role == "id" else drawing.spark(column, train),
        drawing.typical(column, train),
        report.meter(share, kind=kind) if share else Html('<span class="muted">none</span>'),
        "" if power is None else f"{power:.3f}",
        *("" if distance is None else f"{distance:.3f}" for distance in distances),
    ]


def _expected(column: DescribedColumn, examined: Examined) -> str:
    for feature in examined.schema.feature:
        if feature.name == column.name:
            return expectation(feature, examined.schema)
    return ""
