"""`headrace models card`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import named_or_latest, platform_option, version_argument
from headrace.platforms.interface import Platform
from headrace.platforms.lifecycle import label

if TYPE_CHECKING:
    from headrace.artifacts.card import ModelCard

FORMATS = {".html": "html", ".md": "markdown", ".json": "json"}


@click.command("card")
@version_argument
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to FILE.", metavar="FILE"
)
@click.option(
    "--format", "wanted", type=click.Choice(["html", "markdown", "json", "toolkit"]),
    help="[default: by the file's name, else markdown] toolkit: JSON of Google's Model Card Toolkit.",
)  # fmt: skip
@platform_option
def command(version: str, output: Path | None, wanted: str | None, platform: Platform) -> None:
    """Show a version's model card, with its state and approvals as of now. Of a model's name alone, the champion's.

    \b
    headrace models card churn
    headrace models card churn:3 --output card.html
    """
    from headrace.artifacts.folder import write_text
    from headrace.components.card.registered import card_of

    wanted = wanted or _format_of(output)
    found = named_or_latest(platform.registry, version)
    text = _written(card_of(platform.registry, found.name, found.version), wanted)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_text(output, text)
    except OSError as error:
        raise HeadraceError(f"{output}: expected a file that can be written. Received: {error}") from None
    click.echo(f"the card of {label(found)} is in {output}")


def _format_of(output: Path | None) -> str:
    if output is None:
        return "markdown"
    if output.suffix not in FORMATS:
        known = ", ".join(FORMATS)
        raise HeadraceError(f"--output: expected a name that ends with {known}, or --format. Received: {output}")
    return FORMATS[output.suffix]


def _written(card: ModelCard, wanted: str) -> str:
    if wanted == "html":
        return card.to_html()
    if wanted == "markdown":
        return card.to_markdown()
    if wanted == "json":
        from headrace.artifacts.card import card_json

        return card_json(card)
    import json

    from headrace.artifacts.card_toolkit import toolkit

    return json.dumps(toolkit(card), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
