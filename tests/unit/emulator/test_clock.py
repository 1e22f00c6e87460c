"""The emulator's clock: when a schedule is due, and that it is called then."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from headrace.emulator.clock import Clock, next_time
from headrace.emulator.refusals import Refusal

MOMENT = datetime(2026, 11, 22, 3, 30, 15, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("* * * * *", "2026-11-22T03:31:00"),
        ("0 9 * * 1-5", "2026-11-23T09:00:00"),
        ("TZ=Europe/Berlin 0 9 * * *", "2026-11-22T08:00:00"),
        ("CRON_TZ=America/New_York 0 9 * * *", "2026-11-22T14:00:00"),
        ("30 */5 * ? * *", "2026-11-22T03:30:30"),  # with seconds, as Kubeflow Pipelines has them
        ("@hourly", "2026-11-22T04:00:00"),
        ("@weekly", "2026-11-29T00:00:00"),
    ],
)
def test_the_next_time_of_a_cron_expression(cron: str, expected: str) -> None:
    assert next_time(cron, MOMENT) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "cron", ["", "* * *", "99 * * * *", "TZ=Nowhere/At-all * * * * *", "TZ= * * * * *", "30 3 31 2 *"]
)
def test_what_is_no_cron_expression_is_refused(cron: str) -> None:
    with pytest.raises(Refusal, match="cron") as refused:
        next_time(cron, MOMENT)
    assert refused.value.code == "INVALID_ARGUMENT"


def test_the_clock_calls_at_once_at_the_time_and_when_woken(capsys: pytest.CaptureFixture[str]) -> None:
    clock, calls, called = Clock(), [], threading.Semaphore(0)

    def due(moment: datetime) -> datetime | None:
        calls.append(moment)
        called.release()
        return moment + timedelta(seconds=0.1) if len(calls) == 1 else None

    def broken(moment: datetime) -> datetime | None:
        raise ValueError("a defect")

    clock.add(broken)
    clock.add(due)
    clock.start()
    assert called.acquire(timeout=5)
    assert called.acquire(timeout=5)
    assert timedelta(seconds=0.1) <= calls[1] - calls[0] < timedelta(seconds=3)
    assert not called.acquire(timeout=0.2)
    clock.wake()
    assert called.acquire(timeout=5)
    clock.stop()
    assert "a defect" in capsys.readouterr().err
