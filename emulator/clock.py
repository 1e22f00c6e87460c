"""What is due at a time: schedules that fire."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headrace.emulator.refusals import Refusal

_LONGEST_S = 60.0  # between two looks: the machine may have slept, or its time have been set
_AGAIN_S = 5.0  # after a defect

Due = Callable[[datetime], datetime | None]


class Clock:
    """Calls functions when their time has come, in a thread of its own."""

    def __init__(self) -> None:
        self._due: list[Due] = []
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def add(self, due: Due) -> None:
        """Has a function called now, when its time comes, and after each `wake`.

        It does what is due at the moment that it is given (UTC), and returns when it wants to be called next; None for
        not before the next `wake`. It is to be quick.
        """
        self._due.append(due)
        self._woken.set()

    def wake(self) -> None:
        """Something has changed that may be due: every function is called."""
        self._woken.set()

    def start(self) -> None:
        """Begins to call."""
        self._thread = threading.Thread(target=self._work, name="clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Calls no more."""
        self._stopping = True
        self._woken.set()
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping:
            self._woken.clear()
            following = [found for due in self._due if (found := _call(due)) is not None]
            wait = _LONGEST_S
            if following:
                wait = min(wait, max(0.0, min(following).timestamp() - time.time()))
            self._woken.wait(wait)


def _call(due: Due) -> datetime | None:
    moment = datetime.now(UTC)
    try:
        return due(moment)
    except Exception:  # noqa: BLE001 (one schedule's defect is not the others' end)
        traceback.print_exc(file=sys.stderr)
        return moment + timedelta(seconds=_AGAIN_S)


def next_time(cron: str, after: datetime) -> datetime:
    """When a cron expression is due next.

    Args:
        cron: five fields, as in crontab(5), or six, the first of which are seconds, as Kubeflow Pipelines has them;
            `TZ=Europe/Berlin ` or `CRON_TZ=...` before them sets the zone, else it is UTC. `?` is `*`. Or `@hourly`,
            `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
        after: the time is later than this one; with a zone.

    Returns:
        In UTC.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    from cronsim import CronSim, CronSimError

    zone, fields = "UTC", cron.strip()
    if fields.startswith(("TZ=", "CRON_TZ=")):
        named, _, fields = fields.partition(" ")
        zone = named.partition("=")[2]
    fields = _WORDS.get(fields.strip(), fields).replace("?", "*")
    try:
        found = next(CronSim(fields, after.astimezone(ZoneInfo(zone))))
    except (CronSimError, StopIteration, ValueError, OSError, KeyError) as error:  # of a zone: one of the last three
        told = str(error) or "it is never due"
        raise Refusal("INVALID_ARGUMENT", f"cron: expected a cron expression, not {cron!r}: {told}") from None
    return found.astimezone(UTC)


_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
