"""`headrace serve`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.pipelines.commands.options import home_option
from headrace.serving.options import options

if TYPE_CHECKING:
    from headrace.serving.target import Follow, Target


Command = TypeVar("Command", bound=Callable[..., Any])


def _settings(command: Command) -> Command:
    """Gives a command the server's settings as options; one that is not given is None."""
    for one in reversed(list(options())):
        if one.type is bool:
            command = click.option(one.flag, is_flag=True, default=None, help=one.help)(command)
            continue
        told = one.help if one.default is None else f"{one.help} [default: {one.default}]"
        command = click.option(one.flag, type=one.type, metavar=one.metavar, help=told)(command)
    return command


@click.command("serve")
@click.argument("model")
@_settings
@click.option(
    "--platform",
    metavar="URI",
    envvar="HEADRACE_PLATFORM",
    default="local",
    help="Where the registry is: local, mlflow:URL, vertex:PROJECT/LOCATION. [default: $HEADRACE_PLATFORM or local]",
)
@home_option
def command(
    model: str,
    platform: str,
    home: Path,
    **given: Any,
) -> None:
    """Serve MODEL: an endpoint, a registered model (`churn:2`, `churn:champion`), or a bundle's folder.

    An endpoint is followed, and so are an alias and a model's champion: what is pushed, promoted or rolled back is
    served within a second or two, and no request is dropped. A version that cannot be loaded is refused, and the one
    before goes on.
    """
    from headrace.pipelines.locate import record_address
    from headrace.serving.server import serve
    from headrace.serving.settings import Settings

    target, following, stop = _found(model, platform, home)
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    noted: list[Path] = []
    try:
        serve(target, settings, lambda url: noted.append(record_address(model, url, home)), following)
    finally:
        stop()
        for file in noted:
            file.unlink(missing_ok=True)


def _found(model: str, platform: str, home: Path) -> tuple[Target, Follow | None, Callable[[], object]]:
    """What is to be served, what says so from now on, and what ends that."""
    from headrace.artifacts.folder import MANIFEST
    from headrace.pipelines.locate import follow, locate_target

    if platform == "local" or (Path(model) / MANIFEST).is_file():
        return locate_target(model, home), follow(model, home), lambda: None
    from headrace.pipelines.watching import Watch

    watch = Watch(model, platform, home)
    try:
        return watch.first(), None if model.partition(":")[2].isdigit() else watch, watch.stop
    except BaseException:
        watch.stop()
        raise
