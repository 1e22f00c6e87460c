"""`headrace runs`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from headrace.pipelines.commands.options import home_option


@click.command("runs")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True)
@home_option
def command(limit: int, home: Path) -> None:
    """List the runs, the latest first."""
    from headrace.pipelines.local.record import list_runs
    from headrace.pipelines.local.view import seconds_text

    for run in list_runs(home, limit):
        started = datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{run.id}  {run.state:<11}  {started}  {seconds_text(run.seconds):>10}  {run.name}")
