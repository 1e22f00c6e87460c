"""A run's reports in one folder, as files a browser opens, with a page that leads to each."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from headrace.artifacts import report as r
from headrace.artifacts.metrics import METRICS
from headrace.pipelines.local.record.results import SUCCEEDED, RunResult, TaskResult
from headrace.pipelines.local.store.attempts import safe_name
from headrace.pipelines.local.views.view import seconds_text, task_text
from headrace.pipelines.outcome import Outcome

INDEX = "index.html"
_SHOWN = 6  # metrics on the index page; the evaluation's report has them all


def publish_reports(run: RunResult, found: Outcome) -> Path:
    """Lays a run's reports into `<home>/reports/<run>/` and writes the page that links them.

    Returns:
        the page, index.html.
    """
    folder = run.home / "reports" / run.id
    folder.mkdir(parents=True, exist_ok=True)
    links: dict[str, dict[str, str]] = {}
    for name, source in found.reports.items():
        path, _, output = name.rpartition("/")
        alone = sum(other.startswith(f"{path}/") for other in found.reports) == 1
        own = "" if alone or output == "report" else f"-{output}"
        target = folder / f"{safe_name(run.tasks[path].label)}{own}.html"  # a label in a loop has slashes
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)  # stored artifacts never change, so the same file will do
        except OSError:
            shutil.copyfile(source, target)
        links.setdefault(path, {})[output] = target.name
    r.write(folder / INDEX, index_page(run, found, links))
    return folder / INDEX


def index_page(run: RunResult, found: Outcome, links: dict[str, dict[str, str]]) -> str:
    """The page of a run: what came of it, its gates, its tasks."""
    sections = []
    if found.evaluation is not None:
        evaluation = found.evaluation
        tiles = [
            (METRICS[name].title if name in METRICS else name, value, _against(evaluation.baseline.get(name)))
            for name, value in list(evaluation.metrics.items())[:_SHOWN]
        ]
        intro = f"{evaluation.rows:,} rows of the {evaluation.split} split, which no step before has seen."
        sections.append(r.section("Metrics", r.tiles(tiles), intro=intro))
    if found.verdict is not None:
        gates = [
            (r.badge("passed", "good") if d.passed else r.badge("failed", "bad"), d.gate, d.reason)
            for d in found.verdict.decisions
        ]
        sections.append(r.section("Gates", r.table(["", "Gate", "Why"], gates, "lww")))
    tasks = [_task_row(task, links) for task in run.tasks.values() if task.leaf]
    sections.append(r.section("Tasks", r.table(["Task", "State", "Report"], tasks, "lll")))
    started = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
    status = (
        r.badge("pushed", "good") if found.pushed else r.badge("not pushed", "bad") if found.passed is False else None
    )
    facts = [
        ("Run", run.id),
        ("Started", started),
        ("Took", seconds_text(run.seconds)),
        ("Version", found.version or "none"),
    ]
    return r.page(run.name, f"Run {run.id}", sections, status=status, facts=facts)


def _against(baseline: float | None) -> str:
    return "" if baseline is None else f"a constant: {r.number(baseline)}"


def _task_row(task: TaskResult, links: dict[str, dict[str, str]]) -> tuple[r.Cell, r.Cell, r.Cell]:
    state = r.badge(task_text(task), "good" if task.state == SUCCEEDED else "neutral")
    pages = sorted(links.get(task.path, {}).items(), key=lambda item: item[0] != "report")
    named = [r.link("open" if len(pages) == 1 or output == "report" else output, file) for output, file in pages]
    return task.label, state, r.Html(" · ".join(named))
