"""When recurring runs of Kubeflow Pipelines are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.emulator.kfp.schedule import check_trigger, following, with_macros
from headrace.emulator.refusals import Refusal

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def cron(text: str, **limits: str) -> dict[str, Any]:
    return {"cron_schedule": {"cron": text, **limits}}


def every(seconds: int | str, **limits: str) -> dict[str, Any]:
    return {"periodic_schedule": {"interval_second": str(seconds), **limits}}


def due(trigger: dict[str, Any], moment: datetime = NOON, **more: Any) -> str | None:
    found = following({"trigger": trigger, "created_at": "2026-11-22T10:00:30Z", **more}, moment)
    return found and found.strftime("%d %H:%M:%S")


@pytest.mark.parametrize(
    ("trigger", "catching_up", "latest"),
    [
        (cron("0 0 * * * *"), "22 11:00:00", "22 12:00:00"),
        (cron("30 15 * * *"), "22 10:15:30", "22 11:15:30"),  # five fields: seconds first, and any day of the week
        (cron("0 0 9 ? * MON"), "23 09:00:00", None),
        (cron("*/10 * * * * ?"), "22 10:00:40", "22 12:00:00"),
        (cron("@hourly"), "22 11:00:00", "22 12:00:00"),
        (every(3600), "22 11:00:30", None),
        (every(60), "22 10:01:30", "22 11:59:30"),
        (every(60, start_time="2026-11-20T00:00:00Z"), "20 00:01:00", "22 12:00:00"),
        (every(60, end_time="2026-11-22T10:00:59Z"), None, None),
        (cron("0 0 0 1 1 *", end_time="2026-12-31T00:00:00Z"), None, None),
    ],
)
def test_due(trigger: dict[str, Any], catching_up: str | None, latest: str | None) -> None:
    assert due(trigger) == catching_up
    assert due(trigger, no_catchup=True) == (latest or catching_up)


def test_after_one_that_was_due() -> None:
    assert due(cron("0 0 * * * *"), last="2026-11-22T11:00:00Z") == "22 12:00:00"
    assert due(every(3600), last="2026-11-22T11:00:30Z") == "22 12:00:30"


@given(st.integers(1, 100_000), st.integers(0, 3_000_000))
def test_without_catching_up_the_latest_time_counts(seconds: int, waited: int) -> None:
    created = NOON - timedelta(seconds=waited)
    recurring = {"trigger": every(seconds), "created_at": created.isoformat(), "no_catchup": True}
    found = following(recurring, NOON)
    assert found is not None and (found - created).total_seconds() % seconds == 0
    assert found > NOON - timedelta(seconds=seconds) and (
        found <= NOON or found == created + timedelta(seconds=seconds)
    )


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        (None, "either cron_schedule or periodic_schedule"),
        ({**cron("0 0 * * * *"), **every(1)}, "either"),
        (cron("CRON_TZ=UTC 0 0 * * * *"), "Expected 5 to 6 fields, found 7"),
        (cron("0 0 25 * * *"), "not a supported format"),
        (cron(""), "found 0"),
        (every(0), "has to be positive"),
        (every("soon"), "expected a number"),
        (every(1, start_time="tomorrow"), "Expected a time"),
    ],
)
def test_no_schedule(trigger: Any, told: str) -> None:
    with pytest.raises(Refusal, match=told) as refused:
        check_trigger(trigger, "Failed")
    assert refused.value.code == "INVALID_ARGUMENT"


def test_every_is_not_served() -> None:
    with pytest.raises(Refusal, match="give a periodic_schedule") as refused:
        check_trigger(cron("@every 1h30m"), "Failed")
    assert refused.value.code == "UNIMPLEMENTED"


def test_macros() -> None:
    given = {
        "a": "gs://b/[[ScheduledTime.2006/01/02]]/[[Index]]",
        "b": ["[[ScheduledTime]]", 7],
        "c": "[[RunUUID]] [[x]]",
    }
    assert with_macros(given, NOON, NOON + timedelta(seconds=9), 4, "id") == {
        "a": "gs://b/2026/11/22/4", "b": ["20261122120000", 7], "c": "id [[x]]",
    }  # fmt: skip
    assert with_macros("[[CurrentTime.15:04:05]]", NOON, NOON + timedelta(seconds=9), 4, "id") == "12:00:09"
