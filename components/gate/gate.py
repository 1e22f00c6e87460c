"""The gate step: reads the evidence, decides, and writes the decision for later steps and for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.decision import Decision, Verdict, write_verdict
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import Evaluation, read_evaluation
from headrace.artifacts.findings import read_findings
from headrace.artifacts.infra import read_infra
from headrace.artifacts.report import write as write_report
from headrace.artifacts.scores import ScoresTable, read_scores
from headrace.components.evaluate.slices_page import against_champion
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.gate.decide import decide
from headrace.components.gate.evidence import Evidence
from headrace.components.gate.page import verdict_page

T = TypeVar("T")

CHAMPION = "champion"


def gate(
    model: Path,
    evaluation: Path,
    champion_evaluation: Path,
    infra: Path,
    task: str,
    settings: EvaluateSpec,
    output: Path,
    report: Path,
    findings: Path | None = None,
) -> Verdict:
    """Decides whether a bundle may be registered; writes the decision to `output` and its page to `report`.

    Evidence that cannot be read is a decision that is not passed, beside the others, rather than an error. Without
    `findings`, those of the data report, a gate on them is not passed.

    Raises:
        HeadraceError: the bundle itself cannot be read; there is nothing to decide on.
    """
    digest, gates = Bundle.open(model).digest, settings.gates_for(task)
    broken: list[Decision] = []
    own = _read("the evaluation can be read", read_evaluation, evaluation, broken)
    champion = _read("the champion's evaluation can be read", read_evaluation, champion_evaluation, broken)
    served = _read("the server's report can be read", read_infra, infra, broken)
    found = None if findings is None else _read("the data's findings can be read", read_findings, findings, broken)
    unread: dict[str, str] = {}
    by_row = any(gate.by_row for gate in gates)
    versus = any(gate.by_row and gate.versus == CHAMPION for gate in gates)
    evidence = Evidence(
        model_digest=digest,
        task=task,
        evaluation=own,
        champion=champion,
        infra=served,
        findings=found,
        scores=_scores("scores", evaluation, own, unread) if by_row else None,
        champion_scores=_scores("champion_scores", champion_evaluation, champion, unread) if versus else None,
        unread=unread,
    )
    decisions = (*broken, *decide(evidence, gates))
    verdict = Verdict(digest, decisions, evidence.champion_digest)
    write_verdict(output, verdict)
    beside = against_champion(own, champion) if own is not None and champion is not None else None
    write_report(report, verdict_page(verdict, beside))
    return verdict


def _read(text: str, reader: Callable[[Path], T], path: Path, broken: list[Decision]) -> T | None:
    try:
        return reader(path)
    except (HeadraceError, OSError) as error:
        broken.append(Decision(text, False, str(error), todo="Look at the log of the step that was to write it"))
        return None


def _scores(name: str, path: Path, evaluation: Evaluation | None, unread: dict[str, str]) -> ScoresTable | None:
    """Each row's scores, where the evaluation beside them could be read and is of a model that answered."""
    if evaluation is None or not evaluation.present or evaluation.unfit:
        return None
    try:
        return read_scores(path)
    except (HeadraceError, OSError) as error:
        unread[name] = str(error)
        return None


def summary(verdict: Verdict) -> str:
    """The decision in lines for a log, what failed first."""
    count = len(verdict.decisions)
    failed = [item for item in verdict.decisions if item.passed is not True]
    head = f"passed: all {count} checks" if verdict.passed else f"NOT passed: {len(failed)} of {count} checks failed"
    ordered = failed + [item for item in verdict.decisions if item.passed is True]
    lines = []
    for item in ordered:
        lines.append(f"  {'ok  ' if item.passed is True else 'FAIL'} {item.gate}: {item.reason}")
        lines += [f"       {item.todo}."] if item.todo and item.passed is not True else []
    return "\n".join([head, *lines])
