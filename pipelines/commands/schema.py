"""`headrace schema`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option, spec_argument


@click.group("schema")
def command() -> None:
    """Take over the schema that a run inferred, to be reviewed and committed beside the spec."""


@command.command("accept")
@spec_argument
@click.option("--run", "run_id", help="The run whose schema to take. [default: the spec's latest that has one]")
@click.option("--force", is_flag=True, help="Replace the schema that is there.")
@home_option
def accept(spec: Path, run_id: str | None, force: bool, home: Path) -> None:
    """Copy the schema that a run used to where SPEC says its schema is."""
    from headrace.artifacts.schema import FILE, read_schema
    from headrace.pipelines.local.record.record import list_runs, load_run
    from headrace.pipelines.spec import load_spec

    loaded = load_spec(spec)
    target = spec.parent / loaded.validation.schema_file
    if target.exists() and not force:
        raise HeadraceError(f"{target}: expected no schema there yet. Received: one; --force replaces it")
    candidates = [run_id] if run_id else [run.id for run in list_runs(home) if run.name == loaded.name]
    for candidate in candidates:
        for task in load_run(home, candidate).tasks.values():
            for artifact in task.artifacts.get("schema", ()):
                if task.name == "validate" and artifact.path and artifact.path.exists():
                    read_schema(artifact.path)
                    shutil.copyfile(artifact.path / FILE, target)
                    click.echo(f"{target}: the schema of run {candidate}. Review it, and commit it beside the spec.")
                    return
    raise HeadraceError(
        f"{home}: expected a run of {loaded.name} with a schema. Received: none; `headrace run {spec}` first"
    )
