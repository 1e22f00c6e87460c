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
from headrace.components.examine.words import SCHEMA, expectation

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from headrace.components.examine.report import Examined

CHAMPION = "champion's"
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
    drawn = _drawn(examined, set(findings))
    opened = set(list(findings)[:_MOST_OPEN])
    rows = [
        _entry(
            index,
            column,
            examined,
            features,
            findings.get(column.name, []),
            column.name in drawn,
            column.name in opened,
        )
        for index, column in enumerate(examined.statistics.columns)
    ]
    head = ["Column", "Train", "Typical", "Missing", _power_title(examined)]
    if examined.baseline.statistics is not None:
        head.append("Drift")
    rows = [replace(row, cells=row.cells[: len(head)]) for row in rows]
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
    features: dict[str, dict[str, statistics_pb2.FeatureNameStatistics]],
    found: list[Finding],
    drawn: bool,
    opened: bool,
) -> Entry:
    seen = {name: each[column.name] for name, each in features.items() if column.name in each}
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
    if train is None or not column.described:
        return [Html(name), "", "", "", "", ""]
    share = drawing.missing(train)
    kind: Kind = "bad" if share == 1 else "warn" if share > 0.5 else "neutral"
    power = (examined.profile.get("powers") or {}).get(column.name)
    distance = examined.drift.distances.get(column.name)
    return [
        Html(name),
        "" if column.role == "id" else drawing.spark(column, train),
        drawing.typical(column, train),
        report.meter(share, kind=kind) if share else Html('<span class="muted">none</span>'),
        "" if power is None else f"{power:.3f}",
        "" if distance is None else f"{distance:.3f}",
    ]


def _expected(column: DescribedColumn, examined: Examined) -> str:
    for feature in examined.schema.feature:
        if feature.name == column.name:
            return expectation(feature, examined.schema)
    return ""
