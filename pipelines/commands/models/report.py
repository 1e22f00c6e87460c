"""`headrace models report`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.pipelines.commands.models.options import platform_option
from headrace.platforms.interface import Platform


@click.command("report")
@click.argument("models", nargs=-1)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), default="models-report", show_default=True,
    metavar="FOLDER", help="Where to write.",
)  # fmt: skip
@platform_option
def command(models: tuple[str, ...], output: Path, platform: Platform) -> None:
    """Write a page over all models, or MODELS: what needs somebody, then each with its metrics, gates and limits.

    MODELS are names, or patterns such as 'churn-*'. The folder gets index.html and the card of each model.
    """
    from headrace.components.card.models import write_models_report

    lines = write_models_report(platform.registry, models, output, f"The registry {platform.uri}")
    click.echo(f"{len(lines):,} model{'s' if len(lines) != 1 else ''}: {output / 'index.html'}")
