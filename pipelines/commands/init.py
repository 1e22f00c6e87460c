"""`headrace init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="A table (a file, a glob, the URL of a bucket's or of a database), a folder of pictures with a folder for "
    "each class, or a CSV of their paths. [required]",
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
@click.option("--query", metavar="SQL", help="What a database is asked: a query, or a table's name.")
@click.option("--force", is_flag=True, help="Replace a spec that is there already.")
def command(
    folder: Path,
    source: str | None,
    label: str | None,
    id: str | None,
    task: str | None,
    format: str | None,
    query: str | None,
    force: bool,
) -> None:
    """Write FOLDER/spec.yaml for a table or for pictures, with what was inferred explained in comments."""
    if folder.is_file():
        raise click.UsageError(
            f"expected a folder for the spec. Received: {folder}, a file; "
            f"did you mean `headrace init {folder.stem} --from {folder}`?"
        )
    if not source:
        raise click.UsageError(f"expected --from with what {folder}/spec.yaml is to be for. Received: none")

    from headrace.pipelines.init import init

    file = init(folder, source, label, task, id, format=format, query=query, force=force)
    click.echo(file.read_text(encoding="utf-8"), nl=False)
    click.echo(f"\nWritten to {file}. Next: headrace run {file}", err=True)
