"""`headrace models audit`."""

from __future__ import annotations

from dataclasses import asdict

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import json_option, platform_option
from headrace.platforms.interface import ModelRegistry, Platform


@click.command("audit")
@click.argument("model", required=False)
@click.option("-n", "--limit", type=click.IntRange(min=0), default=0, help="Only so many, the latest. [default: all]")
@click.option("--verify", is_flag=True, help="Verify the whole log, and the registry against it.")
@click.option("--head", default="", metavar="HASH", help="Also that it still has the entry with this hash.")
@click.option("--bundles", is_flag=True, help="Also that every bundle and document is what was registered.")
@json_option
@platform_option
def command(
    model: str | None, limit: int, verify: bool, head: str, bundles: bool, as_json: bool, platform: Platform
) -> None:
    """Show who did what and why, the oldest first: all, or what is about MODEL.

    With --verify, exits with 1 where an entry was changed, left out or put in, or the registry is not as the log says.
    Keep the last hash elsewhere, and give it as --head later: then a log that was made anew as a whole is found out.
    """
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.pipelines.models.showing import events_text, of_model

    if verify or head or bundles:
        _verify(platform.registry, head, bundles)
        return
    history = platform.registry.history()
    events = of_model(history, model) if model else history
    if model and not events:
        platform.registry.get(model, "1")  # raises, and says which models there are
    shown = events[-limit:] if limit else events
    for line in [dumps(asdict(event)) for event in shown] if as_json else events_text(shown):
        click.echo(line)
    if history and not as_json:
        click.echo(f"{len(history):,} entries; the last has the hash {history[-1].hash}", err=True)


def _verify(registry: ModelRegistry, head: str, bundles: bool) -> None:
    found = registry.verify(head)
    problems = [*found.problems, *(_damaged(registry) if bundles else ())]
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise HeadraceError(f"the audit log and the registry: expected both whole. Received: {len(problems)} problems")
    what = "the chain is unbroken, and the registry is as the log says"
    click.echo(f"{found.entries:,} entries: {what}" + ("; bundles and documents are as registered" if bundles else ""))
    if found.head:
        click.echo(f"the last has the hash {found.head}")


def _damaged(registry: ModelRegistry) -> list[str]:
    """What is wrong with bundles and documents, by reading all of them."""
    import tempfile
    from pathlib import Path

    problems = []
    for version in registry.versions():
        name, number = version.name, version.version
        with tempfile.TemporaryDirectory(prefix="headrace-audit-") as folder:
            try:
                registry.download(name, number, Path(folder) / "bundle")
                for document in registry.documents(name, number):
                    registry.document(name, number, document.file)
            except HeadraceError as error:
                problems.append(str(error))
    return problems
