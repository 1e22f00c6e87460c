"""The tasks of a run on Vertex AI Pipelines, in the words of `platforms.running`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.platforms.running import CANCELLED, FAILED, PENDING, RUNNING, SKIPPED, SUCCEEDED, TaskState

# What Vertex calls skipped was taken from the cache; what was not to run at all is not triggered.
_CACHED = "SKIPPED"
_STATES = {
    "PENDING": PENDING,
    "RUNNING": RUNNING,
    "CANCEL_PENDING": RUNNING,
    "CANCELLING": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    _CACHED: SUCCEEDED,
    "CANCELLED": CANCELLED,
    "FAILED": FAILED,
    "NOT_TRIGGERED": SKIPPED,
}


def task_states(job: Any, location: str, project: str) -> list[TaskState]:
    """The tasks, in the order in which they began.

    Args:
        job: the PipelineJob resource.
        location: the region, for the command that shows a log.
        project: likewise.
    """
    details = {one.task_id: one for one in job.job_detail.task_details}
    parents = {one.parent_task_id for one in details.values() if one.parent_task_id in details}
    groups = _groups(job.pipeline_spec)
    found = []
    for one in details.values():
        if _is_root(one, details, parents):
            continue
        state = one.state.name
        found.append(
            TaskState(
                name=_path(one, details, parents),
                state=_STATES.get(state, PENDING),
                started=seconds(one.start_time),
                ended=seconds(one.end_time),
                error=str(one.error.message) if one.error else "",
                cached=state == _CACHED,
                group=one.task_id in parents or one.task_name in groups,
                log=_log(one, location, project),
            )
        )
    late = float("inf")
    return sorted(found, key=lambda task: (late if task.started is None else task.started, task.name))


def seconds(time: Any) -> float | None:
    """A timestamp of the API in seconds since 1970; None where it has none."""
    return time.timestamp() if time else None


def _groups(spec: Any) -> set[str]:
    """The names of tasks that are conditions, loops and nested pipelines."""
    ir = _plain(spec)
    components = ir.get("components", {})
    found = set()
    for component in [ir.get("root", {}), *components.values()]:
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            if "dag" in components.get(task.get("componentRef", {}).get("name", ""), {}):
                found.add(name)
    return found


def _plain(value: Any) -> dict[str, Any]:
    from google.protobuf import json_format, struct_pb2

    if isinstance(value, struct_pb2.Struct):
        plain: dict[str, Any] = json_format.MessageToDict(value)
        return plain
    return {key: _plain(one) if isinstance(one, Mapping) else one for key, one in dict(value).items()}


def _is_root(one: Any, details: Mapping[int, Any], parents: set[int]) -> bool:
    """The pipeline itself is told as a task above all others."""
    return one.task_id in parents and one.parent_task_id not in details


def _path(one: Any, details: Mapping[int, Any], parents: set[int]) -> str:
    """`for-loop-1[3]/train`: the names from the pipeline down, without the pipeline's own."""
    names: list[str] = []
    while True:
        above = details.get(one.parent_task_id)
        if above is None and one.task_id in parents:
            break  # the pipeline
        names.append(one.task_name)
        if above is None:
            break
        one = above
    path: list[str] = []
    for name in reversed(names):
        loop, _, index = name.rpartition("-")
        if path and loop == path[-1] and index.isdigit():  # one iteration is told as a task below its loop
            path[-1] = f"{loop}[{index}]"
        else:
            path.append(name)
    return "/".join(path)


def _log(one: Any, location: str, project: str) -> str:
    """The command that shows what a task printed: its container is a custom job."""
    job = one.executor_detail.container_detail.main_job or one.executor_detail.custom_job_detail.job
    if not job:
        return ""
    return f"gcloud ai custom-jobs stream-logs {job.rpartition('/')[2]} --region {location} --project {project}"
