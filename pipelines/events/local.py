"""`headrace watch` on this machine: rules or options to a watcher, and its end."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.handler import Handler
from headrace.pipelines.events.hours import Hours
from headrace.pipelines.events.ledger import Ledger
from headrace.pipelines.events.looking import Folders
from headrace.pipelines.events.rules import ObjectRule, Rule, ScheduleRule
from headrace.pipelines.events.starting import LABEL, LocalStarter, Starter
from headrace.pipelines.events.store import Store
from headrace.pipelines.events.watching import Watcher

LEDGER = "events.db"  # in the home


def one_rule(
    pipeline: Path, folder: Path | None, match: str, cron: str, timezone: str, parameters: dict[str, str]
) -> Rule:
    """The rule that the command's options make: of a spec, and a folder or a schedule.

    Raises:
        HeadraceError: an option has no such value.
    """
    from pydantic import ValidationError

    try:
        watched = ObjectRule(match=f"{folder.absolute()}/{match}") if folder else None
        schedule = ScheduleRule(cron=cron, timezone=timezone) if cron else None
        given = {"source": "{uri}", **parameters} if folder else parameters
        name = pipeline.absolute().parent.name if pipeline.stem in ("spec", "pipeline") else pipeline.stem
        clean = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name.lower()).strip("-")[:40]
        return Rule.model_validate(
            {
                "name": clean.strip("-") if clean[:1].isalpha() else "watched",
                "object": watched,
                "schedule": schedule,
                "pipeline": str(pipeline.absolute()),
                "parameters": given,
            }
        )
    except ValidationError as error:
        told = "; ".join(str(one.get("ctx", {}).get("error", one["msg"])) for one in error.errors())
        raise HeadraceError(told) from None


def watch_here(
    rules: Sequence[Rule],
    store: Store,
    home: Path,
    *,
    say: Callable[[str], None],
    every_s: float = 1.0,
    settle_s: float = 2.0,
    existing: bool = False,
    once: bool = False,
    at_once: int = 1,
    attempts: int = 5,
    starter: Starter | None = None,
) -> bool:
    """Watches folders and hours until SIGTERM or SIGINT, or once. It is for a process's main thread.

    Args:
        rules: what starts what. Messages come by HTTP, and are not watched here.
        store: the ledger's.
        home: where runs are kept.
        say: is told of what happens.
        every_s: between two looks.
        settle_s: how long a file must not have changed.
        existing: whether files count that were there before the first watch.
        once: whether it ends when what is there now has been started, and has ended.
        at_once: runs at the same time.
        attempts: of each event.
        starter: where pipelines are started, if not on this machine.

    Returns:
        Whether nothing is left to be tried again.

    Raises:
        HeadraceError: no rule can be watched here, or the ledger cannot be used.
    """
    watched = [rule for rule in rules if rule.schedule or (rule.object and "://" not in rule.object.match)]
    for rule in rules:
        if rule not in watched:
            kind = "messages" if rule.message else "objects elsewhere"
            say(f"{rule.name}: {kind} come by HTTP, and are not watched here; see `headrace watch --http`")
    if not watched:
        raise HeadraceError("expected a rule with a folder of this machine, or a schedule. Received: none")
    here = LocalStarter(home, at_once, say) if starter is None else None
    ledger = Ledger(store, attempts=attempts)
    handler = Handler(lambda: watched, ledger, here or _given(starter), own=(str(home),), say=lambda text, _: say(text))
    folders = Folders(watched, store, settle_s=settle_s, existing=existing, complain=say)
    watcher = Watcher(handler, folders, Hours(watched, store, time.time()))
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        if here is not None:
            go_on(ledger, here, watched, say)
        if once:
            return _once(watcher, here, stop, settle_s)
        say(f"watching {', '.join(rule.name for rule in watched)}")
        watcher.watch(stop, every_s, say)
        return True
    finally:
        if here is not None:
            here.stop()
        for number, old in before.items():
            signal.signal(number, old)


def _given(starter: Starter | None) -> Starter:
    assert starter is not None  # or the one of this machine is taken
    return starter


def _once(watcher: Watcher, here: LocalStarter | None, stop: threading.Event, settle_s: float) -> bool:
    """Starts what is there, one after the other; a file that still changes after a while is left for the next time."""
    watcher.folders.look()
    stop.wait(settle_s + 0.01)
    again = True
    while again and not stop.is_set():
        again = watcher.look()
        if here is not None:
            while here.busy() and not stop.wait(0.05):
                pass
        if again:
            stop.wait(0.2)
    return not again


def go_on(ledger: Ledger, starter: LocalStarter, rules: Sequence[Rule], say: Callable[[str], None]) -> None:
    """Goes on with runs that a watcher before this one began, and that ended with it.

    A run that somebody cancelled while it was watched is not touched: its end stands in the ledger.
    """
    from headrace.pipelines.local.record.record import list_runs

    for entry in ledger.entries():
        run = entry.run.get("id")
        if entry.state != "started" or not run or entry.run.get("end") or entry.rule not in {r.name for r in rules}:
            continue
        known = next((one for one in list_runs(starter.home) if one.id == run), None)
        if known is not None and known.state in ("SUCCEEDED", "FAILED"):  # it outlived its watcher
            ledger.ended(ledger.claim_of(entry), known.state)
        if known is None or known.state not in ("INTERRUPTED", "CANCELLED"):
            continue
        if not starter.reserve():
            return  # the next watcher goes on with it, or `headrace resume`
        say(f"{entry.rule}: goes on with {run}, which was {known.state.lower()}")
        claim = ledger.claim_of(entry)
        starter.go_on(run, known.labels.get(LABEL, ""), functools.partial(ledger.ended, claim))
