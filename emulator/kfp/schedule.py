"""When a recurring run of Kubeflow Pipelines is due, and what its parameters say then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from headrace.emulator.clock import next_time
from headrace.emulator.kfp.resources import instant, invalid
from headrace.emulator.refusals import Refusal

_WINDOWS = [timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=1500)]
_MACRO = re.compile(r"\[\[(ScheduledTime|CurrentTime|Index|RunUUID)(?:\.([^\]]*))?\]\]")
_LAYOUT = "20060102150405"  # of a time in a macro that gives none
# Go's layouts: what its moment of reference, 2006-01-02 15:04:05, stands for
_GO = {
    "2006": "%Y", "January": "%B", "Monday": "%A", "Jan": "%b", "Mon": "%a", "MST": "UTC", "Z07:00": "Z",
    "01": "%m", "02": "%d", "15": "%H", "03": "%I", "04": "%M", "05": "%S", "06": "%y", "PM": "%p",
}  # fmt: skip
_GO_PARTS = re.compile("|".join(map(re.escape, _GO)))


def check_trigger(trigger: Any, doing: str) -> None:
    """Whether a trigger is one that can be due.

    Raises:
        Refusal: INVALID_ARGUMENT; UNIMPLEMENTED for `@every`.
    """
    cron, period = _parts(trigger, doing)
    limits = cron or period
    for name in ("start_time", "end_time"):
        if limits.get(name):
            instant(limits[name])
    if cron:
        try:
            next_time(_cron(str(cron.get("cron") or "")), instant("2026-01-01T00:00:00Z"))
        except Refusal as refusal:
            raise Refusal(
                refusal.code, f"{doing}: Schedule cron is not a supported format: {refusal.message}"
            ) from None
    elif not _interval(period, doing):
        raise invalid(doing, "The interval_second of a periodic schedule has to be positive")


def following(recurring: Mapping[str, Any], moment: datetime) -> datetime | None:
    """The time at which a recurring run is due next, which may have passed; None for never again.

    Args:
        recurring: its document: `trigger`, `no_catchup`, `created_at`, and `last`, the time that was due before.
        moment: now. Without catching up, of several times that have passed the latest counts.
    """
    cron, period = _parts(recurring["trigger"], "")
    limits = cron or period
    start = instant(limits["start_time"]) if limits.get("start_time") else instant(recurring["created_at"])
    last = instant(recurring["last"]) if recurring.get("last") else start
    if cron:
        found = next_time(_cron(cron["cron"]), last)
        if recurring.get("no_catchup") and found <= moment:
            found = _latest(_cron(cron["cron"]), found, moment)
    else:
        step = timedelta(seconds=_interval(period, ""))
        found = last + step
        if recurring.get("no_catchup") and found <= moment:
            found += (moment - found) // step * step
    return None if limits.get("end_time") and found > instant(limits["end_time"]) else found


def with_macros(value: Any, due: datetime, moment: datetime, index: int, run: str) -> Any:
    """A parameter; `[[ScheduledTime]]`, `[[CurrentTime.2006-01-02]]`, `[[Index]]`, `[[RunUUID]]` in it are replaced."""
    if isinstance(value, Mapping):
        return {name: with_macros(one, due, moment, index, run) for name, one in value.items()}
    if isinstance(value, list):
        return [with_macros(one, due, moment, index, run) for one in value]
    if not isinstance(value, str):
        return value

    def text(found: re.Match[str]) -> str:
        match found[1]:
            case "Index":
                return str(index)
            case "RunUUID":
                return run
        time = due if found[1] == "ScheduledTime" else moment
        return _GO_PARTS.sub(lambda part: time.strftime(_GO[part[0]]), found[2] or _LAYOUT)

    return _MACRO.sub(text, value)


def _parts(trigger: Any, doing: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The schedule by cron and the one by seconds, of which one is empty."""
    given = trigger if isinstance(trigger, Mapping) else {}
    cron, period = given.get("cron_schedule") or {}, given.get("periodic_schedule") or {}
    if bool(cron) == bool(period):
        raise invalid(doing, "expected a trigger with either cron_schedule or periodic_schedule")
    return cron, period


def _interval(period: Mapping[str, Any], doing: str) -> int:
    try:
        return max(0, int(period.get("interval_second") or 0))
    except (TypeError, ValueError):
        raise invalid(doing, f"interval_second: expected a number. Received: {period['interval_second']!r}") from None


def _cron(text: str) -> str:
    """As `clock.next_time` reads it: the API server's fields begin with seconds also where there are five.

    It reads them by robfig/cron 1.2, which knows no time zones; a schedule's is that of its controller, UTC.
    """
    fields = text.split()
    if fields[:1] == ["@every"]:
        raise Refusal("UNIMPLEMENTED", "the emulator does not serve @every in a cron; give a periodic_schedule")
    if not text.startswith("@") and len(fields) not in (5, 6):
        raise Refusal("INVALID_ARGUMENT", f"Expected 5 to 6 fields, found {len(fields)}: {text}")
    return " ".join([*fields, "*"] if len(fields) == 5 else fields)


def _latest(cron: str, first: datetime, moment: datetime) -> datetime:
    """The last time that has passed; there is one, the first."""
    found = first
    for window in _WINDOWS:
        found = max(first, next_time(cron, max(first - timedelta(seconds=1), moment - window)))
        if found <= moment:
            break
    else:
        return first
    while (later := next_time(cron, found)) <= moment:
        found = later
    return found
