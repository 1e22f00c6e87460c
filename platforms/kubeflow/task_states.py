"""What Kubeflow Pipelines tells of a run's tasks, in our terms.

The backend lists the nodes of its workflow: the pipeline's tasks by their names, and helpers around them.

    root, root-driver                     the pipeline, and what resolved its inputs
    train                                 a task; train-driver resolved its inputs, `executor` below it is the pod
    for-loop-1                            a loop; below it iteration-iterations, and iteration-item(3:...) for each turn

A node says which nodes are below it, by their ids (`task_id`) or by their pods' names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.platforms.running import CANCELLED, FAILED, PAUSED, PENDING, RUNNING, SKIPPED, SUCCEEDED, TaskState

_STATES = {
    "PENDING": PENDING,
    "RUNNING": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    "SKIPPED": SKIPPED,
    "FAILED": FAILED,
    "CANCELING": RUNNING,
    "CANCELED": CANCELLED,
    "PAUSED": PAUSED,
    "CACHED": SUCCEEDED,
}
_EXECUTOR, _DRIVER = "executor", "-driver"
_TURN = re.compile(r"iteration-item\((\d+)")


def state_of(told: str | None) -> str:
    """One of `running.STATES`; what a backend has no word for yet waits."""
    return _STATES.get((told or "").upper(), PENDING)


def seconds(time: datetime | None) -> float | None:
    """Seconds since 1970; None for none. KFP writes 1970 or the year 1 where it knows no time."""
    if time is None:
        return None
    stamp = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return stamp if stamp > 0 else None


def task_states(details: Sequence[Any], ir: Mapping[str, Any]) -> list[TaskState]:
    """The tasks of a run, in the order in which they began.

    Args:
        details: `run_details.task_details`, of the client's type V2beta1PipelineTaskDetail.
        ir: the run's pipeline spec, which says what the tasks are; others are helpers.
    """
    names, groups = _tasks(ir)
    nodes = _Nodes.of(details)
    found = []
    for one in details:
        if one.display_name not in names:
            continue
        pod = next((n for n in nodes.below(one) if n.display_name == _EXECUTOR), None)
        driver = nodes.driver(one)
        state = state_of(one.state)
        began = seconds(one.start_time) or seconds(one.create_time)
        found.append(
            TaskState(
                name="/".join([*nodes.path(one, names), names[one.display_name]]),
                state=state,
                started=began,
                ended=seconds(one.end_time),
                error=next((text for node in (pod, one, driver) if node and (text := _error(node))), ""),
                cached=(one.state or "").upper() == "CACHED"
                or (state == SUCCEEDED and pod is not None and state_of(pod.state) == SKIPPED),
                group=one.display_name in groups,
                log=f"kubectl logs {pod.pod_name} -c main" if pod is not None and pod.pod_name else "",
            )
        )
    return sorted(found, key=lambda state: state.started or float("inf"))


@dataclass(frozen=True)
class _Nodes:
    """The nodes of a run, and which is above which."""

    by_id: Mapping[str, Any]
    above: Mapping[str, str]  # id -> id

    @classmethod
    def of(cls, details: Sequence[Any]) -> _Nodes:
        by_pod = {one.pod_name: one.task_id for one in details if one.pod_name}
        above: dict[str, str] = {}
        for one in details:
            for child in one.child_tasks or []:
                if id := child.task_id or by_pod.get(child.pod_name):
                    above.setdefault(id, one.task_id)
        above |= {one.task_id: one.parent_task_id for one in details if one.parent_task_id}
        return cls({one.task_id: one for one in details}, above)

    def below(self, node: Any) -> list[Any]:
        """The nodes right below one."""
        return [self.by_id[id] for id, parent in self.above.items() if parent == node.task_id and id in self.by_id]

    def driver(self, node: Any) -> Any:
        """What resolved a task's inputs; None where it is not listed."""
        beside = self.above.get(node.task_id)
        return next(
            (
                one
                for one in self.by_id.values()
                if one.display_name == f"{node.display_name}{_DRIVER}" and self.above.get(one.task_id) == beside
            ),
            None,
        )

    def path(self, node: Any, names: Mapping[str, str]) -> list[str]:
        """The groups that contain a task, the outermost first, each with the number of its turn."""
        path: list[str] = []
        turn, seen, id = "", {node.task_id}, self.above.get(node.task_id)
        while id and id not in seen and id in self.by_id:
            seen.add(id)
            name = self.by_id[id].display_name or ""
            if match := _TURN.match(name):
                turn = f"[{match.group(1)}]"
            elif name in names:
                path.insert(0, names[name] + turn)
                turn = ""
            id = self.above.get(id)
        return path


def _tasks(ir: Mapping[str, Any]) -> tuple[dict[str, str], set[str]]:
    """The tasks of a pipeline, however deep: by the name that the backend shows the one in the IR; and the groups."""
    spec = ir.get("pipelineSpec", ir)
    components = spec.get("components", {})
    names: dict[str, str] = {}
    groups: set[str] = set()
    for dag in [spec.get("root", {}), *components.values()]:
        for key, task in (dag.get("dag") or {}).get("tasks", {}).items():
            shown = {key, str(task.get("taskInfo", {}).get("name", key))}
            names |= dict.fromkeys(shown, key)
            if "dag" in components.get(task.get("componentRef", {}).get("name", ""), {}):
                groups |= shown
    return names, groups


def _error(node: Any) -> str:
    return str(node.error.message or f"code {node.error.code}") if node.error else ""
