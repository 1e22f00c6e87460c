"""`headrace models compare`."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import json_option, named_version, platform_option
from headrace.platforms.interface import ModelRegistry, ModelVersion, Platform


@click.command("compare")
@click.argument("one", metavar="VERSION")
@click.argument("other", metavar="[VERSION]", required=False)
@json_option
@platform_option
def command(one: str, other: str | None, as_json: bool, platform: Platform) -> None:
    """Hold two versions against each other: metrics, what they were made of, what they ask for.

    Of a model's name alone, its champion and its newest other version; of one version, the champion and that one. The
    second may be a version without the model: churn:3 5.
    """
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.pipelines.models.comparing import compare, compare_json, compare_text

    first, second = _pair(platform.registry, one, other)
    with contextlib.ExitStack() as stack:
        here = [_here(platform.registry, version, stack) for version in (first, second)]
        found = compare(*here)
    for line in [dumps(compare_json(found))] if as_json else compare_text(found):
        click.echo(line)


def _pair(registry: ModelRegistry, one: str, other: str | None) -> tuple[ModelVersion, ModelVersion]:
    if other:
        name = one.partition(":")[0]
        return named_version(registry, one), named_version(registry, other if ":" in other else f"{name}:{other}")
    if ":" in one:
        first, name = named_version(registry, one), one.partition(":")[0]
        second = registry.champion(name)
        if second is None or second.version == first.version:
            lacks = "is the champion" if second else f"{name} has no champion to compare it with"
            raise HeadraceError(f"expected two versions. Received: {one} alone, and {lacks}")
        return second, first
    versions = registry.versions(one) or [registry.get(one, "1")]
    champion = registry.champion(one) or versions[0]
    newest = next((version for version in reversed(versions) if version.version != champion.version), None)
    if newest is None:
        raise HeadraceError(f"expected two versions. Received: {one}, which has one")
    return champion, newest


def _here(registry: ModelRegistry, version: ModelVersion, stack: contextlib.ExitStack) -> ModelVersion:
    """The version with its bundle on this machine."""
    if Path(version.uri).is_dir():
        return version
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-compare-"))) / "bundle"
    registry.download(version.name, version.version, folder)
    return replace(version, uri=str(folder))
