"""`headrace models show`."""

from __future__ import annotations

import click

from headrace.pipelines.commands.models.options import json_option, named_or_latest, platform_option, version_argument
from headrace.platforms.interface import Platform


@click.command("show")
@version_argument
@json_option
@platform_option
def command(version: str, as_json: bool, platform: Platform) -> None:
    """Show a version: state, approvals, metrics, documents, history. Of a model's name alone, the champion."""
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.pipelines.models.showing import show_json, show_text

    found = named_or_latest(platform.registry, version)
    for line in [dumps(show_json(platform.registry, found))] if as_json else show_text(platform.registry, found):
        click.echo(line)
