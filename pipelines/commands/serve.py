"""`headrace serve`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.pipelines.commands.options import home_option
from headrace.serving.settings import MAX_BODY, MAX_PIXELS


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
@home_option
def command(
    model: str, host: str, port: int, workers: int, max_body: int, max_pixels: int, access_log: bool, home: Path
) -> None:
    """Serve MODEL: an endpoint, a registered model (`churn`, `churn:2`), or a bundle's folder."""
    from headrace.pipelines.locate import locate_bundle, record_address
    from headrace.serving.server import serve
    from headrace.serving.settings import Settings

    bundle = locate_bundle(model, home)
    settings = Settings(
        host=host, port=port, workers=workers, max_body=max_body, max_pixels=max_pixels, access_log=access_log
    )
    noted: list[Path] = []
    try:
        serve(bundle, settings, on_ready=lambda url: noted.append(record_address(model, url, home)))
    finally:
        for file in noted:
            file.unlink(missing_ok=True)
