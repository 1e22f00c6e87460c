"""Vertex AI's schedules of pipeline jobs: they fire.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.schedules
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headrace.emulator import filters, masks, paging, pipeline_runs
from headrace.emulator.clock import next_time
from headrace.emulator.documents import Document, now, stamped
from headrace.emulator.refusals import CODES, Refusal
from headrace.emulator.routing import Call, Route
from headrace.emulator.vertex import pipeline_jobs

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "Schedule"
_ACTIVE, _PAUSED, _COMPLETED = "ACTIVE", "PAUSED", "COMPLETED"
_UPDATABLE = (
    "displayName", "cron", "startTime", "endTime", "maxRunCount", "maxConcurrentRunCount",
    "maxConcurrentActiveRunCount", "allowQueueing", "createPipelineJobRequest",
)  # fmt: skip


def begin(emulator: Emulator) -> None:
    """Has them fire."""
    emulator.clock.add(lambda moment: _due(emulator, moment))


def _create(emulator: Emulator, call: Call) -> Document:
    sent = {name: value for name, value in call.json.items() if name in _UPDATABLE}
    request = sent.get("createPipelineJobRequest")
    if not isinstance(request, dict):
        raise Refusal(
            "UNIMPLEMENTED", "schedule: the emulator serves schedules of pipeline jobs (create_pipeline_job_request)"
        )
    if not sent.get("displayName"):
        raise Refusal("INVALID_ARGUMENT", "display_name is required")
    if not sent.get("cron"):
        raise Refusal("INVALID_ARGUMENT", "cron is required")
    if int(sent.get("maxConcurrentRunCount", 0)) < 1:
        raise Refusal("INVALID_ARGUMENT", "max_concurrent_run_count: expected 1 or more")
    job = request.get("pipelineJob", {})
    if spec := job.get("pipelineSpec"):
        pipeline_runs.check(spec, pipeline_jobs.parameters_of(job.get("runtimeConfig", {})))
    moment = now()
    schedule = stamped(
        {
            **sent,
            "name": f"{_parent(call)}/schedules/{int.from_bytes(os.urandom(7), 'big')}",
            "startTime": sent.get("startTime", moment),
            "state": _ACTIVE,
            "startedRunCount": "0",
            "catchUp": False,
        }
    )
    del schedule["etag"]  # which these resources do not have
    schedule = _planned(schedule, max(_time(schedule["startTime"]), datetime.now(UTC)))
    emulator.documents.create(KIND, schedule["name"], schedule, _parent(call))
    emulator.clock.wake()
    return schedule


def _get(emulator: Emulator, call: Call) -> Document:
    return emulator.documents.get(KIND, _name(call))


def _list(emulator: Emulator, call: Call) -> Document:
    wanted = filters.predicate(call.one("filter"))
    found = [one for one in emulator.documents.list(KIND, _parent(call)) if wanted(one)]
    found = paging.ordered(found, call.one("orderBy"))
    shown, token = paging.page(found, call.one("pageSize"), call.one("pageToken"))
    answer: Document = {"schedules": shown}
    return {**answer, "nextPageToken": token} if token else answer


def _update(emulator: Emulator, call: Call) -> Document:
    sent, mask = call.json, call.one("updateMask")

    def updated(found: Document) -> Document:
        if found["state"] == _COMPLETED:
            raise Refusal("FAILED_PRECONDITION", f"The schedule is completed and cannot be updated: {found['name']}")
        after = masks.update(found, sent, mask, _UPDATABLE)
        after["updateTime"] = now()
        return _planned(after, datetime.now(UTC)) if found["state"] == _ACTIVE else after

    schedule = emulator.documents.change(KIND, _name(call), updated)
    emulator.clock.wake()
    return schedule


def _delete(emulator: Emulator, call: Call) -> Document:
    name = _name(call)
    emulator.documents.delete(KIND, name)
    return emulator.operations.done(
        name, "google.protobuf.Empty", {}, metadata="DeleteOperationMetadata", version=call.version
    )


def _pause(emulator: Emulator, call: Call) -> Document:
    def paused(found: Document) -> Document:
        if found["state"] != _ACTIVE:
            raise Refusal("FAILED_PRECONDITION", f"The schedule is {found['state']}, and only ACTIVE can be paused")
        after = {**found, "state": _PAUSED, "lastPauseTime": now(), "updateTime": now()}
        after.pop("nextRunTime", None)
        return after

    emulator.documents.change(KIND, _name(call), paused)
    return {}


def _resume(emulator: Emulator, call: Call) -> Document:
    catch_up = bool(call.json.get("catchUp", False))

    def resumed(found: Document) -> Document:
        if found["state"] != _PAUSED:
            raise Refusal("FAILED_PRECONDITION", f"The schedule is {found['state']}, and only PAUSED can be resumed")
        after = {**found, "state": _ACTIVE, "lastResumeTime": now(), "updateTime": now(), "catchUp": catch_up}
        return _planned(after, _time(found["lastPauseTime"]) if catch_up else datetime.now(UTC))

    emulator.documents.change(KIND, _name(call), resumed)
    emulator.clock.wake()
    return {}


def _planned(schedule: Document, after: datetime) -> Document:
    """A schedule with its next time; completed where there is none any more.

    Raises:
        Refusal: INVALID_ARGUMENT: its cron, or a time.
    """
    due = next_time(schedule["cron"], max(after, _time(schedule["startTime"])))
    most = int(schedule.get("maxRunCount", 0))
    over = "endTime" in schedule and due > _time(schedule["endTime"])
    if over or (most and int(schedule["startedRunCount"]) >= most):
        found = {**schedule, "state": _COMPLETED}
        found.pop("nextRunTime", None)
        return found
    return {**schedule, "nextRunTime": due.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _due(emulator: Emulator, moment: datetime) -> datetime | None:
    """Fires what is due; when the next one is."""
    following = []
    for schedule in emulator.documents.list(KIND):
        while schedule["state"] == _ACTIVE and _time(schedule["nextRunTime"]) <= moment:
            fired = _fire(emulator, schedule["name"], moment)
            if fired is None:  # waits for a run to end, which wakes the clock
                break
            schedule = fired
        if schedule["state"] == _ACTIVE and _time(schedule["nextRunTime"]) > moment:
            following.append(_time(schedule["nextRunTime"]))
    return min(following, default=None)


def _fire(emulator: Emulator, name: str, moment: datetime) -> Document | None:
    """One run of a schedule, in the transaction that plans the next: none is lost, none begins twice."""
    with emulator.documents.transaction():
        schedule = emulator.documents.find(KIND, name)
        if schedule is None or schedule["state"] != _ACTIVE or _time(schedule["nextRunTime"]) > moment:
            return schedule
        due = _time(schedule["nextRunTime"])
        parent = name.partition("/schedules/")[0]
        going = sum(
            job.get("scheduleName") == name and job["state"] not in pipeline_jobs.ENDED
            for job in emulator.documents.list(pipeline_jobs.KIND, parent)
        )
        room = going < int(schedule["maxConcurrentRunCount"])
        if not room and schedule.get("allowQueueing"):
            return None
        response: Document = {"scheduledRunTime": due.strftime("%Y-%m-%dT%H:%M:%SZ")}
        count = int(schedule["startedRunCount"])
        if room:
            response["runResponse"] = _run(emulator, schedule)
            count += 1
        else:
            response["runResponse"] = "Skipped: the limit of concurrent runs of the schedule is reached"
        after = {**schedule, "startedRunCount": str(count), "lastScheduledRunResponse": response, "updateTime": now()}
        # Of times that were missed while the emulator was away, one is made up for; all, where it was resumed so.
        after = _planned(after, due if schedule.get("catchUp") else max(due, moment))
        emulator.documents.change(KIND, name, lambda found: after)
    emulator.jobs.wake()
    return after


def _run(emulator: Emulator, schedule: Document) -> str:
    """Creates the job; what came of it in words, as the API has it."""
    request = schedule["createPipelineJobRequest"]
    parent = schedule["name"].partition("/schedules/")[0]
    sent = {**request.get("pipelineJob", {}), "scheduleName": schedule["name"]}
    sent.setdefault("displayName", schedule["displayName"])
    try:
        job = pipeline_jobs.create(emulator, parent, sent)
    except Refusal as refusal:
        print(f"{schedule['name']}: {refusal.message}", file=sys.stderr)
        return f"{CODES[refusal.code][0]}: {refusal.message}"
    return f"PipelineJob created: {job['name']}"


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal("INVALID_ARGUMENT", f"expected a time such as 2026-11-22T03:00:00Z. Received: {text}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _parent(call: Call) -> str:
    return f"projects/{call.params['project']}/locations/{call.params['location']}"


def _name(call: Call) -> str:
    return f"{_parent(call)}/schedules/{call.params['schedule']}"


_ALL = "/v1/projects/{project}/locations/{location}/schedules"
ROUTES = (
    Route("POST", _ALL, _create, "PipelineJobSchedule.create, PipelineJob.create_schedule"),
    Route("GET", _ALL, _list, "PipelineJobSchedule.list"),
    Route("GET", _ALL + "/{schedule}", _get, "PipelineJobSchedule.get"),
    Route("PATCH", _ALL + "/{schedule}", _update, "PipelineJobSchedule.update"),
    Route("POST", _ALL + "/{schedule}:pause", _pause, "PipelineJobSchedule.pause"),
    Route("POST", _ALL + "/{schedule}:resume", _resume, "PipelineJobSchedule.resume"),
    Route("DELETE", _ALL + "/{schedule}", _delete, "PipelineJobSchedule.delete"),
)
