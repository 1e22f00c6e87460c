"""What a person sees of a run: a live line per task on a terminal, a plain line per event anywhere else."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

from headrace.pipelines.local import events
from headrace.pipelines.local.results import (
    CANCELLED,
    FAILED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    RunResult,
    TaskResult,
)

LOG_LINES = 20  # of a failed task that has no traceback
_WORDS = {SUCCEEDED: "done", FAILED: "FAILED", SKIPPED: "skipped", CANCELLED: "cancelled", RUNNING: "running"}
_SIGNS = {
    SUCCEEDED: ("✓", "green"),
    FAILED: ("✗", "bold red"),
    SKIPPED: ("–", "dim"),
    CANCELLED: ("■", "yellow"),
    RUNNING: ("•", "cyan"),
}


def make_view(stream: TextIO) -> PlainView | LiveView:
    """The listener for `run_pipeline` that suits a stream; close it when the run is over."""
    return LiveView(stream) if stream.isatty() else PlainView(stream)


def seconds_text(seconds: float) -> str:
    """A duration as people write it: 0.02 s, 3.1 s, 2 min 05 s."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def task_text(task: TaskResult) -> str:
    """What became of a task, in a few words."""
    word = _WORDS.get(task.state, task.state.lower())
    if task.state == SKIPPED:
        return f"{word} ({task.reason})" if task.reason else word
    if task.state == SUCCEEDED and task.cached:
        return f"{word} (cached)"
    if task.state in (SUCCEEDED, FAILED):
        retried = f", attempt {task.attempts}" if task.attempts > 1 else ""
        return f"{word} in {seconds_text(task.seconds)}{retried}"
    return word


class PlainView:
    """One line per event."""

    wants_ticks = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: events.Event) -> None:
        line = self._line(event)
        if line:
            print(line, file=self._stream, flush=True)

    def _line(self, event: events.Event) -> str:
        task = event.task
        if event.kind == events.RUN_STARTED:
            return f"run {event.run} of {event.message}"
        if event.kind == events.NOTICE:
            return f"note: {event.message}"
        if task is None or not task.leaf:
            return ""
        if event.kind == events.TASK_STARTED:
            return f"{task.label}: started" if task.attempts == 1 else f"{task.label}: started, attempt {task.attempts}"
        if event.kind == events.TASK_RETRIED:
            return f"{task.label}: attempt {task.attempts} failed ({first_line(event.message)}), trying again"
        return f"{task.label}: {task_text(task)}" if event.kind == events.TASK_FINISHED else ""

    def close(self) -> None:
        """Nothing to put away."""


class LiveView:
    """One line per task, redrawn as time passes."""

    wants_ticks = True

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._tasks: dict[str, TaskResult] = {}
        self._console = Console(file=stream)
        # No thread of its own: the runner ticks.
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._open = False

    def __call__(self, event: events.Event) -> None:
        if event.kind == events.RUN_STARTED:
            self._console.print(f"run {event.run} of {event.message}", style="dim", markup=False, highlight=False)
            self._live.start()
            self._open = True
        elif event.kind in (events.NOTICE, events.TASK_RETRIED):
            about = f"{event.task.label}: trying again: " if event.task else "note: "
            self._console.print(about + first_line(event.message), style="dim", markup=False, highlight=False)
        elif event.task is not None and event.task.leaf:
            self._tasks[event.task.path] = event.task
        if self._open:
            self._live.update(self._table(), refresh=True)
        if event.kind == events.RUN_FINISHED:
            self.close()

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        now = time.time()
        for task in self._shown():
            sign, style = _SIGNS.get(task.state, ("?", ""))
            text = task_text(task) if task.state != RUNNING else seconds_text(now - task.started)
            table.add_row(Text(sign, style), Text(task.label), Text(text, "dim"))
        return table

    def _shown(self) -> list[TaskResult]:
        """As many tasks as the screen has room for: those under way before those that are over."""
        room = max(3, self._console.size.height - 2)
        tasks = list(self._tasks.values())
        if len(tasks) <= room:
            return tasks
        running = [t for t in tasks if t.state == RUNNING]
        over = [t for t in tasks if t.state != RUNNING]
        return (over[-(room - len(running)) :] if room > len(running) else []) + running[:room]

    def close(self) -> None:
        """Leaves the last picture standing."""
        if self._open:
            self._open = False
            self._live.stop()


def first_line(text: str, limit: int = 160) -> str:
    """The first line of a message, shortened."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= limit else line[:limit] + "..."


def failure_text(result: RunResult, debug: bool = False) -> str:
    """Why a run failed: each failed task's own traceback, or its message alone where that says what to do."""
    parts = []
    for task in result.failed():
        error = task.error
        assert error is not None
        if error.user and not debug:
            parts.append(error.message if error.message.startswith(task.path) else f"{task.label}: {error.message}")
            continue
        body = error.trace.rstrip() or _log_end(task.log)
        told = "" if error.trace else f": {error.message}"
        where = f"\nlog: {task.log}" if task.log else ""
        parts.append(f"{body}\n{task.label} failed{told}{where}".strip())
    if result.error:
        parts.append(result.error)
    return "\n\n".join(parts)


def summary_text(result: RunResult) -> str:
    """A run in one line: state, time, and what became of its tasks."""
    leaves = [task for task in result.tasks.values() if task.leaf]
    counts = Counter(task.state for task in leaves)
    said = [f"{len(leaves)} task{'' if len(leaves) == 1 else 's'}"]
    if cached := sum(task.cached for task in leaves):
        said.append(f"{cached} cached")
    said += [f"{counts[state]} {_WORDS[state].lower()}" for state in (FAILED, SKIPPED, CANCELLED) if counts[state]]
    return f"{result.name} {result.id}: {result.state} in {seconds_text(result.seconds)} ({', '.join(said)})"


def _log_end(log: Path | None) -> str:
    """The last lines of a task's log; programs have no traceback."""
    if log is None or not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
