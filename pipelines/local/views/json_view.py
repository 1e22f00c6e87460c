"""The run as JSON: one object per line and event, for programs. docs/runs.md documents the fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from headrace.pipelines.local import events
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskError, TaskResult

VERSION = 1  # of the fields: they are added to under the same number, and renamed or removed only under another


class JsonView:
    """Writes each event as one line. Text for people goes elsewhere."""

    wants_ticks = False

    def __init__(self, stream: TextIO, text: TextIO) -> None:
        self._stream, self.text = stream, text
        self._run: str | None = None

    def __call__(self, event: events.Event) -> None:
        if event.kind == events.TICK:
            return
        self._run = event.run
        fields: dict[str, Any] = {}
        if event.kind == events.RUN_STARTED:
            fields["name"] = event.message
        elif event.message:
            fields["message"] = event.message
        if event.kind == events.RUN_FINISHED:
            fields["state"] = event.state
        if event.task is not None:
            fields |= task_json(event.task)
        self._write(event.kind, event.time, fields)

    def refused(self, message: str) -> None:
        """The last line of a run that cannot go on, or could not begin."""
        self._write("error", datetime.now(UTC).timestamp(), {"message": message})

    def ended(self, result: RunResult, outcome: Mapping[str, Any], exit_code: int) -> None:
        """The last line of a run that came to an end."""
        fields = {
            "name": result.name,
            "state": result.state,
            "seconds": result.seconds,
            "exit_code": exit_code,
            "message": result.error,
            "outputs": result.outputs,
            "outcome": outcome,
        }
        self._write("outcome", result.started + result.seconds, fields)

    def close(self) -> None:
        """Nothing to put away: every line was flushed."""

    def _write(self, kind: str, time: float, fields: Mapping[str, Any]) -> None:
        head = {"version": VERSION, "event": kind, "run": self._run, "time": time_text(time)}
        self._stream.write(dumps({**head, **fields}) + "\n")
        self._stream.flush()


def time_text(time: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, with microseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def task_json(task: TaskResult) -> dict[str, Any]:
    """A task's fields, the same in every event that is about one."""
    return {
        "task": task.path,
        "label": task.label,
        "name": task.name,
        "component": task.component,
        "group": not task.leaf,
        "state": task.state,
        "started": time_text(task.started),
        "seconds": task.seconds,
        "cached": task.cached,
        "attempt": task.attempts,
        "reason": task.reason,
        "error": error_json(task.error),
        "log": str(task.log) if task.log else None,
        "outputs": dict(task.outputs),
        "artifacts": artifacts_json(task.artifacts),
        "metrics": metrics_of(task),
    }


def error_json(error: TaskError | None) -> dict[str, Any] | None:
    return None if error is None else asdict(error)


def artifacts_json(named: Mapping[str, tuple[ArtifactRecord, ...]]) -> list[dict[str, Any]]:
    """Artifacts in a list; those of one output that holds several follow each other."""
    return [
        {
            "name": name,
            "type": record.type,
            "uri": record.uri,
            "digest": record.digest,
            "files": record.files,
            "bytes": record.bytes,
            "metadata": dict(record.metadata),
        }
        for name, records in named.items()
        for record in records
    ]


def metrics_of(task: TaskResult) -> dict[str, Any]:
    """What a task has put into its metrics artifacts: numbers by name."""
    return {
        name: value
        for records in task.artifacts.values()
        for record in records
        if record.type == "system.Metrics"
        for name, value in record.metadata.items()
    }


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON that any parser reads, in ASCII: NaN and infinities become strings, as protobuf's JSON has them."""
    return json.dumps(_plain(value), allow_nan=False, default=str, indent=indent)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
