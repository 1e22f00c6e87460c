"""`headrace run`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option, spec_argument

if TYPE_CHECKING:
    from headrace.pipelines.compiled import Compiled
    from headrace.pipelines.local.results import RunResult


@click.command("run")
@spec_argument
@click.option("-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), help="Tasks at the same time. [default: the number of cores]"
)
@click.option("--no-cache", is_flag=True, help="Run every task, also where nothing it depends on has changed.")
@home_option
def command(spec: Path, parameters: tuple[str, ...], max_parallel: int | None, no_cache: bool, home: Path) -> None:
    """Run the pipeline of SPEC (or a compiled pipeline.yaml) on this machine.

    Tasks of which neither code, environment nor inputs have changed are taken from the cache, also after a run
    that was killed. Exits with 1 when the run failed, and with 3 when it ran well but a gate did not pass.
    """
    os.environ.setdefault("HEADRACE_COMMIT", commit(spec.resolve().parent))
    pipeline, result = execute(spec, home, parse(parameters), max_parallel or os.cpu_count() or 1, not no_cache)
    sys.exit(report(spec, pipeline, result))


def execute(
    spec: Path, home: Path, parameters: dict[str, str], max_parallel: int, use_cache: bool
) -> tuple[Compiled, RunResult]:
    """Compiles where that is needed, and runs."""
    from headrace.pipelines.compiled import compiled
    from headrace.pipelines.local.environments import default_environments
    from headrace.pipelines.local.head_start import HeadStart, head_start
    from headrace.pipelines.local.run import run_pipeline
    from headrace.pipelines.local.view import make_view

    environments = default_environments()
    with contextlib.ExitStack() as stack:
        early: list[HeadStart] = []

        def start_early() -> None:
            if not (home / "store").exists():  # nothing is cached, so the slowest import of all is sure to be needed
                slow = {"tfx": Path(__file__).parents[2] / "components" / "statistics" / "component.py"}
                early.append(stack.enter_context(head_start(home, environments, slow, max_parallel)))

        pipeline = compiled(spec, home, start_early)
        view = make_view(sys.stdout)
        stack.callback(view.close)
        result = run_pipeline(
            pipeline.ir,
            parameters={**pipeline.parameters, **parameters},
            home=home,
            environments=environments,
            name=pipeline.name,
            labels={"spec": str(spec)},
            max_parallel=max_parallel,
            on_event=view,
            use_cache=use_cache,
            early=early[0] if early else None,
        )
    return pipeline, result


def report(spec: Path, pipeline: Compiled, result: RunResult) -> int:
    """Prints what came of a run; returns the exit code."""
    from headrace.pipelines.local.view import failure_text, summary_text
    from headrace.pipelines.outcome import outcome, outcome_text
    from headrace.pipelines.reports import publish_reports

    found = outcome(result)
    page = publish_reports(result, found)
    if not result.succeeded:
        click.echo(failure_text(result, debug=bool(os.environ.get("HEADRACE_DEBUG"))), err=True)
        if found.reports:
            click.echo(f"Reports: {page}", err=True)
        click.echo(summary_text(result), err=True)
        return 1
    if text := outcome_text(found, pipeline.name):
        click.echo("\n" + text)
    if pipeline.schema is not None and not pipeline.has_schema:
        click.echo(
            f"There is no {pipeline.schema} yet, so the schema was inferred from this very data and proves little. "
            f"Review and commit it: headrace schema accept {spec}"
        )
    click.echo(f"Reports: {page}")
    if found.pushed:
        click.echo(f"Serve it: headrace serve {pipeline.name}")
    click.echo(summary_text(result))
    return 3 if found.passed is False else 0


def parse(parameters: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` pairs as a dictionary; the runner casts values to the parameters' types."""
    pairs = {}
    for text in parameters:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--param: expected NAME=VALUE. Received: {text}")
        pairs[name] = value
    return pairs


def commit(folder: Path) -> str:
    """The commit that a folder is at, with `-dirty` where it was changed since; empty outside of git."""
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        if head.returncode != 0:
            return ""
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return head.stdout.strip() + ("-dirty" if dirty.stdout.strip() else "")
