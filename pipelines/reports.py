"""A run's reports in one folder, as files a browser opens, with a page that leads to each."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from headrace.artifacts import report as r
from headrace.artifacts.metrics import first_metrics, title_of
from headrace.artifacts.segment_results import SegmentResults
from headrace.components.segments.page import headline, state_badge, why
from headrace.pipelines.local.record.results import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    SUCCEEDED,
    RunResult,
    TaskResult,
)
from headrace.pipelines.local.store.attempts import safe_name
from headrace.pipelines.local.views.live import counts_text, joint_state
from headrace.pipelines.local.views.view import (
    FAILURES,
    WORDS,
    message_text,
    seconds_text,
    some_labels,
    task_text,
    trace_text,
)
from headrace.pipelines.outcome import Outcome
from headrace.pipelines.segments import SUMMARY, exit_code, in_loop, model_of, models_of

INDEX = "index.html"
SEGMENTS = "segments"  # the folder of their pages, one for each model
_ESCAPED = re.compile(r"\\([\\`*_\[\]<>#|])")  # a sign of Markdown that stands for itself
_KINDS: dict[str, r.Kind] = {
    SUCCEEDED: "good",
    FAILED: "bad",
    CANCELLED: "warn",
    INTERRUPTED: "warn",
    RUNNING: "info",
}
_SHOWN = 6  # metrics on the index page; the evaluation's report has them all


def publish_reports(run: RunResult, found: Outcome) -> Path:
    """Lays a run's reports into `<home>/reports/<run>/` and writes the page that links them.

    Returns:
        the page, index.html.
    """
    folder = run.home / "reports" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    links: dict[str, dict[str, str]] = {}
    models = models_of(run)
    counts = Counter(name.rpartition("/")[0] for name in found.reports)
    for name, source in found.reports.items():
        path, _, output = name.rpartition("/")
        own = "" if counts[path] == 1 or output == "report" else f"-{output}"
        model = model_of(models, run.tasks[path])
        shown = f"{SEGMENTS}/{model}/{safe_name(run.tasks[path].name)}" if model else safe_name(run.tasks[path].label)
        target = folder / f"{shown}{own}.html"  # a label in a loop has slashes
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if _is_markdown(run.tasks[path], output):
            r.write(target, _markdown_page(run, run.tasks[path], source))
        else:
            _link(source, target)
        links.setdefault(path, {})[output] = target.relative_to(folder).as_posix()
    r.write(folder / INDEX, index_page(run, found, links))
    return folder / INDEX


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # stored artifacts never change, so the same file will do
    except OSError:
        shutil.copyfile(source, target)


def _is_markdown(task: TaskResult, output: str) -> bool:
    return any(one.type == "system.Markdown" for one in task.artifacts.get(output, ()))


def _markdown_page(run: RunResult, task: TaskResult, source: Path) -> str:
    """A page for what a task says as Markdown: a list or a paragraph as such, anything else as it is written."""
    text = source.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(line.startswith("- ") for line in lines):
        body = r.bullets(_ESCAPED.sub(r"\1", line[2:]) for line in lines)
    elif len(lines) == 1 and lines[0][0].isalpha():
        body = r.paragraph(_ESCAPED.sub(r"\1", lines[0]))
    else:
        body = r.code(text)
    return r.page(task.label, f"Run {run.id}", [r.section("What it says", body)])


def index_page(run: RunResult, found: Outcome, links: dict[str, dict[str, str]]) -> str:
    """The page of a run: what came of it, its gates, its tasks."""
    sections = [r.section("What went wrong", *wrong)] if (wrong := _wrong(run, found)) else []
    if found.evaluation is not None:
        evaluation = found.evaluation
        tiles = [
            (
                title_of(name),
                evaluation.metrics[name],
                _against(evaluation.baseline.get(name)),
            )
            for name in first_metrics(evaluation.kind, evaluation.metrics)[:_SHOWN]
        ]
        intro = f"{evaluation.rows:,} rows of the {evaluation.split} split, which no step before has seen."
        if evaluation.positive is not None:
            intro += f" {evaluation.positive} is the positive class."
        sections.append(r.section("Metrics", r.tiles(tiles), intro=intro))
    if found.verdict is not None:
        gates = [
            (r.badge("passed", "good") if d.passed else r.badge("failed", "bad"), d.gate, r.prose(d.reason))
            for d in found.verdict.decisions
        ]
        sections.append(r.section("Gates", r.table(["", "Gate", "Why"], gates, "lww")))
    if found.segments is not None:
        sections.append(_segments(found.segments, run, links))
    leaves = [task for task in run.tasks.values() if task.leaf]
    tasks = [_task_row(task, links) for task in leaves if not (found.segments and in_loop(task))]
    if found.segments is not None:
        tasks += _task_rows([task for task in leaves if in_loop(task)])
    sections.append(r.section("Tasks", r.table(["Task", "State", "Report"], tasks, "lll")))
    started = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
    status = _status(run, found)
    facts = [
        ("Run", run.id),
        ("Started", started),
        ("Took", seconds_text(run.seconds)),
        *([] if found.segments is not None else [("Version", found.version or "none")]),
    ]
    return r.page(run.name, f"Run {run.id}", sections, status=status, facts=facts)


def _status(run: RunResult, found: Outcome) -> r.Html | None:
    """What became of the run, where it did not end well, and of the model or models, in a word or two each."""
    if exit_code(run, found.segments, found.passed) != 1:
        return _model_badge(found)
    state = r.badge(WORDS.get(run.state, run.state).lower(), _KINDS.get(run.state, "neutral"))
    if found.segments is not None and all(one.good for one in found.segments.results):
        return state  # beside which "all as it should be" would be none
    model = _model_badge(found)
    return state if model is None else r.Html(f"{state} {model}")


def _model_badge(found: Outcome) -> r.Html | None:
    if found.segments is not None:
        return _segments_badge(found.segments)
    if found.pushed:
        return r.badge("pushed", "good")
    if found.waits:
        return r.badge("waits for approval", "neutral")
    if found.canary:
        return r.badge("canary", "info")
    if found.behind:
        return r.badge("waits for another rollout", "neutral")
    return r.badge("not pushed", "bad") if found.passed is False else None


def _wrong(run: RunResult, found: Outcome) -> list[r.Html]:
    """Why a run failed, as the terminal has it, or in the midst of what it ended. Segments have their own reasons."""
    failed = [task for task in run.failed() if not (found.segments and in_loop(task))]
    blocks: list[r.Html] = []
    for task in failed[:FAILURES]:
        error = task.error
        assert error is not None
        blocks.append(r.callout(r.Html(r.prose(message_text(task)).replace("\n", "<br>")), "bad"))
        if not error.user and (trace := trace_text(task)):
            blocks.append(r.details(f"Where {task.label} failed", r.code(trace), opened=True))
    if len(failed) > FAILURES:
        blocks.append(r.paragraph(f"{len(failed) - FAILURES:,} more failed: {some_labels(failed[FAILURES:])}"))
    if run.state in (CANCELLED, INTERRUPTED):
        blocks.append(r.callout(_ended(run), "warn"))
    elif run.error:
        blocks.append(r.callout(run.error, "bad"))
    return blocks


def _ended(run: RunResult) -> str:
    """By what a run was ended before its time, and which tasks were at work then."""
    tasks = [task for task in run.tasks.values() if task.leaf and task.attempts and task.state == run.state]
    midst = f" in the midst of {some_labels(tasks)}" if tasks else ""
    how = run.error or ("cancelled" if run.state == CANCELLED else "the process that ran it died")
    return f"{how[:1].upper()}{how[1:]}{midst}."


def _segments(results: SegmentResults, run: RunResult, links: Mapping[str, Mapping[str, str]]) -> r.Html:
    """Every segment with its pages: those that need somebody first, and opened."""
    metric, models = headline(results), models_of(run)
    pages: dict[str, list[r.Html]] = {}
    for path, outputs in links.items():
        for output, file in sorted(outputs.items(), key=lambda item: item[0] != "report"):
            name = run.tasks[path].name + ("" if output == "report" else f" ({output})")
            pages.setdefault(model_of(models, run.tasks[path]), []).append(r.link(name, file))
    whole = [r.bullets([r.link("The report over all segments", file)]) for file in links.get(SUMMARY, {}).values()]
    entries = [
        r.Entry(
            anchor=f"segment-{number}",
            words=f"{one.value} {one.model} {one.state}",
            cells=(one.value, state_badge(one), r.number(one.metrics.get(metric)), r.count(one.rows)),
            blocks=[
                *([r.paragraph(text)] if (text := why(one)) else []),
                r.bullets(pages.get(one.model, []) if one.model else []),
            ],
        )
        for number, one in enumerate(sorted(results.results, key=lambda one: (one.good, one.value)))
    ]
    headers = ["Segment", "State", title_of(metric) if metric else "Metric", "Rows"]
    tiles = [(state.capitalize(), count, f"of {len(results.results):,}") for state, count in results.counts.items()]
    listed = r.entries("segments", headers, entries, "a segment, a model, or a state")
    return r.section("Segments", r.tiles(tiles), *whole, listed)


def _segments_badge(results: SegmentResults) -> r.Html:
    bad = sum(not one.good for one in results.results)
    return r.badge(f"{bad:,} to look at", "bad") if bad else r.badge("all as it should be", "good")


def _task_rows(looped: list[TaskResult]) -> list[tuple[r.Cell, r.Cell, r.Cell]]:
    """The tasks of loops, a line for each that is done many times."""
    named: dict[str, list[TaskResult]] = {}
    for task in looped:
        named.setdefault(task.name, []).append(task)
    return [
        (
            f"{name} × {len(tasks)}",
            r.badge(counts_text(tasks), _KINDS.get(joint_state(tasks), "neutral")),
            "",
        )
        for name, tasks in named.items()
    ]


def _against(baseline: float | None) -> str:
    return "" if baseline is None else f"a constant: {r.number(baseline)}"


def _task_row(task: TaskResult, links: dict[str, dict[str, str]]) -> tuple[r.Cell, r.Cell, r.Cell]:
    state = r.badge(task_text(task), _KINDS.get(task.state, "neutral"))
    pages = sorted(links.get(task.path, {}).items(), key=lambda item: item[0] != "report")
    named = [r.link("open" if len(pages) == 1 or output == "report" else output, file) for output, file in pages]
    return task.label, state, r.Html(" · ".join(named))
