"""`headrace init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="A CSV or Parquet file, a folder of pictures with a folder for each class, or a CSV of paths. [required]",
)
@click.option("--label", help="The column to predict. [pictures: label]")
@click.option("--id", help="The column that identifies a row. [default: found by its name and values]")
@click.option(
    "--task",
    type=click.Choice(["classification", "regression", "image_classification"]),
    help="[default: by the source and the label's values]",
)
@click.option(
    "--source-format",
    "format",
    type=click.Choice(["csv", "tsv", "parquet", "jsonl", "avro", "tfrecord"]),
    help="Where a table's suffix does not tell it. [default: by the suffix]",
)
@click.option("--force", is_flag=True, help="Replace a spec that is there already.")
def command(
    folder: Path,
    source: Path | None,
    label: str | None,
    id: str | None,
    task: str | None,
    format: str | None,
    force: bool,
) -> None:
    """Write FOLDER/spec.yaml for a table or for pictures, with what was inferred explained in comments."""
    if folder.is_file():
        raise click.UsageError(
            f"expected a folder for the spec. Received: {folder}, a file; "
            f"did you mean `headrace init {folder.stem} --from {folder}`?"
        )
    if source is None:
        raise click.UsageError(f"expected --from with a file or a folder of pictures to make {folder}/spec.yaml for")

    from headrace.pipelines.init import init

    file = init(folder, source, label, task, id, format=format, force=force)
    click.echo(file.read_text(), nl=False)
    click.echo(f"\nWritten to {file}. Next: headrace run {file}", err=True)
