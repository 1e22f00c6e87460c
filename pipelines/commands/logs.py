"""`headrace logs`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option

if TYPE_CHECKING:
    from headrace.pipelines.local.record.record import Record
    from headrace.pipelines.local.record.results import TaskResult
    from headrace.pipelines.local.record.selection import Selection
    from headrace.pipelines.local.views.logs import Said


@click.command("logs")
@click.argument("run")
@click.argument("task", required=False)
@click.option("-f", "--follow", "follow", is_flag=True, help="Go on while it runs, also before it has begun.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of each task.")
@home_option
def command(run: str, task: str | None, follow: bool, tail: int | None, home: Path) -> None:
    """Print what TASK printed in RUN, or what all tasks did, each line after its task's label.

    RUN is an id or its beginning, `latest`, or a pipeline's name. A TASK in a loop is LOOP[3]/TASK, or LOOP/TASK
    for all iterations. Only what tasks printed goes to stdout; what is said about them goes to stderr.
    """
    from headrace.pipelines.commands.show import graph_of
    from headrace.pipelines.local.record.finding import find_run, opened
    from headrace.pipelines.local.record.selection import look, select

    with opened(home) as record:
        run_id = find_run(record, run)
        tasks, state = look(record, run_id)
        wanted = select(tasks, graph_of(record, run_id), task)
        if follow and state == "RUNNING":
            if wanted.single and not any(map(wanted.has, tasks)):
                click.echo(f"headrace: {task}: it has not begun; waiting for it", err=True)
            _follow(lambda: look(record, run_id, wanted), wanted, tail)
            return
        found = [t for t in tasks if wanted.has(t)]
        if wanted.single:
            _one(record, found, task or "", state, tail)
            return
        for one in found:
            if one.log is not None and one.log.exists():
                _print_all(one, tail)


def _follow(looked: Callable[[], tuple[list[TaskResult], str]], wanted: Selection, tail: int | None) -> None:
    from headrace.pipelines.local.views.logs import follow

    try:
        _print(follow(looked, tail, expected=1 if wanted.single else None), prefixed=not wanted.single)
    except KeyboardInterrupt:
        sys.exit(130)  # that is how one stops following


def _print(lines: Iterable[Said], prefixed: bool) -> None:
    for said in lines:
        if said.about:
            click.echo(f"headrace: {said.task.label}: {said.line}", err=True)
        else:
            click.echo(f"{said.task.label} | {said.line}" if prefixed else said.line)


def _print_all(task: TaskResult, tail: int | None) -> None:
    from headrace.pipelines.local.views.logs import log_lines

    assert task.log is not None
    for line in log_lines(task.log, tail):
        sys.stdout.write(f"{task.label} | {line}\n")


def _one(record: Record, found: list[TaskResult], name: str, state: str, tail: int | None) -> None:
    """One task's log.

    Raises:
        HeadraceError: it has none.
    """
    from headrace.pipelines.local.record.selection import origin_of
    from headrace.pipelines.local.views.logs import log_lines

    if not found:
        hint = "; -f waits for it" if state == "RUNNING" else ""
        raise HeadraceError(f"{name}: expected a task that has begun. Received: one that has not{hint}")
    (task,) = found
    if task.log is None or not task.log.exists():
        what = "cached" if task.cached else task.state.lower()
        origin = origin_of(record, task) if task.cached else None
        hint = f"; `headrace logs {origin} {task.label}` has that of the run which made it" if origin else ""
        raise HeadraceError(f"{name}: expected a log. Received: none; it was {what}{hint}")
    for line in log_lines(task.log, tail):
        sys.stdout.write(line + "\n")
