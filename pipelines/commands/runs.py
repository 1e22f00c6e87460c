"""`headrace runs`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option

STATES = ("RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "INTERRUPTED")


@click.command("runs")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--state", type=click.Choice(STATES, case_sensitive=False), help="Only the runs in this state.")
@click.option("--name", help="Only the runs of this name.")
@click.option("--json", "as_json", is_flag=True, help="For machines: an object per line.")
@home_option
def command(limit: int, state: str | None, name: str | None, as_json: bool, home: Path) -> None:
    """List the runs, the latest first."""
    from headrace.pipelines.local.record.record import list_runs
    from headrace.pipelines.local.views.json_view import dumps, time_text
    from headrace.pipelines.local.views.view import seconds_text

    runs = list_runs(home)
    if name is not None and name not in (names := sorted({run.name for run in runs})):
        raise HeadraceError(
            f"{home}: expected the name of a run ({', '.join(names) or 'there is none'}). Received: {name}"
        )
    found = [r for r in runs if name in (None, r.name) and state in (None, r.state)][:limit]
    if as_json:
        for run in found:
            facts = {"run": run.id, "name": run.name, "pipeline": run.pipeline, "state": run.state}
            times = {"started": time_text(run.started), "seconds": run.seconds}
            click.echo(dumps({**facts, **times, "labels": dict(run.labels)}))
        return
    if not found:
        click.echo("There is no such run." if runs else f"Nothing ran in {home} yet: headrace run SPEC", err=True)
        return
    width = max(len(run.id) for run in found)
    click.echo(f"{'RUN':<{width}}  {'STATE':<11}  {'STARTED':<19}  {'TOOK':>10}  NAME")
    for run in found:
        started = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{run.id:<{width}}  {run.state:<11}  {started}  {seconds_text(run.seconds):>10}  {run.name}")
