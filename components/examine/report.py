"""The data report: what the snapshot is, what was found, and every column, split against split and against before."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts import report
from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.findings import DATASET, Finding, Findings
from headrace.artifacts.report import Cell, Html
from headrace.artifacts.schema import format_schema
from headrace.artifacts.statistics import Statistics
from headrace.components.examine.associations_page import association_blocks
from headrace.components.examine.baseline import Baseline
from headrace.components.examine.change import rows_of
from headrace.components.examine.columns_page import anchor_of, column_list
from headrace.components.examine.drift import Compared
from headrace.components.examine.images_page import image_blocks
from headrace.components.examine.slices_page import slice_blocks

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

_MOST_CLASSES = 30


@dataclass(frozen=True)
class Examined:
    """All that the page shows."""

    snapshot: Dataset
    statistics: Statistics
    schema: schema_pb2.Schema
    inferred: bool  # nobody has reviewed the schema
    findings: Findings
    baseline: Baseline
    drift: Compared = field(default_factory=Compared)
    skew: Compared = field(default_factory=Compared)
    profile: dict[str, Any] = field(default_factory=dict)
    requests: statistics_pb2.DatasetFeatureStatistics | None = None  # of logged requests, where there are any


def write_report(path: Path | str, examined: Examined) -> None:
    """Writes the page as one self-contained HTML file."""
    report.write(path, render(examined))


def render(examined: Examined) -> str:
    """The page as HTML."""
    info = examined.snapshot.info
    sections = [
        report.section("Snapshot", report.tiles(_tiles(examined)), report.key_values(_facts(examined))),
        report.section("Findings", *_findings(examined)),
    ]
    if pictures := image_blocks(examined.profile.get("images") or {}, info):
        sections.append(report.section("Images", *pictures))
    if info.classes:
        sections.append(report.section("Classes", *_classes(examined)))
    if blocks := slice_blocks(examined.statistics, info.label, info.positive):
        intro = "The rows with one value in a column, described by themselves. Shares are of each split."
        sections.append(report.section("Slices", *blocks, intro=intro))
    sections.append(report.section("Columns", *column_list(examined), intro=_columns_intro(examined)))
    if blocks := association_blocks(examined.profile, info.label):
        rows = examined.profile["sample_rows"]
        intro = f"Measured on {rows:,} rows of train, taken evenly."
        sections.append(report.section("Associations", *blocks, intro=intro))
    sections.append(report.section("Schema", *_schema(examined)))
    return report.page(
        "Data",
        f"{info.source.get('name', 'A snapshot')}: {len(info.columns)} columns, {sum(info.rows.values()):,} rows",
        sections,
        status=_status(examined.findings),
    )


def _status(findings: Findings) -> Html:
    errors = len(findings.errors)
    warnings = len(findings.found) - errors
    if errors:
        return report.badge(_plural(errors, "error"), "bad")
    return report.badge(_plural(warnings, "warning"), "warn") if warnings else report.badge("nothing found", "good")


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _tiles(examined: Examined) -> list[tuple[str, Cell, Cell]]:
    info, before = examined.snapshot.info, examined.baseline.statistics
    total = sum(info.rows.values())
    change = ""
    if before is not None and (then := rows_of(before)):
        change = f"{(total / then - 1) * 100:+.1f} % since the champion's".replace("-", "−")
    weighted: list[tuple[str, Cell, Cell]] = []
    if examined.statistics.weight:
        train = examined.statistics.split("train")
        sum_of = report.number(train.weighted_num_examples)
        weighted = [("Weight of train", sum_of, f"sum of {examined.statistics.weight}")]
    return [
        ("Rows", report.count(total), change),
        *weighted,
        *((name, report.count(info.rows[name]), report.percent(info.rows[name] / (total or 1))) for name in SPLITS),
        ("Columns", len(info.columns), f"{_features(examined)} described as features"),
    ]


def _features(examined: Examined) -> int:
    return sum(column.role == "feature" and column.described for column in examined.statistics.columns)


def _facts(examined: Examined) -> list[tuple[str, Cell]]:
    info, before = examined.snapshot.info, examined.baseline.statistics
    facts: list[tuple[str, Cell]] = [
        ("Data version", examined.snapshot.digest),
        ("Source", str(info.source.get("name", "–"))),
        ("Label", f"{info.label}, {info.task.replace('_', ' ')}"),
        ("Id", info.id or "none"),
        ("Champion's data", before.dataset if before else examined.baseline.why_not),
    ]
    if rejected := info.rejected.get("rows"):
        first = "; ".join(f"{r.get('place', '')}: {r.get('why', '')}" for r in info.rejected.get("first", [])[:3])
        facts.append(("Rejected rows", f"{rejected:,}, such as {first}" if first else f"{rejected:,}"))
    if info.coerced:
        told = [
            f"{name}: {', '.join(f'{n:,} {what}' for what, n in each.items())}" for name, each in info.coerced.items()
        ]
        facts.append(("Coerced values", report.bullets(told[:20])))
    if left_out := info.source.get("left_out"):
        facts.append(("Left out", ", ".join(map(str, left_out))))
    if info.watermark:
        facts.append(("Watermark", ", ".join(f"{name} {value}" for name, value in info.watermark.items())))
    for title, name in (("Newest row", "newest"), ("Added to", "extends")):
        if value := getattr(info, name, None):
            facts.append((title, str(value)))
    return facts


def _findings(examined: Examined) -> list[Html]:
    found = examined.findings.found
    blocks: list[Html] = []
    if found:
        anchors = {column.name: anchor_of(index) for index, column in enumerate(examined.statistics.columns)}
        blocks.append(Html("".join(_finding(finding, anchors) for finding in found)))
    else:
        blocks.append(report.callout("Nothing was found: the data is as it has to be.", "good"))
    if examined.findings.notes:
        blocks.append(report.bullets(examined.findings.notes))
    return blocks


def _finding(finding: Finding, anchors: dict[str, str]) -> str:
    level = report.badge("error", "bad") if finding.level == "error" else report.badge("warning", "warn")
    anchor = anchors.get(finding.where)
    where = report.link(finding.where, f"#{anchor}") if anchor else report.markup(finding.where)
    if finding.where == DATASET:
        where = Html("all rows")
    such = ""
    if finding.examples:
        such = f"<p>Such as {', '.join(f'<code>{report.markup(example)}</code>' for example in finding.examples)}</p>"
    return (
        f'<div class="finding"><div>{level}<p>{where}</p><p class="muted">{report.markup(finding.check)}</p></div>'
        f"<div><p>Expected {report.markup(finding.expected)}.</p>"
        f"<p>Received <strong>{report.markup(finding.received)}</strong>.</p>{such}"
        f'<p class="todo">{report.markup(finding.todo)}.</p></div></div>'
    )


def _classes(examined: Examined) -> list[Html]:
    counts: dict[str, dict[str, int]] = examined.profile.get("classes") or {}
    totals = {split: sum(each.get(split, 0) for each in counts.values()) or 1 for split in SPLITS}
    most = sorted(counts, key=lambda name: -sum(counts[name].values()))[:_MOST_CLASSES]
    rows = [
        [
            name,
            *(report.meter(n / totals[s], f"{n:,} · {report.percent(n / totals[s])}") for s, n in counts[name].items()),
        ]
        for name in most
    ]
    if not rows:
        return [report.paragraph("The rows were not looked at.")]
    shown = [report.table(["Class", *SPLITS], rows, align="llll")]
    if len(counts) > len(most):
        shown.append(report.paragraph(f"The {len(most)} most frequent of {len(counts)} classes."))
    return shown


def _columns_intro(examined: Examined) -> str:
    against = ["train", "eval"]
    against += ["the data that the champion was trained on"] * (examined.baseline.statistics is not None)
    against += ["logged requests"] * (examined.requests is not None)
    intro = f"Distributions of {', '.join(against[:-1])} and {against[-1]} as shares of each, so that they compare. "
    weight = examined.statistics.weight
    if weight:
        intro += f"Those of train are given a second time with each row counted by its weight, {weight}. "
    return intro + "The figures in a line are of train."


def _schema(examined: Examined) -> list[Html]:
    blocks = [report.details("schema.pbtxt", report.code(format_schema(examined.schema)))]
    if examined.inferred:
        text = (
            "No schema is committed yet. This one was inferred from this data, which therefore fits it: "
            "review it and commit it beside the spec."
        )
        blocks.insert(0, report.callout(text, "warn"))
    return blocks
