"""`headrace show`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from headrace.pipelines.commands.options import home_option


@click.command("show")
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@home_option
def command(run: str, as_json: bool, home: Path) -> None:
    """Show RUN (by default the latest): its tasks, metrics, gates and reports."""
    from headrace.pipelines.local.record import load_run
    from headrace.pipelines.local.view import failure_text, summary_text, task_text
    from headrace.pipelines.outcome import outcome, outcome_text
    from headrace.pipelines.reports import publish_reports

    result = load_run(home, latest(home) if run == "latest" else run)
    found = outcome(result)
    if as_json:
        tasks = {
            task.path: {
                "state": task.state,
                "seconds": task.seconds,
                "cached": task.cached,
                "outputs": dict(task.outputs),
            }
            for task in result.tasks.values()
            if task.leaf
        }
        value = {
            "run": result.id,
            "name": result.name,
            "state": result.state,
            "seconds": result.seconds,
            "tasks": tasks,
        }
        click.echo(json.dumps({**value, **found.as_json()}, indent=2))
        return
    width = max((len(task.path) for task in result.tasks.values()), default=0)
    for task in result.tasks.values():
        if task.leaf:
            click.echo(f"  {task.path:<{width}}  {task_text(task)}")
    for text in (failure_text(result), outcome_text(found, result.name), summary_text(result)):
        if text:
            click.echo(text)
    click.echo(f"Reports: {publish_reports(result, found)}")


def latest(home: Path) -> str:
    """The id of the latest run.

    Raises:
        HeadraceError: there is none.
    """
    from headrace.artifacts.errors import HeadraceError
    from headrace.pipelines.local.record import list_runs

    runs = list_runs(home, 1)
    if not runs:
        raise HeadraceError(f"{home}: expected a run. Received: none; `headrace run SPEC` makes one")
    return runs[0].id
