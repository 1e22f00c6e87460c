"""What the runner tells while it runs: one frozen event at a time, to one callable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace.pipelines.local.record.results import TaskResult

RUN_STARTED = "run_started"
TASK_STARTED = "task_started"
TASK_RETRIED = "task_retried"  # an attempt failed, another one follows
TASK_FINISHED = "task_finished"  # in whatever state: see `task`
NOTICE = "notice"  # something the user should know, said once a run
TICK = "tick"  # time has passed; only for a listener whose attribute `wants_ticks` is true
RUN_FINISHED = "run_finished"


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run."""

    kind: str
    run: str
    time: float  # seconds since the epoch
    message: str = ""
    state: str = ""  # of the run, when it has finished
    task: TaskResult | None = None
    log: Path | None = None


Listener = Callable[[Event], object]
