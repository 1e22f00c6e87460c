"""`headrace init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--from",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="A CSV or Parquet file, a folder of pictures with a folder for each class, or a CSV of their paths.",
)
@click.option("--label", help="The column to predict. [pictures: label]")
@click.option("--id", help="The column that identifies a row. [default: found by its name and values]")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression", "image_classification"]),
    help="[default: by the source and the label's values]",
)
@click.option("--force", is_flag=True, help="Replace a spec that is there already.")
def command(folder: Path, source: Path, label: str | None, id: str | None, task: str | None, force: bool) -> None:
    """Write FOLDER/spec.yaml for a table or for pictures, with what was inferred explained in comments."""
    from headrace.pipelines.init import init

    file = init(folder, source, label, task, id, force=force)
    click.echo(file.read_text(), nl=False)
    click.echo(f"\nWritten to {file}. Next: headrace run {file}", err=True)
