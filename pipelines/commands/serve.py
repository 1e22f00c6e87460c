"""`headrace serve`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headrace.pipelines.commands.options import home_option, platform_uri_option
from headrace.serving.options import options

if TYPE_CHECKING:
    from headrace.pipelines.plans import Asked
    from headrace.serving.target import Follow, Plan


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
@click.argument("models", nargs=-1, required=True, metavar="MODEL[=PERCENT]...")
@click.option(
    "--shadow",
    "shadows",
    metavar="MODEL",
    multiple=True,
    help="One that sees copies of the requests and answers nobody; may be given several times.",
)
@click.option(
    "--key", metavar="HEADER", default="", help="Whose value decides which version answers. [default: x-routing-key]"
)
@click.option("--experiment", metavar="NAME", default="", help="The split's name, for the log; another one deals anew.")
@_settings
@platform_uri_option
@home_option
def command(
    models: tuple[str, ...],
    shadows: tuple[str, ...],
    key: str,
    experiment: str,
    platform: str,
    home: Path,
    **given: Any,
) -> None:
    """Serve MODEL: an endpoint, a registered model (`churn:2`, `churn:champion`), or a bundle's folder.

    Several share the traffic: `headrace serve churn:3=90 churn:4=10`. The same key is answered by the same version. An
    endpoint whose traffic is split (`headrace models split`) says that by itself.

    An endpoint is followed, and so are an alias and a model's champion: what is pushed, promoted or rolled back is
    served within a second or two, and no request is dropped. A version that cannot be loaded is refused, and the one
    before goes on.
    """
    from headrace.pipelines.locate import record_address
    from headrace.pipelines.plans import asked
    from headrace.serving.server import serve
    from headrace.serving.settings import Settings

    wanted = asked(models, shadows, key, experiment)
    plan, following, stop = _found(wanted, platform, home)
    given.setdefault("endpoint", wanted.label)
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    noted: list[Path] = []
    try:
        serve(plan, settings, lambda url: noted.append(record_address(wanted.label, url, home)), following)
    finally:
        stop()
        for file in noted:
            file.unlink(missing_ok=True)


def _found(what: Asked, platform: str, home: Path) -> tuple[Plan, Follow | None, Callable[[], object]]:
    """What is to be served, what says so from now on, and what ends that."""
    from headrace.pipelines.locate import follow, locate_plan

    if platform == "local" or what.only_folders:
        return locate_plan(what, home), follow(what, home), lambda: None
    from headrace.pipelines.watching import Watch

    watch = Watch(what, platform, home)
    try:
        return watch.first(), None if what.for_ever else watch, watch.stop
    except BaseException:
        watch.stop()
        raise
