"""`headrace watch`."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option
from headrace.pipelines.commands.run import parse

if TYPE_CHECKING:
    from headrace.pipelines.events.ledger import Ledger
    from headrace.pipelines.events.rules import Rule


@click.command("watch")
@click.argument("what", required=False, metavar="[RULES|SPEC]")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Starts SPEC for each file in it.")
@click.option("--match", default="*", show_default=True, metavar="PATTERN", help="Of files in the folder.")
@click.option("--schedule", "cron", default="", metavar="CRON", help="Starts SPEC at these hours: five fields.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the hours.")
@click.option("-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline.")
@click.option("--existing", is_flag=True, help="Files that are there already count too, the first time.")
@click.option("--once", is_flag=True, help="Start what is there now, wait for its end, and leave: for cron.")
@click.option(
    "--every", type=click.FloatRange(min=0.05), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.option(
    "--settle", type=click.FloatRange(min=0), default=2.0, show_default=True,
    help="Seconds that a file must not have changed.",
)  # fmt: skip
@click.option("--max-runs", type=click.IntRange(min=1), default=1, show_default=True, help="At the same time, here.")
@click.option(
    "--max-attempts", type=click.IntRange(1, 100), default=5, show_default=True,
    help="Of an event, before it is a dead letter.",
)  # fmt: skip
@click.option("--http", is_flag=True, help="Take events by HTTP; HEADRACE_EVENTS_* say the rest, see docs/events.md.")
@click.option("--host", default=None, help="To listen at. [default: 0.0.0.0, where callers are checked; 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), envvar="PORT", default=8080, show_default=True)
@click.option("--started", is_flag=True, help="List what was started, and leave.")
@click.option("--dead", is_flag=True, help="List the dead letters, and leave.")
@click.option("--retry", "retried", multiple=True, metavar="KEY", help="Start a dead letter's pipeline after all.")
@click.option("--json", "as_json", is_flag=True, help="Lists as JSON, one object per line.")
@home_option
def command(
    what: str | None,
    folder: Path | None,
    match: str,
    cron: str,
    timezone: str,
    parameters: tuple[str, ...],
    existing: bool,
    once: bool,
    every: float,
    settle: float,
    max_runs: int,
    max_attempts: int,
    http: bool,
    host: str | None,
    port: int,
    started: bool,
    dead: bool,
    retried: tuple[str, ...],
    as_json: bool,
    home: Path,
) -> None:
    """Start pipelines on new files, at certain hours, or on messages: each event once.

    RULES is a file of rules. A SPEC (or a compiled pipeline) with --folder is started for each new file in the folder,
    which is its source; with --schedule at these hours. What a watcher had begun when it was killed, the next one goes
    on with. A file that is written anew is another event.
    """
    if started or dead or retried:
        ledger = _ledger(home)
        if retried:
            _retry(ledger, retried, what, home)
        elif dead:
            _list_dead(ledger, as_json)
        else:
            _list_started(ledger, as_json)
        return
    if http:
        _serve(what, home, host, port)
        return
    from headrace.pipelines.events.local import watch_here
    from headrace.pipelines.events.store import open_store

    rules = _rules(what, folder, match, cron, timezone, parse(parameters))
    done = watch_here(
        rules,
        open_store(_ledger_uri(home)),
        home,
        say=_say,
        every_s=every,
        settle_s=settle,
        existing=existing,
        once=once,
        at_once=max_runs,
        attempts=max_attempts,
    )
    sys.exit(0 if done else 1)


def _rules(
    what: str | None, folder: Path | None, match: str, cron: str, timezone: str, parameters: dict[str, str]
) -> list[Rule]:
    from headrace.pipelines.events.local import one_rule
    from headrace.pipelines.events.rules import load_rules

    if not what:
        raise click.UsageError("expected RULES or SPEC. Received: neither")
    if folder is None and not cron:
        if parameters:
            raise click.UsageError(
                f"--param: expected a SPEC with --folder or --schedule. Received: {what}; rules have their own"
            )
        return load_rules(what)
    if folder is not None and cron:
        raise click.UsageError("expected --folder or --schedule; rules can have both. Received: both")
    spec = Path(what) / "spec.yaml" if Path(what).is_dir() else Path(what)
    if not spec.is_file():
        raise click.UsageError(f"expected a spec or a compiled pipeline. Received: no file {spec}")
    if folder is not None and not folder.is_dir():
        raise click.UsageError(f"--folder: expected a folder. Received: no {folder}")
    return [one_rule(spec, folder, match, cron, timezone, parameters)]


def _serve(what: str | None, home: Path, host: str | None, port: int) -> None:
    from headrace.pipelines.events.app import serve
    from headrace.pipelines.events.callers import NONE
    from headrace.pipelines.events.settings import Settings

    given = {"HEADRACE_EVENTS_LEDGER": _ledger_uri(home), "HEADRACE_EVENTS_ON": "local", **os.environ}
    if what:
        given["HEADRACE_EVENTS_RULES"] = what
    settings = Settings.of(given)
    serve(settings, home, host or ("127.0.0.1" if settings.auth == NONE else "0.0.0.0"), port)


def _ledger_uri(home: Path) -> str:
    from headrace.pipelines.events.local import LEDGER

    return os.environ.get("HEADRACE_EVENTS_LEDGER") or f"sqlite://{(home / LEDGER).absolute()}"


def _ledger(home: Path) -> Ledger:
    from headrace.pipelines.events.ledger import Ledger
    from headrace.pipelines.events.store import open_store

    return Ledger(open_store(_ledger_uri(home)))


def _list_started(ledger: Ledger, as_json: bool) -> None:
    for entry in ledger.entries():
        if as_json:
            click.echo(json.dumps({**vars(entry), "run": dict(entry.run), "before": list(entry.before)}))
        else:
            run = f"{entry.run.get('id', '')} {entry.run.get('end', '')}".strip() or entry.error or "-"
            click.echo(f"{entry.rule:<20}  {entry.state:<8}  {entry.subject}  {run}")


def _list_dead(ledger: Ledger, as_json: bool) -> None:
    for key, letter in ledger.dead():
        if as_json:
            click.echo(json.dumps({"key": key, **letter}))
        else:
            told = datetime.fromtimestamp(letter["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            click.echo(f"{key}  {told}  {letter['rule']}  {letter['event']['subject']}\n    {letter['error']}")


def _retry(ledger: Ledger, keys: tuple[str, ...], what: str | None, home: Path) -> None:
    """Starts what dead letters are about, here or where HEADRACE_EVENTS_ON says."""
    from headrace.pipelines.events.app import retry
    from headrace.pipelines.events.settings import Settings

    given = {"HEADRACE_EVENTS_LEDGER": _ledger_uri(home), "HEADRACE_EVENTS_ON": "local", **os.environ}
    if what:
        given["HEADRACE_EVENTS_RULES"] = what
    if not retry(Settings.of(given), home, ledger, keys, _say):
        sys.exit(1)


def _say(text: str) -> None:
    click.echo(f"headrace: {text}", err=True)
