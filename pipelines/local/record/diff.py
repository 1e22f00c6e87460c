"""What differed between two runs: pipeline, parameters, data, code, environment, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.pipelines.local.ir.graph import Graph
from headrace.pipelines.local.record.causes import Rerun, reruns
from headrace.pipelines.local.record.changes import ADDED, CHANGED, REMOVED, Change, mapping_changes, pipeline_changes
from headrace.pipelines.local.record.results import CANCELLED, FAILED, INTERRUPTED, SUCCEEDED, ArtifactRecord, RunResult
from headrace.pipelines.local.store.digests import ABSENT
from headrace.pipelines.local.views.json_view import metrics_of

Gate = tuple[str, bool, str]  # its name, whether it is passed, why


@dataclass(frozen=True)
class DataChange:
    """An artifact that came in from outside: what a task put out that takes no artifact."""

    what: str  # "ingest/dataset"
    before: str | None  # digest; None where there was none
    after: str | None
    rows_before: int | None  # where the artifact says so
    rows_after: int | None


@dataclass(frozen=True)
class PartChange:
    """A part of what tasks are made of: code, environment, command, env."""

    part: str
    before: str
    after: str
    tasks: tuple[str, ...]  # labels


@dataclass(frozen=True)
class MetricChange:
    """A metric; `difference` is after - before, None where one of them is no number."""

    task: str
    name: str
    before: Any
    after: Any
    difference: float | None


@dataclass(frozen=True)
class GateChange:
    """A gate whose verdict is another one; None where the run has no such gate."""

    gate: str
    before: bool | None
    after: bool | None
    reason: str  # of the later verdict, or of the earlier where there is no later


@dataclass(frozen=True)
class Duration:
    """A task that worked in both runs, in seconds."""

    task: str
    before: float
    after: float


@dataclass(frozen=True)
class RunDiff:
    """From the run `before` to the run `after`."""

    before: str
    after: str
    pipeline_known: bool  # False: one of the runs was recorded without its pipeline
    run: tuple[Change, ...]  # name, state, commit and other labels
    pipeline: tuple[Change, ...]
    parameters: tuple[Change, ...]
    data: tuple[DataChange, ...]
    parts: tuple[PartChange, ...]
    states: tuple[Change, ...]  # of tasks that came to another end
    reruns: tuple[Rerun, ...]
    metrics: tuple[MetricChange, ...]
    gates: tuple[GateChange, ...]
    seconds: tuple[float, float]
    durations: tuple[Duration, ...]

    @property
    def nothing(self) -> bool:
        """Whether nothing differs. That tasks ran again, and how long they took, is no difference."""
        parts = (self.run, self.pipeline, self.parameters, self.data, self.parts, self.states, self.metrics, self.gates)
        return not any(parts)


def diff_runs(
    before: RunResult,
    after: RunResult,
    graph_before: Graph | None,
    graph_after: Graph | None,
    gates_before: Sequence[Gate] = (),
    gates_after: Sequence[Gate] = (),
) -> RunDiff:
    """Compares two runs. Graphs may be None, for runs that were recorded without their pipeline."""
    known = graph_before is not None and graph_after is not None
    return RunDiff(
        before=before.id,
        after=after.id,
        pipeline_known=known,
        run=tuple(mapping_changes("", _about(before), _about(after))),
        pipeline=pipeline_changes(graph_before, graph_after) if graph_before and graph_after else (),
        parameters=tuple(mapping_changes("", before.parameters, after.parameters)),
        data=_data(before, after),
        parts=_parts(before, after),
        states=_states(before, after),
        reruns=reruns(before, after, graph_after) if before.id != after.id else (),
        metrics=_metrics(before, after),
        gates=_gates(gates_before, gates_after),
        seconds=(before.seconds, after.seconds),
        durations=_durations(before, after),
    )


def _about(run: RunResult) -> dict[str, Any]:
    return {"name": run.name, "state": run.state, **{f"label {n}": v for n, v in run.labels.items()}}


def _data(before: RunResult, after: RunResult) -> tuple[DataChange, ...]:
    old, new = _sources(before), _sources(after)
    found = []
    for what in dict.fromkeys((*old, *new)):
        (digest_a, rows_a), (digest_b, rows_b) = _seen(old.get(what)), _seen(new.get(what))
        if digest_a != digest_b:
            found.append(DataChange(what, digest_a, digest_b, rows_a, rows_b))
    return tuple(found)


def _seen(record: ArtifactRecord | None) -> tuple[str | None, int | None]:
    return (record.digest, rows(record)) if record else (None, None)


def _sources(run: RunResult) -> dict[str, ArtifactRecord]:
    """The artifacts whose content is known and that were made of nothing that is in the run."""
    found = {}
    for task in run.tasks.values():
        if task.leaf and not task.inputs:
            for name, records in task.artifacts.items():
                for place, record in enumerate(records):
                    if record.digest not in (None, ABSENT):
                        found[f"{task.label}/{name}" + (f"[{place}]" if len(records) > 1 else "")] = record
    return found


def rows(record: ArtifactRecord) -> int | None:
    """How many rows an artifact says it has: `rows`, or all its `..._rows` together."""
    counts = {name: value for name, value in record.metadata.items() if isinstance(value, int | float)}
    if "rows" in counts:
        return int(counts["rows"])
    of_splits = [value for name, value in counts.items() if name.endswith("_rows")]
    return int(sum(of_splits)) if of_splits else None


def _parts(before: RunResult, after: RunResult) -> tuple[PartChange, ...]:
    together: dict[tuple[str, str, str], list[str]] = {}
    for path, task in after.tasks.items():
        old = before.tasks.get(path)
        if old is None or not (old.made_of and task.made_of):
            continue
        for part in dict.fromkeys((*old.made_of, *task.made_of)):
            a, b = old.made_of.get(part, ""), task.made_of.get(part, "")
            if a != b:
                # code differs from task to task: one line for all of a part, but an environment is one thing
                key = (part, a, b) if part == "environment" else (part, "", "")
                together.setdefault(key, []).append(task.label)
    return tuple(PartChange(part, a, b, tuple(tasks)) for (part, a, b), tasks in together.items())


def _states(before: RunResult, after: RunResult) -> tuple[Change, ...]:
    found = []
    for path in dict.fromkeys((*before.tasks, *after.tasks)):
        old, new = before.tasks.get(path), after.tasks.get(path)
        label = (new or old).label if (new or old) else path  # type: ignore[union-attr]
        if not all(task is None or task.leaf for task in (old, new)):
            continue
        if old is None or new is None:
            found.append(Change(label, ADDED if old is None else REMOVED, old and old.state, new and new.state))
        elif old.state != new.state:
            found.append(Change(label, CHANGED, old.state, new.state))
    return tuple(found)


def _metrics(before: RunResult, after: RunResult) -> tuple[MetricChange, ...]:
    old, new = _all_metrics(before), _all_metrics(after)
    changes = mapping_changes("", old, new)
    found = []
    for change in changes:
        task, name = change.what.rsplit("\0", 1)
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (change.before, change.after))
        found.append(
            MetricChange(task, name, change.before, change.after, change.after - change.before if numbers else None)
        )
    return tuple(found)


def _all_metrics(run: RunResult) -> Mapping[str, Any]:
    return {
        f"{task.label}\0{name}": value if not isinstance(value, dict | list) else str(value)
        for task in run.tasks.values()
        if task.leaf
        for name, value in metrics_of(task).items()
    }


def _gates(before: Sequence[Gate], after: Sequence[Gate]) -> tuple[GateChange, ...]:
    old, new = {gate[0]: gate for gate in before}, {gate[0]: gate for gate in after}
    found = []
    for name in dict.fromkeys((*old, *new)):
        a, b = old.get(name), new.get(name)
        if (a and a[1]) != (b and b[1]):
            found.append(GateChange(name, a and a[1], b and b[1], (b or a or ("", False, ""))[2]))
    return tuple(found)


def _durations(before: RunResult, after: RunResult) -> tuple[Duration, ...]:
    ended = (SUCCEEDED, FAILED, CANCELLED, INTERRUPTED)
    return tuple(
        Duration(task.label, before.tasks[path].seconds, task.seconds)
        for path, task in after.tasks.items()
        if task.leaf and path in before.tasks and task.state in ended and before.tasks[path].state in ended
        if not task.cached and not before.tasks[path].cached
    )
