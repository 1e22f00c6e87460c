"""A run with a model for each segment, in a reader's terms: which of hundreds needs somebody, and why."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace.artifacts.errors import row_count
from headrace.artifacts.metrics import title_of
from headrace.artifacts.segment_results import STATES, SegmentResult, SegmentResults
from headrace.components.segments.page import headline, why
from headrace.pipelines.local.record.results import FAILED, SUCCEEDED, RunResult, TaskResult

SPLIT = "split-segments"  # the task that says which iteration is which segment
SUMMARY = "summarize-segments"  # the one that reports on all
_ITERATION = re.compile(r"\[(\d+)\]")
_LINES = 20  # of segments; the page has them all
_WHY = 160  # characters of a reason in a line


def in_loop(task: TaskResult) -> bool:
    """Whether a task is one of many: a part of a loop's iteration."""
    return _ITERATION.search(task.path) is not None


def models_of(run: RunResult) -> list[str]:
    """The model of each iteration of the loop over segments; none where the run has no such loop."""
    found = run.tasks.get(SPLIT)
    return [str(one["model"]) for one in (found.outputs.get("segments") or () if found else ())]


def model_of(models: Sequence[str], task: TaskResult) -> str:
    """The model, of those of `models_of`, that a task of an iteration works for; empty for any other task."""
    match = _ITERATION.search(task.path)
    return models[int(match.group(1))] if match and int(match.group(1)) < len(models) else ""


def with_errors(results: SegmentResults | None, run: RunResult) -> SegmentResults | None:
    """The results, where a step of a segment failed with that step and what it said."""
    if results is None:
        return None
    models, failed = models_of(run), dict[str, TaskResult]()
    for task in run.failed():
        failed.setdefault(model_of(models, task), task)
    return replace(results, results=tuple(_with_error(one, failed) for one in results.results))


def _with_error(one: SegmentResult, failed: Mapping[str, TaskResult]) -> SegmentResult:
    task = failed.get(one.model) if one.state in ("failed", "registered") else None
    if task is None or task.error is None:
        return one
    return replace(one, why=f"{task.label}: {task.error.message}")


def exit_code(run: RunResult, results: SegmentResults | None, passed: bool | None) -> int:
    """What `headrace run` exits with: 0 all well, 1 the run failed, 3 it ran to its end and a model is not good enough.

    Where segments have models of their own, a step that fails for some of them is no failure of the run: 3 as well.
    """
    if results is None:
        return 1 if not run.succeeded else 3 if passed is False else 0
    leaves = [task for task in run.tasks.values() if task.leaf]
    broken = any(task.state not in (SUCCEEDED, "SKIPPED") and not in_loop(task) for task in leaves)
    none_judged = all(one.state in ("failed", "left out") for one in results.results)
    if run.state not in (SUCCEEDED, FAILED) or broken or none_judged:
        return 1
    return 0 if run.succeeded and results.good else 3


def segments_json(results: SegmentResults) -> dict[str, Any]:
    """For machines: complete."""
    return {
        "column": results.column,
        "states": results.counts,
        "without_value": results.without_value,
        "results": [
            {
                "segment": one.value,
                "state": one.state,
                "rows": one.rows,
                "model": one.model,
                "endpoint": one.endpoint,
                "version": one.version,
                "metrics": one.metrics,
                "failed_gates": [{"gate": gate.gate, "reason": gate.reason} for gate in one.failed_gates],
                "why": one.why,
            }
            for one in results.results
        ],
    }


def segments_text(results: SegmentResults) -> list[str]:
    """In lines for a terminal: how many got where, then those that need somebody; all of them where they are few."""
    found = results.results
    counts = ", ".join(f"{count:,} {state}" for state, count in results.counts.items())
    lines = [f"{len(found):,} segment{'s' * (len(found) != 1)} by {results.column}: {counts}"]
    metric = headline(results)
    judged = sorted(one.metrics[metric] for one in found if metric in one.metrics)
    if len(judged) > 1:
        middle, title = statistics.median(judged), title_of(metric)
        lines.append(f"{title}: from {judged[0]:.4g} over {middle:.4g} in the middle to {judged[-1]:.4g}")
    listed = found if len(found) <= _LINES else [one for one in found if not one.good]
    ordered = sorted(listed, key=lambda one: (one.good, STATES.index(one.state), one.value))
    if ordered:
        lines += _table(ordered[:_LINES], metric)
    if len(ordered) > _LINES:
        lines.append(f"  ... {len(ordered) - _LINES:,} more to look at, on the page `summarize-segments`")
    if results.without_value:
        one = results.without_value == 1
        have, belong = ("has", "belongs") if one else ("have", "belong")
        lines.append(f"{row_count(results.without_value)} {have} no {results.column}, and {belong} to no segment.")
    return lines


def _table(shown: list[SegmentResult] | tuple[SegmentResult, ...], metric: str) -> list[str]:
    title = title_of(metric)
    rows = [("Segment", "State", title, "Rows", "Why")]
    for one in shown:
        value = f"{one.metrics[metric]:.4g}" if metric in one.metrics else ""
        rows.append((_short(one.value, 40), one.state, value, f"{one.rows:,}", _short(_why(one), _WHY)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return [
        "  "
        + "  ".join(
            f"{cell:>{width}}" if column in (2, 3) else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row[:4], widths, strict=True))
        )
        + (f"  {row[4]}" if row[4] else "")
        for row in rows
    ]


def _why(one: SegmentResult) -> str:
    if one.state == "live":
        return f"{one.model} version {one.version}"
    return why(one)


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."
