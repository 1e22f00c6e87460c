"""The live view: a line per task, redrawn in place, never higher or wider than the terminal.

The cursor is neither hidden nor moved beyond what was drawn, and no mode of the terminal is changed: whatever
ends the process, the terminal is as it was.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

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
from headrace.pipelines.local.views.view import WORDS, can_show, first_line, seconds_text, showable, task_text

INTERVAL = 0.1  # seconds between two pictures
ALONE = 3  # iterations of a loop that are shown one by one; more become one line
_SIZE = (80, 24)  # of a terminal that does not know its own
_SIGNS = {SUCCEEDED: "✓", FAILED: "✗", SKIPPED: "–", CANCELLED: "■", INTERRUPTED: "!", RUNNING: "•"}
_ASCII = {SUCCEEDED: "+", FAILED: "x", SKIPPED: "-", CANCELLED: "=", INTERRUPTED: "!", RUNNING: "*"}
_COLOURS = {SUCCEEDED: "32", FAILED: "1;31", SKIPPED: "2", CANCELLED: "33", INTERRUPTED: "33", RUNNING: "36"}
_DIM = "2"


@dataclass(frozen=True)
class Row:
    """One line of the picture."""

    state: str  # decides sign and colour, and what goes first where there is no room for all
    label: str
    text: str
    changed: float  # when its task last did something


def signs(stream: TextIO) -> Mapping[str, str]:
    """A sign for each state, in characters that a stream can show. They differ in shape, not only in colour."""
    return _SIGNS if can_show(stream, "".join(_SIGNS.values())) else _ASCII


class LiveView:
    """One line per task, redrawn as time passes; the iterations of a loop share one."""

    wants_ticks = True

    def __init__(self, stream: TextIO, colour: bool = True) -> None:
        self.text = stream
        self._colour, self._signs = colour, signs(stream)
        self._dots = "…" if can_show(stream, "…") else "..."
        self._tasks: dict[str, dict[str, TaskResult]] = {}  # label without loop indices -> path -> task
        self._widths: list[int] = []  # of the lines that stand on the screen, in cells
        self._said: list[str] = []  # lines to go above the picture, and stay
        self._began = time.time()
        self._drawn = 0.0
        self._open = False

    def __call__(self, event: events.Event) -> None:
        if event.kind == events.RUN_STARTED:
            self._say(f"run {event.run} of {event.message}")
            self._began, self._open = event.time, True
        elif event.kind in (events.NOTICE, events.TASK_RETRIED):
            about = f"{event.task.label}: trying again: " if event.task else "note: "
            self._say(about + first_line(event.message))
        elif event.task is not None and event.task.leaf:
            key = re.sub(r"\[\d+\]", "", event.task.label)
            self._tasks.setdefault(key, {})[event.task.path] = event.task
        if event.kind == events.RUN_FINISHED:
            self.close()
        elif self._open and time.monotonic() - self._drawn >= INTERVAL:
            self._draw()

    def refused(self, message: str) -> None:
        """Said by the command line, below the picture."""

    def ended(self, result: RunResult, outcome: Mapping[str, Any], exit_code: int) -> None:
        """Said in words by the command."""

    def close(self) -> None:
        """Leaves the last picture standing."""
        if self._open:
            self._draw(last=True)
            self._open = False
            self._widths = []

    def _say(self, line: str) -> None:
        """A line that stays, above the picture."""
        self._said.append(self._paint(line, _DIM))
        self._drawn = 0.0

    def _draw(self, last: bool = False) -> None:
        """Draws over the last picture, line by line: clearing a whole screen fills the history of some terminals."""
        width, height = terminal_size(self.text)
        rows = self._rows(time.time())
        shown, hidden = choose(rows, max(1, height - 2))
        labels = min(max((cells(row.label) for row in shown), default=0), max(8, (width - 4) * 6 // 10))
        lines = [self._line(row, labels, width - 1) for row in shown]
        if hidden or not last:
            lines.append(self._foot(hidden, width - 1))
        picture = "".join(f"{line}\x1b[K\n" for line in (*self._said, *(line for line, _ in lines)))
        self.text.write(f"{self._back()}{showable(self.text, picture)}\x1b[J")
        self.text.flush()
        self._widths, self._said = [wide for _, wide in lines], []
        self._drawn = time.monotonic()

    def _back(self) -> str:
        """To where the last picture began; lines that a narrowed terminal has wrapped count for several."""
        width, _ = terminal_size(self.text)
        up = sum(max(1, -(-wide // width)) for wide in self._widths)
        return f"\r\x1b[{up}A" if up else ""

    def _line(self, row: Row, labels: int, width: int) -> tuple[str, int]:
        label = shorten_left(printable(row.label), labels, self._dots)
        text = shorten(row.text, max(0, width - labels - 4), self._dots)
        body = f"{label}{' ' * (labels - cells(label))}"
        sign = self._signs.get(row.state, "?")
        colour = _COLOURS.get(row.state, "")
        tail = self._paint(text, "1;31" if row.state == FAILED else _DIM)
        return f"{self._paint(sign, colour)} {body}  {tail}", 2 + labels + 2 + cells(text)

    def _foot(self, hidden: int, width: int) -> tuple[str, int]:
        counts = Counter(task.state for tasks in self._tasks.values() for task in tasks.values())
        said = ", ".join(
            f"{counts[s]} {WORDS[s]}" for s in (FAILED, RUNNING, SUCCEEDED, SKIPPED, CANCELLED) if counts[s]
        )
        more = f"{self._dots} {hidden} more lines. " if hidden else ""
        text = shorten(
            f"{more}{seconds_text(time.time() - self._began)}{': ' if said else ''}{said}", width, self._dots
        )
        return self._paint(text, _DIM), cells(text)

    def _paint(self, text: str, colour: str) -> str:
        text = printable(text)
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour and text else text

    def _rows(self, now: float) -> list[Row]:
        rows = []
        for label, tasks in self._tasks.items():
            looped = len(tasks) > ALONE
            if looped:
                rows.append(_many(label, list(tasks.values())))
            # of a loop's iterations only the failed ones have lines of their own
            rows += [_one(task, now) for task in tasks.values() if not looped or task.state == FAILED]
        return rows


def _one(task: TaskResult, now: float) -> Row:
    running = task.state == RUNNING
    again = f", attempt {task.attempts}" if task.attempts > 1 else ""
    text = f"running, {seconds_text(max(0.0, now - task.started))}{again}" if running else task_text(task)
    return Row(task.state, task.label, text, task.started + task.seconds)


def _many(label: str, tasks: list[TaskResult]) -> Row:
    return Row(joint_state(tasks), f"{label} x {len(tasks)}", counts_text(tasks), max(t.started for t in tasks))


def joint_state(tasks: list[TaskResult]) -> str:
    """The state of several tasks as one: the most urgent of theirs."""
    states = {task.state for task in tasks}
    return next((s for s in (FAILED, RUNNING, INTERRUPTED, CANCELLED, SUCCEEDED, SKIPPED) if s in states), SUCCEEDED)


def counts_text(tasks: list[TaskResult]) -> str:
    """How many of the tasks are in which state: "998 done (12 cached), 2 FAILED"."""
    counts = Counter(task.state for task in tasks)
    cached = sum(task.cached for task in tasks)
    parts = []
    for state in dict.fromkeys((SUCCEEDED, FAILED, RUNNING, SKIPPED, CANCELLED, *counts)):
        if not (count := counts[state]):
            continue
        word = WORDS.get(state, state.lower())
        parts.append(f"{count} {word}" + (f" ({cached} cached)" if state == SUCCEEDED and cached else ""))
    return ", ".join(parts)


def choose(rows: list[Row], room: int) -> tuple[list[Row], int]:
    """The rows that fit, in their order, and how many do not: failed ones stay first, then running, then the latest."""
    if len(rows) <= room:
        return rows, 0
    urgent = {FAILED: 0, RUNNING: 1}
    ranked = sorted(range(len(rows)), key=lambda n: (urgent.get(rows[n].state, 2), -rows[n].changed))
    kept = sorted(ranked[:room])
    return [rows[n] for n in kept], len(rows) - room


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """(columns, lines) of the terminal behind a stream, as it is now."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _SIZE
    return size.columns or _SIZE[0], size.lines or _SIZE[1]


def printable(text: str) -> str:
    """A text without characters that could move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def cells(text: str) -> int:
    """How many columns a text takes."""
    return sum(_width(c) for c in text) if not text.isascii() else len(text)


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shorten(text: str, width: int, dots: str) -> str:
    """As much of the beginning of a text as fits."""
    if cells(text) <= width:
        return text
    while text and cells(text) + cells(dots) > width:
        text = text[:-1]
    return text + dots if cells(text) + cells(dots) <= width else ""


def shorten_left(text: str, width: int, dots: str) -> str:
    """As much of the end of a text as fits."""
    return shorten(text[::-1], width, dots[::-1])[::-1]
