"""`headrace run`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from headrace.pipelines.commands.options import home_option, spec_argument


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
    from headrace.pipelines.compiled import compiled
    from headrace.pipelines.local.environments import default_environments
    from headrace.pipelines.local.run import run_pipeline
    from headrace.pipelines.local.view import failure_text, make_view, summary_text
    from headrace.pipelines.outcome import outcome, outcome_text
    from headrace.pipelines.reports import publish_reports

    pipeline = compiled(spec, home)
    os.environ.setdefault("HEADRACE_COMMIT", commit(spec.resolve().parent))
    view = make_view(sys.stdout)
    try:
        result = run_pipeline(
            pipeline.ir,
            parameters={**pipeline.parameters, **parse(parameters)},
            home=home,
            environments=default_environments(),
            name=pipeline.name,
            labels={"spec": str(spec)},
            max_parallel=max_parallel,
            on_event=view,
            use_cache=not no_cache,
        )
    finally:
        view.close()
    if not result.succeeded:
        click.echo(failure_text(result, debug=bool(os.environ.get("HEADRACE_DEBUG"))), err=True)
        click.echo(summary_text(result), err=True)
        sys.exit(1)
    found = outcome(result)
    page = publish_reports(result, found)
    text = outcome_text(found, pipeline.name)
    if text:
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
    if found.passed is False:
        sys.exit(3)


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
