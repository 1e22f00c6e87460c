"""Which tasks of a run are wanted, also those that have not begun; and a light look at how they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.pipelines.local.ir.graph import Graph
from headrace.pipelines.local.record.arrows import find_places, place_of
from headrace.pipelines.local.record.finding import find_task
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import INTERRUPTED, PENDING, RUNNING, TaskResult
from headrace.pipelines.local.workers.processes import Owner

_COLUMNS = "path, name, component, state, leaf, seconds, started, cached, attempts, log, reason, key"


@dataclass(frozen=True)
class Selection:
    """All tasks of a run, one, or all iterations of one."""

    path: str | None = None  # of the one
    place: str | None = None  # of the iterations

    @property
    def single(self) -> bool:
        return self.path is not None

    def has(self, task: TaskResult) -> bool:
        if self.path is not None:
            return task.path == self.path
        return self.place is None or place_of(task.path) == self.place


def select(tasks: Sequence[TaskResult], graph: Graph | None, text: str | None) -> Selection:
    """The tasks that a text means: a path, a label or a name, of a task that is recorded or will be.

    Raises:
        HeadraceError: no task, or several that are not iterations of one.
    """
    if text is None:
        return Selection()
    places = find_places(graph) if graph else {}
    # Tasks stand for places here: they have the labels, and the same rules find the one that is meant.
    recorded = {task.path: task for task in tasks}
    order = dict.fromkeys([path for path in map(place_of, recorded) if path in places] + list(places))
    will_be = {
        path: TaskResult(path, places[path].task.display, places[path].component.name, PENDING)
        for path in order
        if places[path].component.dag is None
    }
    for task in recorded.values():
        if text in (task.path, task.label):
            return Selection(path=task.path)
    if not will_be:
        return Selection(path=find_task(recorded, text).path)
    indexed = place_of(text) != text
    place = find_task(will_be, place_of(text)).path
    if not _looped(graph, place):
        return Selection(path=place)
    return Selection(path=text) if indexed else Selection(place=place)


def _looped(graph: Graph | None, path: str) -> bool:
    places = find_places(graph) if graph else {}
    parts = path.split("/")
    return any(places["/".join(parts[:n])].task.loop for n in range(1, len(parts)))


def look(record: Record, run_id: str, wanted: Selection | None = None) -> tuple[list[TaskResult], str]:
    """(the wanted leaves that are recorded, the run's state), without their values and artifacts."""
    wanted = wanted or Selection()
    (run,) = record.rows("SELECT state, pid, pid_started, boot FROM runs WHERE id = ?", (run_id,))
    dead = run["state"] == RUNNING and not Owner(run["pid"], run["pid_started"], run["boot"]).alive()
    rows = record.rows(
        f"SELECT {_COLUMNS} FROM tasks WHERE run = ?1 AND leaf = 1 AND (?2 IS NULL OR path = ?2) ORDER BY position",
        (run_id, wanted.path),
    )
    tasks = [
        TaskResult(
            path=row["path"],
            name=row["name"],
            component=row["component"],
            state=INTERRUPTED if dead and row["state"] == RUNNING else row["state"],
            seconds=row["seconds"],
            started=row["started"],
            cached=bool(row["cached"]),
            attempts=row["attempts"],
            log=Path(row["log"]) if row["log"] else None,
            reason=row["reason"],
            key=row["key"],
        )
        for row in rows
    ]
    return [task for task in tasks if wanted.has(task)], INTERRUPTED if dead else str(run["state"])


def origin_of(record: Record, task: TaskResult) -> str | None:
    """The latest run that really did what a task took from the cache."""
    rows = record.rows(
        "SELECT run FROM tasks WHERE path = ? AND key = ? AND cached = 0 AND log IS NOT NULL "
        "ORDER BY started DESC LIMIT 1",
        (task.path, task.key),
    )
    return str(rows[0]["run"]) if rows else None
