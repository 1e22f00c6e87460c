"""The differences of two runs in words, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from headrace.pipelines.local.record.causes import Rerun
from headrace.pipelines.local.record.changes import ADDED, REMOVED, Change
from headrace.pipelines.local.record.diff import RunDiff
from headrace.pipelines.local.views.run_text import short_digest
from headrace.pipelines.local.views.view import seconds_text

LINES = 30  # of one section, before the rest is left out
_NAMES = 6  # tasks that a line names
_LONGEST = 60  # characters of a value
_SLOWER = 1.25  # as many times as long, or as short, is worth a line
_NOTICED = 0.5  # seconds; a smaller difference is not


def diff_text(diff: RunDiff, whole: bool = False) -> list[str]:
    """What differed, a section for each kind; what did not has none."""
    lines = [f"From {diff.before} to {diff.after}:"]
    if not diff.pipeline_known:
        lines.append("The pipeline of one of them is not recorded, so pipelines are not compared.")
    if diff.nothing:
        lines.append("Nothing differs.")
    sections = (
        ("Run", [_change(c) for c in diff.run]),
        ("Pipeline", [_change(c) for c in diff.pipeline]),
        ("Parameters", [_change(c) for c in diff.parameters]),
        ("Data", list(_data(diff))),
        ("Code and environment", list(_parts(diff))),
        ("Tasks that came to another end", [_change(c) for c in diff.states]),
        ("Ran again", [line for rerun in diff.reruns for line in _rerun(rerun)]),
        ("Metrics", list(_metrics(diff))),
        ("Gates", list(_gates(diff))),
        ("Time", list(_times(diff))),
    )
    for title, said in sections:
        if said:
            lines += ["", f"{title}:", *_indented(said, whole)]
    return lines


def _indented(lines: Sequence[str], whole: bool) -> Iterator[str]:
    shown = lines if whole else lines[:LINES]
    yield from (f"  {line}" for line in shown)
    if len(shown) < len(lines):
        yield f"  ... {len(lines) - len(shown)} more; --all shows them"


def _change(change: Change) -> str:
    if change.kind == ADDED:
        return f"{change.what}: added ({_value(change.after)})"
    if change.kind == REMOVED:
        return f"{change.what}: removed ({_value(change.before)})"
    before, after = _values(change.before, change.after)
    return f"{change.what}: {before} -> {after}"


def _values(before: Any, after: Any) -> tuple[str, str]:
    """Both values; of long texts the first line that differs."""
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        old, new = before.splitlines(), after.splitlines()
        place = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        first, second = ((lines[place] if place < len(lines) else "").strip() for lines in (old, new))
        return f"(line {place + 1}) {_value(first)}", _value(second)
    return _value(before), _value(after)


def _value(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # the IR has all numbers as floats
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.replace("\n", " ")
    return (text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...") or '""'


def _data(diff: RunDiff) -> Iterator[str]:
    for change in diff.data:
        before = _with_rows(change.before, change.rows_before)
        after = _with_rows(change.after, change.rows_after)
        yield f"{change.what}: {before} -> {after}"


def _with_rows(digest: str | None, rows: int | None) -> str:
    counted = "" if rows is None else f", {rows:,} rows"
    return f"{short_digest(digest)}{counted}" if digest else "none"


def _parts(diff: RunDiff) -> Iterator[str]:
    for part in diff.parts:
        values = f": {_value(part.before)} -> {_value(part.after)}" if part.before or part.after else ""
        yield f"{part.part} of {_names(part.tasks)}{values}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _rerun(rerun: Rerun) -> Iterator[str]:
    each = "each " if len(rerun.tasks) > 1 and any(re.search(r"\bits?\b", cause) for cause in rerun.causes) else ""
    yield f"{_names(rerun.tasks)}: {each}because {' and '.join(rerun.causes) or 'of nothing that is known'}"


def _metrics(diff: RunDiff) -> Iterator[str]:
    for metric in diff.metrics:
        difference = "" if metric.difference is None else f"  ({metric.difference:+.4g})"
        yield f"{metric.task} {metric.name}: {_number(metric.before)} -> {_number(metric.after)}{difference}"


def _number(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, int | float) and not isinstance(value, bool) else _value(value)


def _gates(diff: RunDiff) -> Iterator[str]:
    words = {None: "not there", True: "passed", False: "FAILED"}
    for gate in diff.gates:
        yield f"{gate.gate}: {words[gate.before]} -> {words[gate.after]} ({gate.reason})"


def _times(diff: RunDiff) -> Iterator[str]:
    yield f"{seconds_text(diff.seconds[0])} -> {seconds_text(diff.seconds[1])}"
    for task in sorted(diff.durations, key=lambda d: -abs(d.after - d.before)):
        low, high = sorted((task.before, task.after))
        if high - low >= _NOTICED and high >= low * _SLOWER:
            yield f"{task.task}: {seconds_text(task.before)} -> {seconds_text(task.after)}"


def diff_json(diff: RunDiff) -> dict[str, Any]:
    """All of it, for machines."""
    return {"nothing_differs": diff.nothing, **asdict(diff)}
