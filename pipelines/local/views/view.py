"""What is seen of a run: a live line per task on a terminal, a plain line per event anywhere else, or JSON."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import events
from headrace.pipelines.local.record.results import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    RunResult,
    TaskResult,
)

LOG_LINES = 20  # of a failed task that has no traceback
FAILURES = 5  # that are told at length; of a loop a thousand may have failed, and for the same reason
PROGRESS = 10.0  # seconds between two lines that say how far a loop is
_LATER = re.compile(r"\[(?:[3-9]|\d{2,})\]")  # an iteration that is not among the first three of its loop
WORDS = {
    SUCCEEDED: "done",
    FAILED: "FAILED",
    SKIPPED: "skipped",
    CANCELLED: "cancelled",
    INTERRUPTED: "interrupted",
    RUNNING: "running",
}


class View(Protocol):
    """A listener for `run_pipeline` that is put away when the run is over."""

    wants_ticks: bool

    def __call__(self, event: events.Event) -> None: ...

    @property
    def text(self) -> TextIO:
        """Where text for people goes beside this view."""

    def refused(self, message: str) -> None:
        """The run cannot go on, or could not begin: nothing but the message will follow."""

    def ended(self, result: RunResult, outcome: Mapping[str, Any], exit_code: int) -> None:
        """The run is over, and this is what came of it (`Outcome.as_json`)."""

    def close(self) -> None:
        """Leaves the last picture standing."""


def make_view(stream: TextIO, as_json: bool = False, environ: Mapping[str, str] = os.environ) -> View:
    """The view that suits a stream: live on a terminal that can move its cursor, else a line per event.

    Args:
        stream: where it goes.
        as_json: events as JSON, one object per line, for programs.
        environ: TERM and NO_COLOR are read from it.
    """
    if as_json:
        from headrace.pipelines.local.views.json_view import JsonView

        return JsonView(stream, sys.stderr)
    if stream.isatty() and environ.get("TERM", "") not in ("", "dumb"):
        from headrace.pipelines.local.views.live import LiveView

        return LiveView(stream, colour=not environ.get("NO_COLOR"))
    return PlainView(stream)


@contextlib.contextmanager
def viewing(stream: TextIO, as_json: bool = False) -> Iterator[View]:
    """`make_view`, told of an error that ends the block, and put away after it."""
    view = make_view(stream, as_json)
    try:
        yield view
    except HeadraceError as error:
        view.refused(str(error))
        raise
    finally:
        view.close()


def can_show(stream: TextIO, text: str) -> bool:
    """Whether a stream's encoding has all the characters of a text."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def showable(stream: TextIO, text: str) -> str:
    """A text with what the stream's encoding lacks replaced by question marks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


def seconds_text(seconds: float) -> str:
    """A duration as people write it: 0.02 s, 3.1 s, 2 min 05 s."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def task_text(task: TaskResult) -> str:
    """What became of a task, in a few words."""
    word = WORDS.get(task.state, task.state.lower())
    if task.state == SKIPPED:
        return f"{word} ({task.reason})" if task.reason else word
    if task.state == SUCCEEDED and task.cached:
        return f"{word} (cached)"
    if task.state in (SUCCEEDED, FAILED):
        retried = f", attempt {task.attempts}" if task.attempts > 1 else ""
        return f"{word} in {seconds_text(task.seconds)}{retried}"
    return word


class PlainView:
    """One line per event; of a loop's iterations the first few, what fails, and now and then how far the others are."""

    wants_ticks = False

    def __init__(self, stream: TextIO) -> None:
        self.text = stream
        self._loops: dict[str, dict[str, TaskResult]] = {}  # the tasks not told one by one, by loop and path
        self._told = 0.0  # when it was last said how far they are
        self._said: dict[str, str] = {}  # what was, by loop

    def __call__(self, event: events.Event) -> None:
        line = self._line(event)
        if line:
            self._print(line)
        if self._loops and (event.kind == events.RUN_FINISHED or event.time - self._told >= PROGRESS):
            self._told = event.time
            self._tell_progress()

    def _tell_progress(self) -> None:
        """How far each loop is, where that is not what was said last."""
        for loop, tasks in self._loops.items():
            line = f"{loop}: {_progress(tasks)}"
            if self._said.get(loop) != line:
                self._said[loop] = line
                self._print(line)

    def _print(self, line: str) -> None:
        print(showable(self.text, line), file=self.text, flush=True)

    def _line(self, event: events.Event) -> str:
        task = event.task
        if task is not None and task.leaf and (iteration := _LATER.search(task.path)):
            if event.kind in (events.TASK_STARTED, events.TASK_FINISHED):
                self._loops.setdefault(task.path[: iteration.start()], {})[task.path] = task
            if event.kind != events.TASK_RETRIED and task.state != FAILED:
                return ""
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

    def refused(self, message: str) -> None:
        """Said by the command line."""

    def ended(self, result: RunResult, outcome: Mapping[str, Any], exit_code: int) -> None:
        """Said in words by the command."""

    def close(self) -> None:
        """Nothing to put away."""


def first_line(text: str, limit: int = 160) -> str:
    """The first line of a message, shortened."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= limit else line[:limit] + "..."


def _progress(tasks: Mapping[str, TaskResult]) -> str:
    """How far the iterations of a loop are, in a line."""
    counts = Counter(task.state for task in tasks.values())
    begun = len({_LATER.split(path)[0] + match.group() for path in tasks if (match := _LATER.search(path))})
    said = ", ".join(f"{counts[s]:,} {WORDS[s]}" for s in (SUCCEEDED, FAILED, SKIPPED, CANCELLED) if counts[s])
    return f"{begun:,} more iterations begun" + (f"; of their tasks {said}" if said else "")


def failure_text(result: RunResult, debug: bool = False) -> str:
    """Why a run failed: each failed task's own traceback, or its message alone where that says what to do."""
    parts = []
    failed = result.failed()
    for task in failed[:FAILURES]:
        error = task.error
        assert error is not None
        if error.user and not debug:
            parts.append(message_text(task))
            continue
        told = "" if error.trace else f": {error.message}"
        where = f"\nlog: {task.log}" if task.log else ""
        parts.append(f"{trace_text(task)}\n{task.label} failed{told}{where}".strip())
    if len(failed) > FAILURES:
        parts.append(f"{len(failed) - FAILURES} more failed: {some_labels(failed[FAILURES:])}")
    if result.error:
        parts.append(result.error)
    return "\n\n".join(parts)


def some_labels(tasks: Sequence[TaskResult]) -> str:
    """The names of the first of these tasks."""
    return ", ".join(task.label for task in tasks[:FAILURES]) + (", ..." if len(tasks) > FAILURES else "")


def message_text(task: TaskResult) -> str:
    """What a failed task said, after its name."""
    message = task.error.message if task.error else ""
    return message if message.startswith(task.path) else f"{task.label}: {message}"


def trace_text(task: TaskResult) -> str:
    """The traceback of a failed task; of a program, which has none, the end of its log."""
    return (task.error.trace.rstrip() if task.error else "") or _log_end(task.log)


def summary_text(result: RunResult) -> str:
    """A run in one line: state, time, and what became of its tasks."""
    leaves = [task for task in result.tasks.values() if task.leaf]
    counts = Counter(task.state for task in leaves)
    said = [f"{len(leaves)} task{'' if len(leaves) == 1 else 's'}"]
    if cached := sum(task.cached for task in leaves):
        said.append(f"{cached} cached")
    said += [
        f"{counts[state]} {WORDS[state].lower()}"
        for state in (FAILED, SKIPPED, CANCELLED, INTERRUPTED)
        if counts[state]
    ]
    return f"{result.name} {result.id}: {result.state} in {seconds_text(result.seconds)} ({', '.join(said)})"


def _log_end(log: Path | None) -> str:
    """The last lines of a task's log; programs have no traceback."""
    if log is None or not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
