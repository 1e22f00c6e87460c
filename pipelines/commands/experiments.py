"""`headrace experiments`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option


def _tracking_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--tracking",
        metavar="URI",
        default="local",
        show_default=True,
        help="The tracker: `local` is mlflow.db in the home folder; an MLflow server's URL, sqlite:///FILE, or "
        "vertex://PROJECT/LOCATION.",
    )(home_option(command))


_json_option = click.option("--json", "as_json", is_flag=True, help="For machines: an object per line; complete.")


@click.group("experiments")
def command() -> None:
    """List, show and compare tracked runs: parameters, metrics, and what they were made of.

    RUN is a pipeline run's id or the tracker's, the beginning of either, or `latest`.
    """


@command.command("list")
@click.argument("experiment", required=False)
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True)
@_json_option
@_tracking_option
def list_command(experiment: str | None, limit: int, as_json: bool, tracking: str, home: Path) -> None:
    """List the tracked runs of EXPERIMENT, or of all, the latest first."""
    from headrace.pipelines.experiments import list_text, run_json
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.platforms.open_tracker import open_tracker

    runs = open_tracker(tracking, home).runs(experiment)[:limit]
    if not runs and not as_json:
        click.echo("Nothing was tracked there yet: headrace run SPEC", err=True)
        return
    for line in [dumps(run_json(run)) for run in runs] if as_json else list_text(runs):
        click.echo(line)


@command.command("show")
@click.argument("run", default="latest")
@_json_option
@_tracking_option
def show_command(run: str, as_json: bool, tracking: str, home: Path) -> None:
    """Show all that is kept of RUN (by default the latest)."""
    from headrace.pipelines.experiments import run_json, show_text
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.platforms.open_tracker import open_tracker

    found = open_tracker(tracking, home).run(run)
    for line in [dumps(run_json(found))] if as_json else show_text(found):
        click.echo(line)


@command.command("compare")
@click.argument("runs", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also what is the same, and metrics of other splits.")
@_json_option
@_tracking_option
def compare_command(runs: tuple[str, ...], everything: bool, as_json: bool, tracking: str, home: Path) -> None:
    """Compare RUNS side by side (by default the latest with the one before): what differs, and all test metrics.

    `better` and `worse` stand where the first run's value lies outside of the other's 95 % interval.
    """
    from headrace.pipelines.experiments import compare_text, run_json
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.platforms.open_tracker import open_tracker
    from headrace.platforms.tracking import one_of

    if len(runs) == 1:
        raise click.UsageError("compare: expected at least two runs, or none for the latest two. Received: one")
    known = open_tracker(tracking, home).runs()
    found = [one_of(known, run, tracking) for run in runs] if runs else _latest_two(known)
    for line in [dumps(run_json(run)) for run in found] if as_json else compare_text(found, everything):
        click.echo(line)


@command.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@home_option
def ui_command(port: int, home: Path) -> None:
    """Start MLflow's pages over the runs of the home folder, for this machine alone."""
    from headrace.platforms.local.tracking.opening import FILE

    if not (home / FILE).exists():
        raise HeadraceError(f"{home / FILE}: expected tracked runs. Received: none yet. `headrace run SPEC` makes one")
    words = ["ui", "--backend-store-uri", f"sqlite:///{home / FILE}", "--host", "127.0.0.1", "--port", str(port)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *words])


def _latest_two(known: list[Any]) -> list[Any]:
    """The latest run and, before it, the one before of the same experiment."""
    before = [run for run in known[1:] if run.experiment == known[0].experiment] if known else []
    if not before:
        raise HeadraceError(f"compare: expected two tracked runs of one experiment. Received: {len(known[:1])}")
    return [before[0], known[0]]
