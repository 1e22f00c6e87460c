"""Schedules kept by this machine's clock."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from headrace.pipelines.events.event import Event
from headrace.pipelines.events.reading import tick
from headrace.pipelines.events.rules import Rule
from headrace.pipelines.events.store import Store


class Hours:
    """Says which schedules are due.

    Args:
        rules: those that have a schedule; others are passed over.
        store: remembers since when a rule is watched, so that hours missed since then are known.
        now: seconds since 1970.
    """

    def __init__(self, rules: Sequence[Rule], store: Store, now: float) -> None:
        self._rules = [rule for rule in rules if rule.schedule is not None]
        self._since = {rule.name: _since(rule, store, now) for rule in self._rules}

    def due(self, now: float) -> list[Event]:
        """The latest hour of each schedule, where it lies between the beginning of the watch and now; again each time.

        Of several hours that were missed the latest counts: a pipeline reads the data of now.
        """
        found = []
        for rule in self._rules:
            latest = last_hour(rule, now)
            if latest is not None and latest.timestamp() > self._since[rule.name]:
                found.append(tick(rule.name, latest))
        return found


def last_hour(rule: Rule, now: float) -> datetime | None:
    """The latest hour of a schedule that is not after now; None where it has none."""
    from cronsim import CronSim

    assert rule.schedule is not None  # those alone are asked for
    zone = ZoneInfo(rule.schedule.timezone)
    start = datetime.fromtimestamp(int(now) + 1, UTC).astimezone(zone)  # what is before this second's end
    return next(CronSim(rule.schedule.cron, start, reverse=True), None)


def _since(rule: Rule, store: Store, now: float) -> float:
    assert rule.schedule is not None  # those alone are asked for
    name, schedule = f"watched/{rule.name}.json", rule.schedule
    asked = f"{schedule.cron} {schedule.timezone}"
    found = store.read(name)
    if found is not None and (said := json.loads(found[0])).get("schedule") == asked:
        return float(said["since"]) if schedule.catch_up else now
    store.write(name, json.dumps({"schedule": asked, "since": now}).encode(), found[1] if found else 0)
    return now
