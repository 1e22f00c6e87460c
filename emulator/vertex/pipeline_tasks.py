"""The tasks of a pipeline job, as Vertex AI tells of them, from the record of the local runner.

What Vertex calls SKIPPED was taken from the cache; what was not to run at all is NOT_TRIGGERED. The pipeline itself is
told as a task above all others, and an iteration of a loop as one below its loop: `for-loop-1-3`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from headrace.emulator.documents import Document
from headrace.emulator.pipeline_runs import nested, place, task_number
from headrace.pipelines.local.record import results
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskResult

_STATES = {
    results.PENDING: "PENDING",
    results.RUNNING: "RUNNING",
    results.SUCCEEDED: "SUCCEEDED",
    results.FAILED: "FAILED",
    results.SKIPPED: "NOT_TRIGGERED",
    results.CANCELLED: "CANCELLED",
}
_EXECUTIONS = {
    "PENDING": "NEW",
    "RUNNING": "RUNNING",
    "SUCCEEDED": "COMPLETE",
    "FAILED": "FAILED",
    "SKIPPED": "CACHED",
    "CANCELLED": "CANCELLED",
}
_ITERATION = re.compile(r"(.+)\[(\d+)\]")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED", "NOT_TRIGGERED")


@dataclass(frozen=True)
class Told:
    """Of which job the tasks are.

    Attributes:
        job: the job's full name.
        root: the folder of its outputs, as the client gave it, with the job's own part; empty for none.
        result: the run, as recorded.
        state: the job's, `RUNNING`.
        storage: the folder in which buckets lie.
    """

    job: str
    root: str
    result: RunResult
    state: str
    storage: Path

    @property
    def store(self) -> str:
        """The metadata store's full name."""
        return f"{self.job.partition('/pipelineJobs/')[0]}/metadataStores/default"

    @cached_property
    def tasks(self) -> dict[str, TaskResult]:
        """By their paths with iterations below their loops."""
        return {nested(path): task for path, task in self.result.tasks.items()}

    @property
    def id(self) -> str:
        """The job's."""
        return self.job.rpartition("/")[2]


def task_details(told: Told) -> list[Document]:
    """The tasks, the pipeline itself first."""
    found = [_root(told)]
    paths: dict[str, None] = {}
    for path in told.tasks:
        pieces = path.split("/")
        for end in range(1, len(pieces) + 1):
            paths.setdefault("/".join(pieces[:end]))
    for path in paths:
        task = told.tasks.get(path)
        found.append(_task(told, path, task) if task else _group(told, path))
    return found


def artifact(told: Told, record: ArtifactRecord, uri: str) -> Document:
    """An artifact of the metadata store."""
    digest = record.digest or ""
    if record.path is not None and record.path.is_relative_to(told.storage) and "://" not in uri:
        uri = f"gs://{record.path.relative_to(told.storage)}"
    document: Document = {
        "name": f"{told.store}/artifacts/{artifact_id(uri, digest)}",
        "displayName": record.name,
        "uri": uri,
        "state": "LIVE",
        "schemaTitle": record.type,
        "schemaVersion": "0.0.1",
        "createTime": time_text(told.result.started),
        "updateTime": time_text(told.result.started),
        "metadata": {name: value for name, value in record.metadata.items() if not name.startswith("_kfp")},
    }
    return document


def artifact_id(uri: str, digest: str) -> str:
    """An artifact's, the same for the same content at the same place."""
    return str(task_number(uri, digest))


def execution(told: Told, path: str, task: TaskResult, state: str) -> Document:
    """The execution of a task, of the metadata store: its parameters are `input:NAME`, outputs `output:NAME`."""
    values = {f"input:{name}": value for name, value in task.parameters.items()}
    values |= {f"output:{name}": value for name, value in task.outputs.items()}
    schema = "system.ContainerExecution" if task.leaf else "system.DagExecution"
    started = task.started or told.result.started
    return _execution(told, path, state, started, started + task.seconds, schema, values)


def run_execution(told: Told) -> Document:
    """The execution of the run as a whole, whose metadata are the pipeline's parameters."""
    run = told.result
    values = {f"input:{name}": value for name, value in run.parameters.items()}
    state = told.state if told.state in ("SUCCEEDED", "FAILED", "CANCELLED") else "RUNNING"
    found = _execution(told, "", state, run.started, run.started + run.seconds, "system.Run", values)
    return {**found, "displayName": told.id}


def _execution(
    told: Told, path: str, state: str, created: float, updated: float, schema: str, values: Document
) -> Document:
    return {
        "name": f"{told.store}/executions/{task_number(told.result.id, path)}",
        "displayName": _name(path),
        "state": _EXECUTIONS.get(state, "NEW"),
        "schemaTitle": schema,
        "schemaVersion": "0.0.1",
        "createTime": time_text(created),
        "updateTime": time_text(updated),
        "metadata": values,
    }


def outputs(told: Told, task: TaskResult) -> dict[str, list[Document]]:
    """A task's output artifacts, at the places where clients find them."""
    return {
        name: [artifact(told, record, _uri(told, task, name, index, record)) for index, record in enumerate(records)]
        for name, records in task.artifacts.items()
    }


def inputs(told: Told, task: TaskResult) -> dict[str, list[Document]]:
    """A task's input artifacts: those that other tasks put out, under the same names and places."""
    made = {
        (record.uri, record.digest): document
        for other in told.tasks.values()
        if other.leaf
        for name, records in other.artifacts.items()
        for record, document in zip(records, outputs(told, other)[name], strict=True)
    }
    return {
        name: [made.get((record.uri, record.digest)) or artifact(told, record, record.uri) for record in records]
        for name, records in task.inputs.items()
    }


def state_of(told: Told, task: TaskResult) -> str:
    """A task's, in Vertex AI's words."""
    if task.state == results.SUCCEEDED and task.cached and task.leaf:
        return "SKIPPED"
    if task.state == results.INTERRUPTED:  # the process died, and goes on soon
        return {"CANCELLED": "CANCELLED", "FAILED": "FAILED"}.get(told.state, "PENDING")
    return _STATES[task.state]


def time_text(seconds: float) -> str:
    """A moment as the API writes one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parent(told: Told, path: str) -> str:
    above, _, _ = path.rpartition("/")
    return str(task_number(told.result.id, above))


def _name(path: str) -> str:
    last = path.rpartition("/")[2]
    found = _ITERATION.fullmatch(last)
    return f"{found[1]}-{found[2]}" if found else last


def _root(told: Told) -> Document:
    run = told.result
    state = told.state if told.state in ("SUCCEEDED", "FAILED", "CANCELLED") else "RUNNING"
    found: Document = {
        "taskId": str(task_number(run.id, "")),
        "taskName": told.id,
        "createTime": time_text(run.started),
        "startTime": time_text(run.started),
        "state": state,
    }
    if state in _ENDED:
        found["endTime"] = time_text(run.started + run.seconds)
    found["execution"] = run_execution(told)
    return found


def _group(told: Told, path: str) -> Document:
    """A group that the record does not tell of yet, or an iteration, from the tasks below it."""
    below = [task for other, task in told.tasks.items() if other.startswith(f"{path}/")]
    states = {state_of(told, task) for task in below if task.leaf}
    above, _, last = path.rpartition("/")
    loop = told.tasks.get(above) if _ITERATION.fullmatch(last) else None
    open_ = told.state not in ("SUCCEEDED", "FAILED", "CANCELLED") and (loop is None or loop.state == results.RUNNING)
    state = next((one for one in ("FAILED", "CANCELLED") if one in states), "RUNNING" if open_ else "SUCCEEDED")
    started = min((task.started for task in below if task.started), default=told.result.started)
    found: Document = {
        "taskId": str(task_number(told.result.id, path)),
        "parentTaskId": _parent(told, path),
        "taskName": _name(path),
        "createTime": time_text(started),
        "startTime": time_text(started),
        "state": state,
        "execution": _execution(told, path, state, started, started, "system.DagExecution", {}),
    }
    if state in _ENDED:
        found["endTime"] = time_text(max((task.started + task.seconds for task in below), default=started))
    return found


def _task(told: Told, path: str, task: TaskResult) -> Document:
    state = state_of(told, task)
    started = task.started or told.result.started
    found: dict[str, Any] = {
        "taskId": str(task_number(told.result.id, path)),
        "parentTaskId": _parent(told, path),
        "taskName": _name(path),
        "createTime": time_text(started),
        "startTime": time_text(started),
        "state": state,
        "pipelineTaskStatus": _history(task, state, started),
    }
    if state in _ENDED:
        found["endTime"] = time_text(started + task.seconds)
    if state != "NOT_TRIGGERED":
        found["execution"] = execution(told, path, task, state)
        found["inputs"] = _lists(inputs(told, task))
        found["outputs"] = _lists(outputs(told, task))
    if task.error and state == "FAILED":
        log = f" Its log: {task.log}" if task.log else ""
        found["error"] = {"code": 9, "message": f"{task.error.type}: {task.error.message}{log}"}
    return found


def _history(task: TaskResult, state: str, started: float) -> list[Document]:
    """The states that it has been in."""
    if state in ("PENDING", "RUNNING"):
        return [{"updateTime": time_text(started), "state": state}]
    last = {"updateTime": time_text(started + task.seconds), "state": state}
    return [last] if state in ("SKIPPED", "NOT_TRIGGERED") else [*_history(task, "RUNNING", started), last]


def _lists(artifacts: Mapping[str, list[Document]]) -> dict[str, Document]:
    return {name: {"artifacts": found} for name, found in artifacts.items()}


def _uri(told: Told, task: TaskResult, name: str, index: int, record: ArtifactRecord) -> str:
    """Where clients find an output: below the job's root, where it has one and the output lies on this machine."""
    imported = record.path is None or not record.path.is_relative_to(told.result.home)
    if not told.root or imported or not task.leaf:
        return record.uri
    return f"{told.root}/{place(told.result.id, task.path, name, index)}"
