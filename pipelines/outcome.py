"""What came of a run, in a reader's terms: the metrics, the gates, the version in service, the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.artifacts.decision import Verdict, read_verdict
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import Evaluation, read_evaluation
from headrace.artifacts.metrics import first_metrics, title_of
from headrace.artifacts.segment_results import SegmentResults, read_segment_results
from headrace.components.push.push import BEHIND, CANARY, WAITS
from headrace.pipelines.local.record.results import SUCCEEDED, RunResult, TaskResult
from headrace.pipelines.segments import SUMMARY, in_loop, segments_json, segments_text, with_errors
from headrace.platforms.interface import LIVE


@dataclass(frozen=True)
class Outcome:
    """The parts that are there; a run that ended early has fewer."""

    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    passed: bool | None = None
    version: str | None = None
    pushed: bool = False
    waits: bool = False  # for people's approval
    canary: bool = False  # it has its first share of the traffic
    behind: bool = False  # another version's rollout goes on
    segments: SegmentResults | None = None  # where each has a model of its own
    notes: tuple[str, ...] = ()  # what the steps want their reader to know
    reports: dict[str, Path] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        evaluation = self.evaluation
        return {
            "passed": self.passed,
            "pushed": self.pushed,
            "waits_for_approval": self.waits,
            "canary": self.canary,
            "waits_for_rollout": self.behind,
            "version": self.version,
            "evaluation": None
            if evaluation is None
            else {
                "split": evaluation.split,
                "rows": evaluation.rows,
                "metrics": evaluation.metrics,
                "intervals": {name: list(interval) for name, interval in evaluation.intervals.items()},
                "baseline": evaluation.baseline,
            },
            "notes": list(self.notes),
            "gates": [
                {"gate": d.gate, "passed": d.passed, "reason": d.reason, "todo": d.todo}
                for d in (self.verdict.decisions if self.verdict else ())
            ],
            "reports": {name: str(path) for name, path in self.reports.items()},
            **({} if self.segments is None else {"segments": segments_json(self.segments)}),
        }


def outcome(run: RunResult) -> Outcome:
    """Reads a run's artifacts, as far as they are there."""
    tasks = {task.name: task for task in run.tasks.values() if task.leaf and not in_loop(task)}
    gate, push = tasks.get("gate"), tasks.get("push")
    register = tasks.get("register")
    done = push.outputs.get("state", LIVE) if push is not None and push.state == SUCCEEDED else None
    evaluation: Evaluation | None = _read(tasks.get("evaluate"), "evaluation", read_evaluation)
    notes = list(_notes(run))
    if evaluation is not None and evaluation.one_answer:
        notes.append(f"evaluate: {evaluation.one_answer}")
    return Outcome(
        evaluation=evaluation,
        verdict=_read(gate, "decision", read_verdict),
        passed=None if gate is None or gate.state != SUCCEEDED else bool(gate.outputs.get("passed")),
        version=None if register is None else register.outputs.get("version"),
        pushed=done is not None and done not in (WAITS, CANARY, BEHIND),
        waits=done == WAITS,
        canary=done == CANARY,
        behind=done == BEHIND,
        segments=with_errors(_read(tasks.get(SUMMARY), "summary", read_segment_results), run),
        notes=tuple(notes),
        reports=run.reports(),
    )


def _notes(run: RunResult) -> Iterator[str]:
    looped: Counter[str] = Counter()
    for task in run.tasks.values():
        for records in task.artifacts.values() if task.leaf else ():
            notes = [note for record in records for note in record.metadata.get("notes", ())]
            if in_loop(task):
                looped[task.name] += len(notes)
            else:
                yield from (f"{task.label}: {note}" for note in notes)
    for name, count in looped.items():
        if count:
            yield f"{name}: {count:,} notes, each on its own page"


def _read(task: TaskResult | None, artifact: str, read: Any) -> Any:
    for record in (task.artifacts if task else {}).get(artifact, ()):
        try:
            return read(record.path)
        except ArtifactError:
            return None  # the store was emptied: then there is nothing left to show
    return None


def outcome_text(found: Outcome, name: str) -> str:
    """The outcome in lines for a terminal."""
    lines = [f"note: {note}" for note in found.notes]
    evaluation = found.evaluation
    if evaluation is not None:
        lines.append(f"On the {evaluation.split} split, {evaluation.rows:,} rows no step before has seen:")
        if evaluation.positive is not None:
            lines.append(f"  `{evaluation.positive}` is the positive class.")
        shown = first_metrics(evaluation.kind, evaluation.metrics)
        for metric in shown:
            value, title = evaluation.metrics[metric], title_of(metric)
            interval = evaluation.intervals.get(metric)
            between = f"  95 %: {interval[0]:.4g} to {interval[1]:.4g}" if interval else ""
            baseline = f"  a constant: {evaluation.baseline[metric]:.4g}" if metric in evaluation.baseline else ""
            lines.append(f"  {title:<28} {value:>9.4g}{between}{baseline}")
        if more := len(evaluation.metrics) - len(shown):
            lines.append(f"  and {more} more in the evaluation's report")
    if found.segments is not None:
        lines += segments_text(found.segments)
    if found.verdict is not None:
        lines.append("Gates:")
        for d in found.verdict.decisions:
            lines.append(f"  {'passed' if d.passed else 'FAILED'}  {d.gate}: {d.reason}")
            lines += [f"          {d.todo}."] if d.todo and not d.passed else []
    if found.pushed:
        lines.append(f"Pushed: version {found.version} of {name} is the champion now.")
    elif found.waits:
        version = f"{name}:{found.version}"
        lines += [
            f"Waits for approval: version {found.version} of {name} passed its gates, and does not serve yet.",
            f"  headrace models show {version}                   tells what is lacking",
            f"  headrace models approve {version} --reason ...   says yes, by another person than who ran this",
            f"  headrace models promote {version} --reason ...   then serves it",
        ]
    elif found.canary:
        lines += [
            f"Canary: version {found.version} of {name} has its first share of the traffic; the champion has the rest.",
            f"  headrace rollout start {name}:{found.version}   gives it more as evidence comes in, or takes it back",
        ]
    elif found.behind:
        lines += [
            f"Waits: version {found.version} of {name} passed its gates, and another version is being rolled out.",
            f"  headrace rollout status                {' ' * len(name)}   tells how far that is",
            f"  headrace rollout start {name}:{found.version}   begins with this one when it is over",
        ]
    elif found.passed is False:
        lines.append("Not every gate passed: nothing was registered, nothing was pushed.")
    return "\n".join(lines)
