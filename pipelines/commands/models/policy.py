"""`headrace models policy`."""

from __future__ import annotations

import click

from headrace.pipelines.commands.models.options import platform_option, reason_options
from headrace.platforms.interface import Platform
from headrace.platforms.lifecycle import APPROVALS, count


@click.command("policy")
@click.argument("model")
@click.argument("approval", type=click.Choice(list(APPROVALS)))
@reason_options
@platform_option
def command(model: str, approval: str, reason: str, who: str, platform: Platform) -> None:
    """Set how many people have to say yes before a version of MODEL serves: none, one or two.

    A spec's `deploy.approval` can raise the number, and only this command lowers it.
    """
    before = platform.registry.settings(model).approvals
    platform.registry.require_approvals(model, count(approval), who=who, reason=reason)
    click.echo(f"{model} asks for {count(approval)} approvals now, before {before}")
