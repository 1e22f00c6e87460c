"""`headrace store`."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option

if TYPE_CHECKING:
    from headrace.pipelines.local.record.record import Record
    from headrace.pipelines.local.store.gc import Plan

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SHOWN = 20


@click.group("store")
def command() -> None:
    """Verify what runs have put out, and remove what is no longer needed."""


@command.command("verify")
@click.option("--repair", is_flag=True, help="Take out what is damaged: it is made anew when it is needed next.")
@home_option
def verify_command(repair: bool, home: Path) -> None:
    """Read everything in the store, and compare it with its digest. Exits with 1 when something is damaged."""
    from headrace.pipelines.local.store.lock import alone
    from headrace.pipelines.local.store.verify import repair as take_out
    from headrace.pipelines.local.store.verify import verify

    with _record(home) as record:
        found = verify(home, record)
        click.echo(f"{_count(found.entries, 'entry', 'entries')} of the store read, {size_text(found.bytes)}")
        for damage in found.damages:
            by = f"; put out by {', '.join(damage.tasks)}" if damage.tasks else ""
            click.echo(f"{damage.path}: {damage.what}{by}", err=True)
        if not found.damages:
            click.echo("all of it is what its digests say")
            return
        if repair:
            with alone(home):
                take_out(home, record, found)
            click.echo(f"{len(found.damages)} taken out")
            return
    raise HeadraceError(f"{len(found.damages)} damaged; `headrace store verify --repair` takes them out")


@command.command("gc")
@click.option("--older-than", "age", metavar="AGE", help="Also what no run has used for longer: 12h, 30d, 8w.")
@click.option("--max-size", "size", metavar="SIZE", help="Also the least recently used, down to a size: 500M, 20Gi.")
@click.option("--keep-last", type=click.IntRange(min=0), default=1, show_default=True,
              help="So many of the latest (and latest good) runs of each pipeline lose nothing.")  # fmt: skip
@click.option("--include-data-of-models", "with_data", is_flag=True,
              help="Also the snapshots that registered models were trained from, and could be again.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Remove it. Without this, only what would be removed is shown.")
@home_option
def gc_command(age: str | None, size: str | None, keep_last: int, with_data: bool, yes: bool, home: Path) -> None:
    """Collect garbage: outputs that nothing refers to, and what the options say. A dry run unless --yes is given.

    Registered models are copies of their own, and are never touched; neither are the records of runs, nor, if not asked
    for, the snapshots that registered models were trained from.
    """
    from headrace.pipelines.local.store.gc import carry_out, plan

    older_than, max_bytes = seconds(age) if age else None, size_of(size) if size else None
    with _record(home) as record:

        def planned() -> Plan:
            return plan(
                home,
                record,
                older_than=older_than,
                max_bytes=max_bytes,
                keep_last=keep_last,
                protected_digests=() if with_data else data_of_models(home),
            )

        what = planned()
        _show(home, what)
        if yes:
            shown, what = len(what.removals), carry_out(home, record, what, planned)
            if spared := shown - len(what.removals):
                click.echo(f"{spared} of these not removed: used, or gone, since they were looked at")
    kept = f"{_count(what.kept, 'entry stays', 'entries stay')} ({size_text(what.kept_bytes)})"
    if not what.removals:
        click.echo(f"nothing to remove; {kept}")
    elif yes:
        click.echo(f"{len(what.removals)} removed, {size_text(what.bytes)}; {kept}")
    else:
        click.echo(f"{len(what.removals)} would be removed, {size_text(what.bytes)}; {kept}. --yes removes them.")
    sys.stdout.flush()


def _show(home: Path, what: Plan) -> None:
    """Lists what would be removed, the largest first."""
    shown = sorted(what.removals, key=lambda removal: -removal.bytes)
    for removal in shown[:_SHOWN]:
        used = f", last used {time.strftime('%Y-%m-%d', time.localtime(removal.last_used))}" * bool(removal.last_used)
        click.echo(f"{size_text(removal.bytes):>9}  {removal.path.relative_to(home)}  ({removal.why}{used})")
    if len(shown) > _SHOWN:
        click.echo(f"{'...':>9}  and {len(shown) - _SHOWN} more")


def data_of_models(home: Path) -> set[str]:
    """The digests of the snapshots that the registered models of a home were trained from.

    Raises:
        HeadraceError: a version does not tell: what it needs cannot be protected.
    """
    from headrace.pipelines.data_versions.of_models import trained_models
    from headrace.platforms.open import open_platform

    if not (home / "registry.db").exists():
        return set()
    models = trained_models(open_platform("local", home))
    if silent := [model for model in models if not model.data]:
        raise HeadraceError(
            f"{silent[0].model.uri}: expected {silent[0].label} to name its snapshot, which has to stay. "
            "Received: none. --include-data-of-models collects without regard to the data of models."
        )
    return {digest for model in models for digest in model.data}


def seconds(text: str) -> float:
    """An age such as 30d, in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not match:
        raise click.UsageError(f"--older-than: expected an age such as 12h, 30d or 8w. Received: {text}")
    return float(match.group(1)) * _SECONDS[match.group(2)]


def size_of(text: str) -> int:
    """A size such as 20Gi, in bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?B?", text)
    if not match:
        raise click.UsageError(f"--max-size: expected a size such as 500M or 20Gi. Received: {text}")
    return int(float(match.group(1)) * _BYTES[match.group(2) or ""])


def size_text(size: float) -> str:
    """A number of bytes as people write it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


@contextlib.contextmanager
def _record(home: Path) -> Iterator[Record]:
    from headrace.pipelines.local.record.record import Record

    if not (home / "runs.db").exists():
        raise HeadraceError(f"{home}: expected a folder with runs. Received: none there; `headrace run SPEC` makes one")
    with contextlib.closing(Record(home)) as record:
        yield record
