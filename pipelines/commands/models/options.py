"""What the commands on registered models share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option, platform_uri_option

if TYPE_CHECKING:
    from headrace.platforms.interface import ModelRegistry, ModelVersion


def platform_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--platform URI` and `--home DIR`: which registry is meant. The command gets it as `platform`."""

    @functools.wraps(command)
    def opened(*args: Any, home: Path, platform: str, **kwargs: Any) -> Any:
        from headrace.platforms.open import open_platform

        return command(*args, platform=open_platform(platform, home), **kwargs)

    return home_option(platform_uri_option(opened))


def version_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """`VERSION`: a model's name with a version or an alias, as `churn:3`; a name alone where that is enough."""
    return click.argument("version", metavar="VERSION")(command)


def reason_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--reason TEXT` and `--by NAME`: why, and who says so. The command gets them as `reason` and `who`."""
    reason = click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept for ever.")
    who = click.option(
        "--by", "who", metavar="NAME", default="", callback=_who,
        help="Who says so. [default: $HEADRACE_USER, or the account]",
    )  # fmt: skip
    return who(reason(command))


def _who(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    from headrace.platforms.local.account import who_asks

    return who_asks(value)


json_option = click.option("--json", "as_json", is_flag=True, help="For machines: an object per line; complete.")


def named_version(registry: ModelRegistry, text: str) -> ModelVersion:
    """The version that `churn:3` or `churn:champion` names.

    Raises:
        HeadraceError: there is no such version; or it is a name alone, and the message says which versions there are.
    """
    name, separator, version = text.partition(":")
    if separator and version:
        return registry.get(name, version)
    versions = registry.versions(name)
    if not versions:
        return registry.get(name, "1")  # raises, and says which models there are
    known = f"{name}:{versions[-1].version}"
    raise HeadraceError(f"expected a version, such as {known}. Received: {text}; `headrace models {name}` lists them")


def named_or_latest(registry: ModelRegistry, text: str) -> ModelVersion:
    """The version that is named; of a name alone the champion, or where there is none the newest."""
    name, separator, _ = text.partition(":")
    if separator:
        return named_version(registry, text)
    return registry.champion(name) or (registry.versions(name) or [registry.get(name, "1")])[-1]
