"""The pictures of a snapshot in its data report: tiles of each class, sizes, what repeats or cannot be read."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from headrace.artifacts import report
from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.report import Bar, Html

_MOST_SIZES = 12


def image_blocks(images: dict[str, Any], info: DatasetInfo) -> list[Html]:
    """What `check` found in the pictures; nothing for a table."""
    if not images:
        return []
    charts = []
    if sizes := images.get("sizes"):
        bars = [Bar(f"{width} × {height}", rows) for width, height, rows in sizes[:_MOST_SIZES]]
        more = f"The {len(bars)} most frequent of {len(sizes)} sizes." if len(sizes) > len(bars) else ""
        charts.append(report.bar_chart(bars, "Width × height in pixels", digits=0, caption=more))
    if formats := images.get("formats"):
        charts.append(report.bar_chart([Bar(str(n), rows) for n, rows in formats.items()], "Formats", digits=0))
    return [*_tiles(images.get("tiles", [])), *([report.grid(*charts)] if charts else []), *_faults(images, info)]


def _tiles(tiles: list[dict[str, str]]) -> list[Html]:
    blocks = []
    for name, group in groupby(tiles, key=lambda tile: tile["class"]):
        pictures = "".join(report.image(tile["uri"], tile["path"]) for tile in group)
        blocks.append(Html(f"<p><strong>{report.markup(name)}</strong></p>"))
        blocks.append(Html(f'<div class="pictures">{pictures}</div>'))
    return blocks


def _alike(images: dict[str, Any], info: DatasetInfo) -> list[Html]:
    """Groups of near-duplicates, and of what the split's column holds together, each with some of its pictures."""
    groups: list[dict[str, Any]] = images.get("alike") or []
    if not groups:
        return []
    total = images.get("alike_in_all", len(groups))
    more = f", of which {len(groups)} are shown" if total > len(groups) else ""
    split = info.query.get("split") or {}
    held = split.get("column") if split.get("by") == "group" else None
    besides = f" or have the same <code>{report.markup(held)}</code>" if held not in (None, "group") else ""
    text = f"<strong>Near-duplicates</strong>: {total:,} groups of pictures that look the same{besides}{more}."
    blocks = [Html(f"<p>{text}</p>")]
    for group in groups:
        marks = []
        if len(group["labels"]) > 1:
            marks.append(report.badge("different labels", "bad"))
        if group["splits"] > 1:
            marks.append(report.badge("across splits", "bad"))
        several = len(group["labels"]) > 1
        pictures = "".join(
            report.image(tile["uri"], tile["path"], tile["class"] if several else "") for tile in group["tiles"]
        )
        line = f"{group['pictures']:,} pictures of {report.markup(', '.join(map(str, group['labels'])))}"
        blocks.append(Html(f"<p>{line} {' '.join(marks)}</p>"))
        blocks.append(Html(f'<div class="pictures">{pictures}</div>'))
    return blocks


def _faults(images: dict[str, Any], info: DatasetInfo) -> list[Html]:
    blocks = []
    if repeated := images.get("repeated"):
        rows = [
            [report.bullets(paths), number, report.badge("across splits", "bad") if splits > 1 else "one split"]
            for paths, number, splits in repeated
        ]
        blocks.append(report.table(["The same picture", "Times", "In"], rows, "lrl", "Duplicate files"))
    blocks += _alike(images, info)
    if info.rejected.get("rows"):
        lines = [f"{r.get('place', '')}: {r.get('why', '')}" for r in info.rejected.get("first", [])]
        blocks.append(report.details(f"{info.rejected['rows']:,} files that could not be read", report.bullets(lines)))
    return blocks
