"""`headrace batch-predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.artifacts.errors import row_count
from headrace.pipelines.commands.options import decimal_option, home_option, platform_uri_option, separator_option

if TYPE_CHECKING:
    from headrace.components.batch_predict.batch_predict import Predicted
    from headrace.components.statistics.spec import BeamSpec

_SHOWN = 5  # inputs that a note on unseen values names


@click.command("batch-predict")
@click.argument("model")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A file named .parquet, .csv or .jsonl; a name without a suffix is a folder of such files.",
)
@click.option(
    "--format", type=click.Choice(["parquet", "csv", "jsonl"]), help="Of a folder's files. [default: parquet]"
)
@click.option("--key", metavar="COLUMN", help="Names each row in the output, instead of its number. Must be unique.")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column of the source that the output has too; repeatable."
)
@click.option(
    "--max-rejects",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Rows without an answer before the job fails; they go to NAME.rejects.parquet with the reason.",
)
@click.option("--query", metavar="SQL", help="What a database is asked: a query, or a table's name.")
@click.option(
    "--source-format",
    type=click.Choice(["csv", "tsv", "parquet", "jsonl", "avro", "tfrecord", "images"]),
    help="Where a suffix does not tell it. [default: by the suffix]",
)
@click.option(
    "--null",
    "nulls",
    multiple=True,
    metavar="TEXT",
    help="Means missing in text files; repeatable. [default: as in training]",
)
@separator_option("text files")
@decimal_option("text files")
@click.option("--threads", type=click.IntRange(min=1), help="That score. [default: the number of cores]")
@click.option(
    "--part-rows",
    type=click.IntRange(min=1),
    default=500_000,
    show_default=True,
    help="Rows from which on a part ends: a file of a folder, and what a kill costs. What is read at a time, up to "
    "65,536 rows, is not divided.",
)
@click.option(
    "--beam", "runner", metavar="RUNNER", help="Score by Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ..."
)
@click.option(
    "--beam-option", "options", multiple=True, metavar="NAME=VALUE", help="One of Beam's pipeline options; repeatable."
)
@click.option("--overwrite", is_flag=True, help="Replace what lies at the output's place.")
@click.option("--restart", is_flag=True, help="Begin anew, also where parts of a job that was killed could be used.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report of the predictions."
)
@platform_uri_option
@home_option
def command(model: str, sources: tuple[str, ...], output: Path, home: Path, platform: str, **given: Any) -> None:
    """Answer every row of SOURCE by MODEL: an endpoint, a registered model (`churn:2`), or a bundle's folder.

    SOURCE is whatever a spec's data.source is: files, globs, URLs, databases, folders of images. Each row has exactly
    one row in the output, in order, or one among the rejects, with the reason. The same command again goes on where one
    that was killed has stopped.
    """
    from headrace.components.batch_predict.batch_predict import batch_predict
    from headrace.components.batch_predict.job import Job, Reading
    from headrace.components.fingerprint.url import absolute
    from headrace.pipelines.locate import open_bundle

    reading = Reading(
        format=given["source_format"],
        query=given["query"],
        null_values=given["nulls"] or None,
        separator=given["separator"],
        decimal=given["decimal"],
    )
    job = Job(
        sources=tuple(absolute(one, Path.cwd()) for one in sources),
        output=output,
        format=given["format"],
        key=given["key"],
        keep=given["keep"],
        max_rejects=given["max_rejects"],
        reading=reading,
        beam=_beam(given["runner"], given["options"]),
        part_rows=given["part_rows"],
        threads=given["threads"] or 0,
    )
    bundle = open_bundle(model, platform, home)
    shown = sys.stderr.isatty()
    found = batch_predict(job, bundle, given["overwrite"], given["restart"], _progress if shown else None)
    if shown:
        click.echo("\r\033[K", nl=False, err=True)
    if given["report"]:
        from headrace.components.batch_predict.report import write_report

        write_report(given["report"], found, bundle)
    _say(found, f"{bundle.name}:{bundle.version}" if bundle.version else bundle.name)


def _progress(rows: int) -> None:
    click.echo(f"\r\033[K{rows:,} rows", nl=False, err=True)


def _say(found: Predicted, model: str) -> None:
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    unseen = sorted(found.unseen.items(), key=lambda item: -item[1])
    if unseen:
        more = ", ..." if len(unseen) > _SHOWN else ""
        named = ", ".join(f"{count:,} in `{name}`" for name, count in unseen[:_SHOWN])
        click.echo(f"note: values that training did not know, scored as such: {named}{more}", err=True)
    for name, count in found.infinite.items():
        click.echo(f"note: `{name}`: {count:,} infinite values count as missing", err=True)
    new = found.rows + found.rejected - found.resumed
    resumed = f", {found.resumed:,} of them made before" if found.resumed else ""
    speed = f" ({new / found.seconds:,.0f} rows/s)" if new > 0 and found.seconds > 0 else ""
    click.echo(f"{found.files.output}: {found.rows:,} rows by {model}{resumed}, {found.seconds:.1f} s{speed}")
    if found.files.rejects is not None:
        click.echo(f"{found.files.rejects}: {row_count(found.rejected)} without an answer")


def _beam(runner: str | None, options: tuple[str, ...]) -> BeamSpec | None:
    """The section that a spec would have; options' values are what YAML takes them for."""
    import yaml

    from headrace.components.statistics.spec import runner_of

    if runner is None:
        if options:
            raise click.UsageError(f"expected --beam-option with --beam only. Received: {options[0]} without")
        return None
    values: dict[str, Any] = {}
    for text in options:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--beam-option: expected NAME=VALUE. Received: {text}")
        values[name] = yaml.safe_load(value)
    beam = runner_of(None, runner)
    return None if beam is None else beam.model_copy(update={"options": values})
