"""`headrace models`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option


@click.command("models")
@click.argument("name", required=False)
@home_option
def command(name: str | None, home: Path) -> None:
    """List the registered models, or the versions of NAME, the newest first."""
    from headrace.platforms.open import open_platform

    registry = open_platform("local").registry
    known = registry.models()
    if name and name not in known:
        there = ", ".join(known) or "none yet"
        raise HeadraceError(f"expected a registered model. Received: {name}; in {home} there is {there}")
    for model in [name] if name else known:
        for version in reversed(registry.versions(model)):
            aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
            metrics = " ".join(f"{key}={value:.4g}" for key, value in list(version.metrics.items())[:4])
            click.echo(f"{model} version {version.version}{aliases}  {version.created}  {metrics}  run {version.run}")
