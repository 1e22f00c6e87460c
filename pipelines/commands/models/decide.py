"""`headrace models approve`, `reject`, `archive` and `restore`: what people say of a version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from headrace.pipelines.commands.models.options import named_version, platform_option, reason_options, version_argument
from headrace.platforms.interface import ARCHIVED, BLESSED, REJECTED, ModelVersion, Platform
from headrace.platforms.lifecycle import label


def _on_a_version(command: Callable[..., Any]) -> Callable[..., Any]:
    return version_argument(reason_options(platform_option(command)))


@click.command("approve")
@_on_a_version
def approve(version: str, reason: str, who: str, platform: Platform) -> None:
    """Say yes to a version that passed its gates. Nobody approves what they registered, or twice."""
    found = named_version(platform.registry, version)
    after = platform.registry.approve(found.name, found.version, who=who, reason=reason)
    from headrace.pipelines.models.words import approvals_words

    lacking = after.approvals_needed - len(after.approvals)
    click.echo(f"{who} approved {label(after)}: {approvals_words(after)}")
    if lacking > 0:
        click.echo(f"{lacking} more {'is' if lacking == 1 else 'are'} needed, of other people, before it may serve")
    elif not after.endpoints:
        click.echo(f"It may serve now: headrace models promote {label(after)} --reason ...")


@click.command("reject")
@_on_a_version
def reject(version: str, reason: str, who: str, platform: Platform) -> None:
    """Say no to a version: no run pushes it any more. `restore` takes it back."""
    _told(_move(platform, version, REJECTED, who, reason), who)


@click.command("archive")
@_on_a_version
def archive(version: str, reason: str, who: str, platform: Platform) -> None:
    """Put a version away that is not needed any more: it is kept, and not served. `restore` takes it out again."""
    _told(_move(platform, version, ARCHIVED, who, reason), who)


@click.command("restore")
@_on_a_version
def restore(version: str, reason: str, who: str, platform: Platform) -> None:
    """Take back a rejection, or take a version out of the archive. Approvals that it had do not come back."""
    _told(_move(platform, version, BLESSED, who, reason), who)


def _move(platform: Platform, text: str, state: str, who: str, reason: str) -> ModelVersion:
    found = named_version(platform.registry, text)
    return platform.registry.transition(found.name, found.version, state, who=who, reason=reason)


def _told(after: ModelVersion, who: str) -> None:
    click.echo(f"{label(after)} is {after.state} now, by {who}")
