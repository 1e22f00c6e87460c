"""The transform's report: what each column becomes, what was left out and why, and what was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from headrace.artifacts import report
from headrace.artifacts.transform import Feature, Transform
from headrace.trainer.known import known_values

_MOST_VALUES = 12  # of what was learned, that are shown of one column
_MOST_FEATURES = 500  # rows that are listed


def write_report(path: Path | str, transform: Transform) -> None:
    """Writes the page as one self-contained HTML file."""
    report.write(path, render(transform))


def render(transform: Transform) -> str:
    """The page as HTML."""
    sections = [report.section("Summary", report.tiles(_tiles(transform)))]
    if transform.notes:
        sections.append(report.section("What was chosen, and why", report.bullets(transform.notes)))
    rows = _feature_rows(transform.outputs, transform.construct)
    more = f"The first {_MOST_FEATURES:,} of {len(rows):,}." if len(rows) > _MOST_FEATURES else ""
    table = report.table(["Feature", "Made", "From", "Kind"], rows[:_MOST_FEATURES], "lwwl")
    sections.append(report.section("Features", table, intro=more))
    inputs = [(item.name, item.type, known_values(item)) for item in transform.inputs]
    sections.append(report.section("Inputs", report.table(["Column", "Type", "Known"], inputs, "llw")))
    if transform.excluded:
        left = list(transform.excluded.items())
        sections.append(report.section("No features", report.table(["Column", "Why"], left, "lw")))
    if left_out := transform.fitted.get("left_out"):
        sections.append(
            report.section(
                "Not selected", report.table(["Feature", "Why"], list(left_out.items())[:_MOST_FEATURES], "lw")
            )
        )
    if encodings := transform.fitted.get("encodings"):
        blocks = [_encoding(encoding) for encoding in encodings]
        sections.append(report.section("What was learned", *blocks, intro="From the train split alone."))
    return report.page("Transform", f"{len(transform.inputs):,} columns, {len(transform.outputs):,} features", sections)


def _tiles(transform: Transform) -> list[tuple[str, Any, str]]:
    outputs = transform.outputs
    codes = sum(feature.kind == "code" for feature in outputs)
    held_out = sum(feature.out_of_fold for feature in outputs)
    return [
        ("Columns", len(transform.inputs), f"{len(transform.excluded):,} more are no features"),
        ("Features", len(outputs), f"{codes:,} codes of categories"),
        ("Constructed", len(transform.construct), "by the spec's expressions"),
        ("Fitted on the label", held_out, "train rows take their values out of fold"),
    ]


def _feature_rows(features: Sequence[Feature], construct: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """A row for each feature; those that stand for the values of one column, or for its words, share one."""
    rows = []
    for (name, value), same in groupby(features, lambda each: each.name.partition("=")[:2]):
        members = list(same)
        sources = ", ".join(members[0].sources)
        if not value:
            rows += [
                (each.name, construct.get(each.made, each.made), ", ".join(each.sources), _kind(each))
                for each in members
            ]
            continue
        values = [each.name.removeprefix(f"{name}=") for each in members]
        listed = ", ".join(values[:_MOST_VALUES]) + (", ..." if len(values) > _MOST_VALUES else "")
        rows.append((f"{name}=", listed, sources, f"{len(values):,} columns"))
    return rows


def _kind(feature: Feature) -> str:
    kind = f"a code of {feature.size:,} values" if feature.kind == "code" else "a number"
    return f"{kind}, out of fold" if feature.out_of_fold else kind


def _encoding(encoding: dict[str, Any]) -> report.Html:
    """One step, with the columns it was fitted for side by side."""
    names = list(encoding["of"])
    learned = {key: value for key, value in encoding.items() if key not in ("step", "of")}
    facts = [(key, _short(value)) for key, value in learned.items()]
    title = f"{encoding['step']} of {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}"
    return report.details(title, report.key_values([("columns", ", ".join(names[:200])), *facts]))


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        shown = ", ".join(_short(each) for each in value[:_MOST_VALUES])
        return f"[{shown}{f', ... {len(value):,} in all' if len(value) > _MOST_VALUES else ''}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
