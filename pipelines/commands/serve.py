"""`headrace serve`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option
from headrace.serving.settings import MAX_BODY, MAX_PIXELS

if TYPE_CHECKING:
    from headrace.serving.target import Follow, Target


@click.command("serve")
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option(
    "--max-body", type=click.IntRange(min=1), default=MAX_BODY, show_default=True, help="Bytes of a request at most."
)
@click.option(
    "--max-pixels", type=click.IntRange(min=1), default=MAX_PIXELS, show_default=True, help="Of a picture, at most."
)
@click.option("--access-log", is_flag=True, help="A line per request.")
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
    host: str,
    port: int,
    workers: int,
    max_body: int,
    max_pixels: int,
    access_log: bool,
    platform: str,
    home: Path,
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
    settings = Settings(
        host=host, port=port, workers=workers, max_body=max_body, max_pixels=max_pixels, access_log=access_log
    )
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
