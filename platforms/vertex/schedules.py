"""Schedules of Vertex AI Pipelines: one of a name, which a later one replaces."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from headrace.platforms.running import PAUSED, RUNNING, Scheduled, Submission
from headrace.platforms.vertex.tasks import seconds

_ZONE = re.compile(r"^(?:CRON_)?TZ=(\S+)\s+(.*)$")


def replace(
    aiplatform: Any,
    job: Any,
    submission: Submission,
    cron: str,
    *,
    at_once: int,
    paused: bool,
    times: Mapping[str, Any],
) -> Any:
    """Makes a schedule in the place of those of its name; of none of them a run begins meanwhile.

    What is there is paused until the new one is, and goes on where that fails.

    Args:
        aiplatform: the client.
        job: the PipelineJob that runs.
        submission: its name and in whose name.
        cron: with the time zone.
        at_once: how many runs at the same time.
        paused: whether it begins paused.
        times: `start_time`, `end_time`, `max_run_count`, None for none.
    """
    before = [one for one in active(aiplatform) if name_of(one) == submission.name]
    stopped = [one for one in before if state_of(one) == RUNNING]
    for one in stopped:
        one.pause()
    try:
        made = aiplatform.PipelineJobSchedule(pipeline_job=job, display_name=submission.name)
        made.create(
            cron=cron,
            max_concurrent_run_count=at_once,
            service_account=submission.service_account or None,
            network=submission.network or None,
            **{name: value for name, value in times.items() if value is not None},
        )
        if paused:
            made.pause()
    except BaseException:
        for one in stopped:
            one.resume()
        raise
    for one in before:
        one.delete()
    return aiplatform.PipelineJobSchedule.get(made.resource_name)


def active(aiplatform: Any) -> list[Any]:
    """Those that are not over."""
    return [one for one in aiplatform.PipelineJobSchedule.list() if one.gca_resource.state.name in ("ACTIVE", "PAUSED")]


def scheduled(one: Any, page: Callable[[str], str]) -> Scheduled:
    """A schedule in the words of `platforms.running`."""
    resource = one.gca_resource
    found = _ZONE.match(resource.cron)
    zone, cron = found.groups() if found else ("UTC", resource.cron)
    return Scheduled(
        id=id_of(one),
        name=name_of(one),
        cron=cron,
        state=state_of(one),
        timezone=zone,
        url=page(f"pipelines/schedules/{id_of(one)}"),
        next=seconds(resource.next_run_time),
    )


def id_of(one: Any) -> str:
    """Its id: the end of its resource name."""
    return str(one.gca_resource.name).rpartition("/")[2]


def name_of(one: Any) -> str:
    """What people call it."""
    return str(one.gca_resource.display_name)


def state_of(one: Any) -> str:
    """RUNNING or PAUSED."""
    return PAUSED if one.gca_resource.state.name == "PAUSED" else RUNNING
