"""`headrace stream`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option, platform_uri_option

if TYPE_CHECKING:
    from headrace.serving.target import Follow, Plan, Target


@click.command("stream")
@click.argument("source", envvar="HEADRACE_STREAM_SOURCE")
@click.argument("sink", envvar="HEADRACE_STREAM_SINK")
@click.option("--model", required=True, help="An endpoint, a registered model, or a bundle's folder; see `serve`.")
@click.option("--group", help="Of consumers that share the messages. [default: headrace-MODEL]")
@click.option(
    "--from", "start", type=click.Choice(["earliest", "latest"]), default="earliest", show_default=True,
    help="Where a group begins that is new.",
)  # fmt: skip
@click.option("--dead-letters", "dead", metavar="NAME", help="Beside SINK. [default: SINK.dead]")
@click.option("--batch", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Messages, at most.")
@click.option("--keep", metavar="FIELD", multiple=True, help="A field to copy into the answer; may be repeated.")
@click.option("--ignore-others", is_flag=True, help="Pass over fields that the model does not take.")
@click.option(
    "--max-attempts", type=click.IntRange(min=1), default=5, show_default=True,
    help="Deliveries of a message that ends the process, before it is a dead letter.",
)  # fmt: skip
@click.option(
    "--idle", type=click.FloatRange(min=1), default=60.0, show_default=True, metavar="SECONDS",
    help="After which what a consumer has not done is taken over; Redis.",
)  # fmt: skip
@click.option(
    "--kafka-config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of librdkafka's settings, `name=value` per line.",
)  # fmt: skip
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Answers /metrics and /health; 0 takes a free one.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True)
@platform_uri_option
@home_option
def command(
    source: str,
    sink: str,
    model: str,
    group: str | None,
    start: str,
    dead: str | None,
    batch: int,
    keep: tuple[str, ...],
    ignore_others: bool,
    max_attempts: int,
    idle: float,
    kafka_config: Path | None,
    metrics_port: int | None,
    metrics_host: str,
    platform: str,
    home: Path,
) -> None:
    """Answer the messages of SOURCE into SINK, until SIGTERM or SIGINT.

    Addresses: redis://[USER:PASSWORD@]HOST:PORT/DB/STREAM, kafka://BROKER:PORT/TOPIC, pubsub://PROJECT/SUBSCRIPTION (a
    topic as SINK), a file named .jsonl, `-` for standard input and output. A message is a JSON object of the model's
    inputs. One that cannot be answered goes to the dead letters with the reason, and the others go on. Start as many
    processes of a group as are needed; one that dies is replaced by the others. An endpoint, an alias and a champion
    are followed, as `headrace serve` does.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from headrace.serving.streaming.route import Asked
    from headrace.serving.streaming.run import run

    target, following, stop = _found(model, platform, home)
    asked = Asked(
        source=source,
        sink=sink,
        group=group or f"headrace-{Path(model).name.partition(':')[0]}",
        dead=dead or "",
        start=start,
        most_attempts=max_attempts,
        idle=idle,
        kafka=_settings(kafka_config) if kafka_config else {},
    )
    port = None if metrics_port is None else (metrics_host, metrics_port)
    try:
        run(asked, target, following, keep=keep, ignore_others=ignore_others, most=batch, metrics=port)
    finally:
        stop()


def _found(model: str, platform: str, home: Path) -> tuple[Target, Callable[[], Target] | None, Callable[[], object]]:
    """What is to answer, what says so from now on, and what ends that. Of several versions it is the main one."""
    from headrace.artifacts.folder import MANIFEST
    from headrace.pipelines.locate import follow, locate_target
    from headrace.pipelines.watching import Watch

    if platform == "local" or (Path(model) / MANIFEST).is_file():
        following = follow(model, home)
        return _main(locate_target(model, home)), _only_main(following) if following else None, lambda: None
    watch = Watch(model, platform, home)
    try:
        return _main(watch.first()), _only_main(watch), watch.stop
    except BaseException:
        watch.stop()
        raise


def _only_main(follow: Follow) -> Callable[[], Target]:
    return lambda: _main(follow())


def _main(what: Target | Plan) -> Target:
    return what.members[0].target if hasattr(what, "members") else what


def _settings(file: Path) -> dict[str, str]:
    """A file of `name=value` lines; blank ones and those that begin with # say nothing.

    Raises:
        HeadraceError: another line.
    """
    from headrace.artifacts.errors import HeadraceError

    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        name, sign, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not sign:
            raise HeadraceError(f"{file}: line {number}: expected name=value. Received: {line[:40]!r}")
        found[name.strip()] = value.strip()
    return found
