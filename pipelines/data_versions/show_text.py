"""Data versions in words: one in all its facts, and many in a line each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.artifacts.dataset import SPLITS, DatasetInfo
from headrace.pipelines.data_versions.inventory import DataVersion, source_text
from headrace.pipelines.local.views.json_view import time_text

DIGITS = 12  # of a digest, in a list
_NAMED = 3  # runs or models in a line


def list_text(versions: Sequence[DataVersion]) -> Iterator[str]:
    """A line per version."""
    rows = [("VERSION", "MADE", *(split.upper() for split in SPLITS), "SOURCE", "USED BY")]
    for version in versions:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(version.made)) if version.made else "-"
        counts = [f"{version.rows[split]:,}" if split in version.rows else "-" for split in SPLITS]
        used = [*_some(version.models), f"{len(version.runs)} run{'' if len(version.runs) == 1 else 's'}"]
        kept = "" if version.there else "  (collected)"
        short = version.digest.removeprefix("sha256:")[:DIGITS]
        rows.append((short, made, *counts, version.source or "-", ", ".join(used) + kept))
    widths = [max(len(row[place]) for row in rows) for place in range(6)]
    aligns = "<<>>><"
    for row in rows:
        cells = [f"{cell:{align}{width}}" for cell, align, width in zip(row[:6], aligns, widths, strict=True)]
        yield "  ".join([*cells, row[6]])


def version_json(version: DataVersion, info: DatasetInfo | None = None) -> dict[str, Any]:
    """A version for machines; with `info`, all that the snapshot says of itself."""
    said: dict[str, Any] = {
        "digest": version.digest,
        "made": time_text(version.made) if version.made else None,
        "rows": dict(version.rows),
        "source": version.source,
        "runs": list(version.runs),
        "models": list(version.models),
        "in_store": version.there,
        "paths": [str(path) for path in version.paths],
    }
    if info is not None:
        from dataclasses import asdict

        said["details"] = asdict(info)
    return said


def show_text(version: DataVersion, info: DatasetInfo, extended_by: Sequence[str]) -> Iterator[str]:
    """All about one version that is in the store."""
    yield f"{version.digest}"
    made = (
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(version.made))
        if version.made
        else "not by a run of this home"
    )
    rows = ", ".join(f"{info.rows[split]:,} {split}" for split in SPLITS)
    facts = [
        ("made", made),
        ("rows", f"{sum(info.rows.values()):,} ({rows})"),
        ("task", info.task),
        ("label", info.label + (f", computed; left out for it: {', '.join(info.leaks)}" if info.leaks else "")),
        ("classes", _classes(info)),
        ("id", info.id or "none: rows are told apart by their content"),
        ("split", _split(info)),
        ("source", _source(info)),
        ("rejected", _rejected(info)),
        ("newest", info.newest or ""),
        ("watermark", _pairs(info.watermark or {})),
        ("extends", info.extends or ""),
        ("extended by", ", ".join(extended_by)),
        ("models", ", ".join(version.models) or "none was trained from it"),
        ("runs", ", ".join(_some(version.runs[::-1])) or "none"),
        *(("stored at", str(path)) for path in version.paths),
    ]
    for name, text in facts:
        if text:
            yield f"  {name:<12}{text}"
    yield ""
    yield "Columns:"
    width = max(len(column.name) for column in info.columns)
    for column in info.columns:
        role = {info.label: "label", info.id: "id"}.get(column.name, "")
        changed = _pairs({f"{what} in": f"{count:,} rows" for what, count in info.coerced.get(column.name, {}).items()})
        notes = ", ".join(note for note in (role, changed) if note)
        yield f"  {column.name:<{width}}  {column.type:<13}  {notes}".rstrip()


def _some(names: Sequence[str]) -> list[str]:
    rest = len(names) - _NAMED
    return [*names[:_NAMED], *([f"{rest} more"] if rest > 0 else [])]


def _classes(info: DatasetInfo) -> str:
    if not info.classes:
        return ""
    return ", ".join(info.classes) + (f" (positive: {info.positive})" if info.positive else "")


def _split(info: DatasetInfo) -> str:
    rule = info.query.get("split") or {}
    return _pairs({name: value for name, value in rule.items() if value is not None})


def _source(info: DatasetInfo) -> str:
    digest = info.source.get("digest")
    return source_text(info) + (f", {digest}" if digest else "")


def _rejected(info: DatasetInfo) -> str:
    rows = info.rejected.get("rows", 0)
    if not rows:
        return ""
    first = [f"{item.get('place', '')}: {item.get('why', '')}" for item in info.rejected.get("first", ())][:1]
    return f"{rows:,} rows" + (f", such as {first[0]}" if first else "")


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
