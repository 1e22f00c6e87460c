"""Follows a run that goes on elsewhere, in the views that `headrace run` has."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headrace.pipelines.local import events
from headrace.pipelines.local.record.results import RunResult, TaskError, TaskResult
from headrace.pipelines.local.views.view import View
from headrace.platforms.running import (
    ENDED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Runs,
    Submitted,
    TaskState,
    wait_for,
)

TICK_S = 0.1  # between two pictures of a live view
_GATE = "gate-passed"  # in the condition of what only a model that passed its gates gets
_DEPLOYS = "push"


class Following:
    """Tells a view what has changed between two looks at a run."""

    def __init__(self, view: View, run: Submitted) -> None:
        self._view, self._run = view, run.id
        self._told: dict[str, TaskState] = {}
        self.tasks: dict[str, TaskResult] = {}
        self.now = run
        view(events.Event(events.RUN_STARTED, run.id, run.created or time.time(), message=run.name))

    def __call__(self, run: Submitted, tasks: Sequence[TaskState]) -> None:
        if self.now.state != run.state and run.state in (PAUSED, PENDING):
            self._view(events.Event(events.NOTICE, self._run, time.time(), message=f"the run is {run.state.lower()}"))
        self.now = run
        for task in tasks:
            before = self._told.get(task.name)
            if task == before or task.state == PENDING:
                continue
            self._told[task.name] = task
            self.tasks[task.name] = shown = result_of(task, run)
            if task.state in ENDED:
                self._tell(events.TASK_FINISHED, task.ended, shown)
            elif before is None or before.state != task.state:
                self._tell(events.TASK_STARTED, task.started, shown)

    def pause(self, seconds: float) -> None:
        """Waits, and has a live view draw the time that passes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(TICK_S if self._view.wants_ticks else left, left))
            if self._view.wants_ticks:
                self._view(events.Event(events.TICK, self._run, time.time()))

    def finish(self) -> RunResult:
        """Tells the view that the run has ended, and returns all that is known of it."""
        run = self.now
        end = run.ended or time.time()
        self._view(events.Event(events.RUN_FINISHED, run.id, end, state=run.state))
        begun = run.created or min((task.started for task in self.tasks.values() if task.started), default=end)
        failed = any(task.state == FAILED and task.error for task in self.tasks.values() if task.leaf)
        return RunResult(
            id=run.id,
            name=run.name,
            pipeline=run.name,
            state=run.state,
            started=begun,
            seconds=max(0.0, end - begun),
            labels={},
            parameters={},
            tasks=self.tasks,
            error="" if failed else run.error,
        )

    def logs(self) -> list[str]:
        """Where the logs of the tasks that failed are, a line each."""
        failed = [task for task in self._told.values() if task.state == FAILED and task.log and not task.group]
        return [f"log of {task.name}: {task.log}" for task in failed]

    def _tell(self, kind: str, when: float | None, task: TaskResult) -> None:
        self._view(events.Event(kind, self._run, when or time.time(), task=task))


def follow(runs: Runs, run: Submitted, view: View, every_s: float = 5.0) -> Following:
    """Shows a run until it has ended.

    Raises:
        RunsError: the platform has not answered several times in a row.
    """
    following = Following(view, run)
    wait_for(runs, run.id, following, every_s=every_s, pause=following.pause)
    return following


def result_of(task: TaskState, run: Submitted) -> TaskResult:
    """A task in the terms of the runs on this machine; its error is the platform's."""
    started = task.started or run.created or time.time()
    error = TaskError("", task.error or "failed, and the platform does not say why", user=True)
    return TaskResult(
        path=task.name,
        name=task.name.rsplit("/", 1)[-1],
        component=re.sub(r"(-\d+)?(\[\d+\])?$", "", task.name.rsplit("/", 1)[-1]),
        state=RUNNING if task.state == PAUSED else task.state,
        leaf=not task.group,
        seconds=max(0.0, (task.ended or time.time()) - started) if task.started else 0.0,
        cached=task.cached,
        attempts=1 if task.started and not task.cached else 0,
        started=started,
        error=error if task.state == FAILED else None,
    )


def exit_code(state: str, tasks: Mapping[str, TaskResult], ir: Mapping[str, Any] | None) -> int:
    """0 for a run that went well, 1 for another, 3 where a gate kept a model from being deployed.

    It fails closed: where the pipeline has a gate and nothing was seen to be deployed, that is 3 as well.

    Args:
        state: of the run.
        tasks: by path.
        ir: the pipeline; None where it is not known, and there is no saying which condition is a gate's.
    """
    if state != SUCCEEDED:
        return 1
    behind = set(_behind_gates(ir)) if ir else set()
    if not behind:
        return 0
    if any(task.state == SKIPPED and _own(path) in behind for path, task in tasks.items()):
        return 3
    deployed = any(task.state == SUCCEEDED and _own(path) == _DEPLOYS for path, task in tasks.items())
    return 0 if deployed else 3


def _own(path: str) -> str:
    """A task's own name in its path, without the iteration."""
    return re.sub(r"\[\d+\]$", "", path.rsplit("/", 1)[-1])


def _behind_gates(ir: Mapping[str, Any]) -> Iterator[str]:
    """The tasks that a gate's decision is the condition of, and what is in them."""
    components: Mapping[str, Any] = ir.get("components", {})
    for dag in (ir["root"], *components.values()):
        for name, task in dag.get("dag", {}).get("tasks", {}).items():
            if _GATE in task.get("triggerPolicy", {}).get("condition", ""):
                yield name
                inner = components.get(task.get("componentRef", {}).get("name", ""), {})
                yield from inner.get("dag", {}).get("tasks", {})
