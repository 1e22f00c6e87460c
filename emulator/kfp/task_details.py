"""What Kubeflow Pipelines tells of a run's tasks, of a run of the local runner.

The API server lists the nodes of its workflow, and so does this: the pipeline (`root`), each group, each turn of a
loop (`iteration-item(3)`), each task, and below it its `executor`; beside it `NAME-driver`, which resolved its inputs.
An executor that was SKIPPED is one whose outputs came from the cache. There are no pods, so none has a name.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from headrace.emulator.documents import Document
from headrace.emulator.kfp.artifacts import artifact_id
from headrace.emulator.kfp.resources import written
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskResult

_STATES = {"CANCELLED": "CANCELED", "INTERRUPTED": "RUNNING"}  # the next process goes on with it
_UNKNOWN = 2  # google.rpc.Code
_TURN = re.compile(r"(.+)\[(\d+)\]")
_ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")


def task_details(run: str, result: RunResult) -> list[Document]:
    """The nodes of a run, each above those below it.

    Args:
        run: its identity in the API.
        result: what there is of it.
    """
    nodes = _Nodes(run, result)
    for path, task in result.tasks.items():
        nodes.add(path, task)
    return nodes.listed()


class _Nodes:
    """The nodes so far, by their paths: those of tasks are the local runner's."""

    def __init__(self, run: str, result: RunResult) -> None:
        self._run, self._result = run, result
        self._nodes: dict[str, Document] = {}
        self._above: dict[str, str] = {}
        state = _STATES.get(result.state, result.state)
        times = _times(result.started, result.seconds if state in _ENDED else None)
        self._put("", "root", state, "", times)
        self._put("-driver", "root-driver", "SUCCEEDED", "", _times(result.started, 0.0))

    def add(self, path: str, task: TaskResult) -> None:
        """A task, what it runs in, and the groups around it."""
        above = self._group(path.rpartition("/")[0])
        state = _STATES.get(task.state, task.state)
        times = _times(task.started, task.seconds if state in _ENDED else None)
        lists = {"inputs": _ids(task.inputs), "outputs": _ids(task.artifacts)}
        self._put(path, task.name, state, above, {**times, **lists, **_error(task)})
        if task.started and state != "SKIPPED":
            self._put(f"{path}-driver", f"{task.name}-driver", "SUCCEEDED", above, _times(task.started, 0.0))
            if task.leaf:
                ran = "SKIPPED" if task.cached else state
                self._put(f"{path}/executor", "executor", ran, path, {**times, **_error(task)})

    def listed(self) -> list[Document]:
        """All, with those below each."""
        for path, above in self._above.items():
            if path:
                self._nodes[above]["child_tasks"].append({"task_id": self._nodes[path]["task_id"]})
        return list(self._nodes.values())

    def _group(self, path: str) -> str:
        """The node of a group, which may be a turn of a loop; those that are missing are made, and go on."""
        if not path or path in self._nodes:
            return path
        above, _, name = path.rpartition("/")
        turn = _TURN.fullmatch(name)
        if turn is None:
            known = self._result.tasks.get(path)
            if known is not None:
                self.add(path, known)
            else:
                self._put(path, name, "RUNNING", self._group(above), {})
            return path
        loop = self._group(f"{above}/{turn[1]}" if above else turn[1])
        state = self._nodes[loop]["state"]
        self._put(path, f"iteration-item({turn[2]})", state if state in _ENDED else "RUNNING", loop, {})
        return path

    def _put(self, path: str, name: str, state: str, above: str, more: Mapping[str, Any]) -> None:
        node = {
            "run_id": self._run,
            "task_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._run}/{path}")),
            "display_name": name,
            "state": state,
            "child_tasks": [],
            **more,
        }
        if path:
            node["parent_task_id"] = self._nodes[above]["task_id"]
        self._nodes[path], self._above[path] = node, above


def _times(started: float, seconds: float | None) -> dict[str, str]:
    if not started:
        return {}
    told = {"create_time": written(started), "start_time": written(started)}
    return told if seconds is None else {**told, "end_time": written(started + seconds)}


def _ids(artifacts: Mapping[str, tuple[ArtifactRecord, ...]]) -> dict[str, Any]:
    return {name: {"artifact_ids": [artifact_id(one) for one in found]} for name, found in artifacts.items()}


def _error(task: TaskResult) -> dict[str, Any]:
    if task.error is None:
        return {}
    log = f" Its log: {task.log}" if task.log else ""
    return {"error": {"code": _UNKNOWN, "message": f"{task.error.type}: {task.error.message}{log}"}}
