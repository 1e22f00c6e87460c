"""`headrace models list`."""

from __future__ import annotations

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import json_option, platform_option
from headrace.platforms.interface import STATES, Platform

_STATES = (*STATES, "waiting")


@click.command("list")
@click.argument("model", required=False)
@click.option(
    "--match", metavar="TEXT", default="", help="Only models whose name has TEXT in it; `*` stands for anything."
)
@click.option("--state", type=click.Choice(_STATES), help="The versions in this state; `waiting`: for approval.")
@json_option
@platform_option
def command(model: str | None, match: str, state: str | None, as_json: bool, platform: Platform) -> None:
    """List the models: what serves, what is newest; or the versions of MODEL, the newest first."""
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.pipelines.models.listing import find_models, find_versions, models_json, models_text, versions_text
    from headrace.pipelines.models.words import version_json

    known = find_models(platform.registry, match)
    models = [item for item in known if model in (None, item.name)]
    if model and not models:
        raise HeadraceError(_unknown(model, [item.name for item in known]))
    if model or state:
        versions = find_versions(models, state or "")
        lines = [dumps(version_json(item)) for item in versions] if as_json else versions_text(versions)
    else:
        lines = [dumps(item) for item in models_json(models)] if as_json else models_text(models)
    for line in lines:
        click.echo(line)
    if not lines and not as_json:
        asked = f" is {state}" if state else ""
        click.echo(f"No version{asked}." if state else "No model is registered there yet: headrace run SPEC", err=True)


def _unknown(name: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    there = f"did you mean {near[0]}?" if near else f"there {'are' if len(known) > 1 else 'is'} {_few(known)}"
    return f"expected a registered model, or a command. Received: {name}; {there}"


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:10]) or "none yet"
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
