"""The page of the validation: the verdict, what departs from the schema, and the schema itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts import report
from headrace.artifacts.report import Html
from headrace.artifacts.schema import format_schema
from headrace.artifacts.statistics import Statistics
from headrace.components.validate.findings import Finding, expectation

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2


def write_report(
    path: Path | str,
    found: list[Finding],
    schema: schema_pb2.Schema,
    statistics: Statistics,
    inferred: bool,
) -> None:
    """Writes the page as one self-contained HTML file."""
    report.write(path, render(found, schema, statistics, inferred))


def render(found: list[Finding], schema: schema_pb2.Schema, statistics: Statistics, inferred: bool) -> str:
    """The page as HTML."""
    errors = sum(finding.level == "error" for finding in found)
    sections = [
        report.section("Anomalies", *_anomalies(found)),
        report.section("Schema", *_schema(found, schema, inferred)),
    ]
    status = report.badge("does not fit", "bad") if errors else report.badge("fits", "good")
    return report.page(
        "Data validation",
        f"{len(statistics.columns)} columns against {len(schema.feature)} features of the schema",
        sections,
        status=status,
        facts=[("Data version", statistics.dataset)],
    )


def _anomalies(found: list[Finding]) -> list[Html]:
    if not found:
        return [report.callout("All splits fit the schema.", "good")]
    rows = [
        [
            finding.feature,
            report.badge(finding.level, "bad" if finding.level == "error" else "warn"),
            finding.expected,
            report.bullets(finding.found),
            finding.todo,
        ]
        for finding in found
    ]
    return [report.table(["Column", "Level", "Expected", "Received", "What to do"], rows)]


def _schema(found: list[Finding], schema: schema_pb2.Schema, inferred: bool) -> list[Html]:
    levels = {finding.feature: finding.level for finding in found}
    rows = [[feature.name, expectation(feature, schema), _mark(levels.get(feature.name))] for feature in schema.feature]
    blocks = [
        report.table(["Column", "Expected", "Data"], rows),
        report.details("schema.pbtxt", report.code(format_schema(schema))),
    ]
    if inferred:
        text = (
            "No schema is committed yet. This one was inferred from this data, which therefore fits: "
            "review it and commit it beside the spec."
        )
        blocks.insert(0, report.callout(text, "warn"))
    return blocks


def _mark(level: str | None) -> Html:
    if level is None:
        return report.badge("fits", "good")
    return report.badge("does not fit", "bad") if level == "error" else report.badge("tolerated", "warn")
