"""A recorded run in words: its graph, metrics and artifacts, as many lines of each as can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from headrace.pipelines.local.ir.graph import Graph
from headrace.pipelines.local.record.results import FAILED, RUNNING, ArtifactRecord, RunResult
from headrace.pipelines.local.views.drawing import ASCII_GLYPHS, GLYPHS, Line, draw
from headrace.pipelines.local.views.json_view import artifacts_json, metrics_of, task_json, time_text
from headrace.pipelines.local.views.live import cells

LINES = 60  # of the graph, or of a table, before the middle is left out
_WIDEST = 72  # columns of a label, after which the next column is not aligned
_VALUES = 8  # metrics of a task in one line


def graph_text(graph: Graph | None, run: RunResult, signs: Mapping[str, str], whole: bool = False) -> list[str]:
    """The drawing of a run's graph.

    Args:
        graph: the pipeline; None where it is not recorded.
        signs: a sign for each state, see `live.signs`.
        whole: leaves nothing out, however long it is.
    """
    glyphs = GLYPHS if not all(sign.isascii() for sign in signs.values()) else ASCII_GLYPHS
    lines = draw(graph, run, glyphs)
    waiting = "·" if glyphs is GLYPHS else "."
    shown = [(f"{line.lead}{signs.get(line.state, waiting)} {line.label}", line) for line in lines]
    width = min(_WIDEST, max((cells(left) for left, _ in shown), default=0))
    texts = [f"{left}{' ' * (width - cells(left))}  {line.text}".rstrip() for left, line in shown]
    if whole or len(lines) <= LINES:
        return texts
    return list(_without_middle(texts, lines))


def _without_middle(texts: Sequence[str], lines: Sequence[Line]) -> Iterator[str]:
    """The beginning, the end, and of what is between the tasks that failed or run."""
    head, tail = LINES * 2 // 3, len(lines) - LINES // 3
    left_out = 0
    for number, (text, line) in enumerate(zip(texts, lines, strict=True)):
        if head <= number < tail and line.state not in (FAILED, RUNNING):
            left_out += 1
            continue
        if left_out:
            yield f"{line.lead}... {left_out} more lines; --all shows them"
            left_out = 0
        yield text


def metrics_text(run: RunResult, beside: Sequence[str] = (), whole: bool = False) -> list[str]:
    """The metrics of every task in a line, but for those of the tasks `beside`, which are shown in another way."""
    rows = []
    for task in run.tasks.values():
        metrics = metrics_of(task) if task.leaf and task.path not in beside else {}
        if metrics:
            said = [f"{name}={value_text(value)}" for name, value in list(metrics.items())[:_VALUES]]
            more = f" and {len(metrics) - _VALUES} more" if len(metrics) > _VALUES else ""
            rows.append((task.label, " ".join(said) + more))
    return _table(rows, whole)


def artifacts_text(run: RunResult, whole: bool = False) -> list[str]:
    """Every artifact that was put out, in a line: type, size, digest, what it says of itself."""
    rows = [
        (f"{task.label}/{name}", record.type.removeprefix("system."), size_text(record), short(record), _said(record))
        for task in run.tasks.values()
        if task.leaf
        for name, records in task.artifacts.items()
        for record in records
    ]
    return _table(rows, whole)


def _table(rows: Sequence[Sequence[str]], whole: bool) -> list[str]:
    shown = rows if whole else rows[:LINES]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in shown]
    return lines + ([f"... {len(rows) - len(shown)} more; --all shows them"] if len(shown) < len(rows) else [])


def short(record: ArtifactRecord) -> str:
    """A digest in twelve digits, enough to ask for it; nothing where there is none."""
    return short_digest(record.digest)


def short_digest(digest: str | None) -> str:
    kind, _, text = (digest or "").rpartition(":")
    return f"{kind}:{text[:12]}" if kind else ""


def size_text(record: ArtifactRecord) -> str:
    """How much there is of an artifact, in the units of a file manager."""
    if not record.files:
        return "" if record.digest is None else "empty"
    size, unit = float(record.bytes), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def value_text(value: Any) -> str:
    """A value in few characters: numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _said(record: ArtifactRecord) -> str:
    """An artifact's short metadata; a curve is not for a line, and metrics are shown elsewhere."""
    if record.type.endswith("Metrics"):
        return ""
    plain = {n: v for n, v in record.metadata.items() if isinstance(v, int | float | str | bool)}
    return " ".join(f"{name}={value_text(value)}" for name, value in list(plain.items())[:4])


def header_text(run: RunResult) -> str:
    """When a run began and of what it was made."""
    started = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
    labels = [f"{name} {value[:12] if name == 'commit' else value}" for name, value in run.labels.items() if value]
    return ", ".join([f"started {started}", *labels])


def run_json(run: RunResult, graph: Graph | None) -> dict[str, Any]:
    """All that is recorded of a run, for machines."""
    from headrace.pipelines.local.record.arrows import find_places, place_of

    places = find_places(graph) if graph else {}

    def one(path: str) -> dict[str, Any]:
        task = run.tasks[path]
        place = places.get(place_of(path))
        return {
            **task_json(task),
            "parameters": dict(task.parameters),
            "inputs": artifacts_json(task.inputs),
            "after": sorted(place.task.upstream) if place else None,
            "made_of": dict(task.made_of),
            "key": task.key,
            "max_rss_kib": task.max_rss_kib,
        }

    return {
        "run": run.id,
        "name": run.name,
        "pipeline": run.pipeline,
        "ir_digest": run.ir_digest,
        "state": run.state,
        "started": time_text(run.started),
        "seconds": run.seconds,
        "error": run.error,
        "labels": dict(run.labels),
        "parameters": dict(run.parameters),
        "outputs": dict(run.outputs),
        "tasks": {path: one(path) for path, task in run.tasks.items() if task.leaf},
        "groups": {path: one(path) for path, task in run.tasks.items() if not task.leaf},
        "not_reached": sorted(set(places) - {place_of(path) for path in run.tasks} - {""}) if places else [],
    }
