"""Schedules of pipeline jobs: when they fire, how often, and what they leave out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Router
from headrace.emulator.state import Emulator
from headrace.emulator.vertex import pipeline_jobs, schedules

PARENT = "projects/demo/locations/us-central1"
SPEC = {
    "pipelineInfo": {"name": "adding"},
    "components": {"comp-add": {"executorLabel": "exec-add"}},
    "deploymentSpec": {"executors": {"exec-add": {"container": {"image": "python:3.11", "command": ["true"]}}}},
    "root": {"dag": {"tasks": {"add": {"componentRef": {"name": "comp-add"}, "taskInfo": {"name": "add"}}}}},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.16.1",
}


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """One whose jobs and clock do not run: a test says what time it is."""
    found = Emulator(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def ask(emulator: Emulator) -> Callable[..., Any]:
    router = Router((*schedules.ROUTES, *pipeline_jobs.ROUTES))

    def asked(method: str, path: str, body: Any = None, **query: str) -> Any:
        route, params = router.find(method, path)
        text = json.dumps(body).encode() if body is not None else b""
        return route.handler(
            emulator, Call(method, path, params, {name: [value] for name, value in query.items()}, {}, text)
        )

    return asked


def schedule(ask: Callable[..., Any], **fields: Any) -> dict[str, Any]:
    wanted = {
        "displayName": "hourly",
        "cron": "0 * * * *",
        "maxConcurrentRunCount": "1",
        "createPipelineJobRequest": {"parent": PARENT, "pipelineJob": {"pipelineSpec": SPEC}},
        **fields,
    }
    made: dict[str, Any] = ask("POST", f"/v1/{PARENT}/schedules", wanted)
    return made


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def jobs(emulator: Emulator) -> list[dict[str, Any]]:
    return emulator.documents.list(pipeline_jobs.KIND, PARENT)


def end(emulator: Emulator) -> None:
    for job in jobs(emulator):
        emulator.documents.change(
            pipeline_jobs.KIND, job["name"], lambda found: {**found, "state": "PIPELINE_STATE_SUCCEEDED"}
        )


def test_a_schedule_fires_when_it_is_due_and_says_when_next(emulator: Emulator, ask: Callable[..., Any]) -> None:
    made = schedule(ask)
    due = at(made["nextRunTime"])
    assert due.minute == 0
    assert due > datetime.now(UTC)
    assert schedules._due(emulator, due - timedelta(seconds=1)) == due
    assert jobs(emulator) == []
    assert schedules._due(emulator, due) == due + timedelta(hours=1)
    [job] = jobs(emulator)
    assert (job["scheduleName"], job["state"]) == (made["name"], "PIPELINE_STATE_PENDING")
    after = ask("GET", f"/v1/{made['name']}")
    assert after["startedRunCount"] == "1"
    assert after["lastScheduledRunResponse"]["runResponse"].endswith(job["name"])
    found = ask("GET", f"/v1/{PARENT}/pipelineJobs", filter=f"schedule_name={made['name']}")
    assert [one["name"] for one in found["pipelineJobs"]] == [job["name"]]


def test_a_run_that_has_no_room_is_left_out_or_waits(emulator: Emulator, ask: Callable[..., Any]) -> None:
    leaving, waiting = schedule(ask), schedule(ask, displayName="queueing", allowQueueing=True)
    due = at(leaving["nextRunTime"])
    for hour in range(2):
        schedules._due(emulator, due + timedelta(hours=hour))
    assert ask("GET", f"/v1/{leaving['name']}")["startedRunCount"] == "1"
    assert "Skipped" in ask("GET", f"/v1/{leaving['name']}")["lastScheduledRunResponse"]["runResponse"]
    assert at(ask("GET", f"/v1/{waiting['name']}")["nextRunTime"]) == due + timedelta(hours=1)
    end(emulator)
    schedules._due(emulator, due + timedelta(hours=1, minutes=5))
    assert ask("GET", f"/v1/{waiting['name']}")["startedRunCount"] == "2"


def test_a_schedule_ends_by_its_count_and_by_its_time(emulator: Emulator, ask: Callable[..., Any]) -> None:
    once = schedule(ask, maxRunCount="1")
    due = at(once["nextRunTime"])
    brief = schedule(ask, endTime=(due + timedelta(minutes=30)).isoformat())
    schedules._due(emulator, due)
    for made in (once, brief):
        after = ask("GET", f"/v1/{made['name']}")
        assert (after["state"], after.get("nextRunTime")) == ("COMPLETED", None)
    assert len(jobs(emulator)) == 2
    with pytest.raises(Refusal, match="completed"):
        ask("PATCH", f"/v1/{once['name']}", {"displayName": "x"}, updateMask="displayName")


def test_a_paused_schedule_does_not_fire_and_catches_up_where_it_is_told_to(
    emulator: Emulator, ask: Callable[..., Any]
) -> None:
    made = schedule(ask, maxConcurrentRunCount="10")
    ask("POST", f"/v1/{made['name']}:pause")
    with pytest.raises(Refusal, match="PAUSED"):
        ask("POST", f"/v1/{made['name']}:pause")
    assert schedules._due(emulator, at(made["nextRunTime"])) is None
    three_hours_ago = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    emulator.documents.change(
        schedules.KIND,
        made["name"],
        lambda found: {**found, "lastPauseTime": three_hours_ago, "startTime": three_hours_ago},
    )
    ask("POST", f"/v1/{made['name']}:resume", {"catchUp": True})
    schedules._due(emulator, datetime.now(UTC))
    assert len(jobs(emulator)) == 3


def test_of_times_that_passed_while_the_emulator_was_away_one_is_made_up_for(
    emulator: Emulator, ask: Callable[..., Any]
) -> None:
    made = schedule(ask, maxConcurrentRunCount="10")
    later = at(made["nextRunTime"]) + timedelta(hours=5, minutes=1)
    assert schedules._due(emulator, later) == at(made["nextRunTime"]) + timedelta(hours=6)
    assert len(jobs(emulator)) == 1


def test_an_update_changes_what_its_mask_names_and_plans_anew(ask: Callable[..., Any]) -> None:
    made = schedule(ask)
    sent = {**made, "cron": "30 4 * * *", "displayName": "not this"}
    after = ask("PATCH", f"/v1/{made['name']}", sent, updateMask="cron")
    assert (after["cron"], after["displayName"]) == ("30 4 * * *", "hourly")
    assert (at(after["nextRunTime"]).hour, at(after["nextRunTime"]).minute) == (4, 30)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cron": "often"}, "cron"),
        ({"displayName": ""}, "display_name"),
        ({"maxConcurrentRunCount": "0"}, "max_concurrent_run_count"),
        ({"startTime": "tomorrow"}, "a time"),
        ({"createPipelineJobRequest": {"pipelineJob": {"pipelineSpec": {"root": {}}}}}, "pipeline"),
        ({"createPipelineJobRequest": None}, "pipeline jobs"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(ask: Callable[..., Any], fields: dict[str, Any], told: str) -> None:
    with pytest.raises(Refusal, match=told) as refused:
        schedule(ask, **fields)
    assert refused.value.code in ("INVALID_ARGUMENT", "UNIMPLEMENTED")
    assert ask("GET", f"/v1/{PARENT}/schedules") == {"schedules": []}
