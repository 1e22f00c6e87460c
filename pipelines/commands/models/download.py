"""`headrace models download`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.pipelines.commands.models.options import named_or_latest, platform_option, version_argument
from headrace.platforms.interface import Platform
from headrace.platforms.lifecycle import label


@click.command("download")
@version_argument
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@platform_option
def command(version: str, folder: Path | None, platform: Platform) -> None:
    """Copy a version's bundle to FOLDER, checked against its digest. [default: MODEL-VERSION]

    Of a model's name alone, the champion.
    """
    found = named_or_latest(platform.registry, version)
    target = folder or Path(f"{found.name}-{found.version}")
    platform.registry.download(found.name, found.version, target)
    click.echo(f"{label(found)} ({found.digest[:19]}) is in {target}")
