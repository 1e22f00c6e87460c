"""The gate step: reads the evidence, decides, and writes the decision for later steps and for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.decision import Decision, Verdict, write_verdict
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import read_evaluation
from headrace.artifacts.infra import read_infra
from headrace.artifacts.report import write as write_report
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.gate.decide import decide
from headrace.components.gate.evidence import Evidence
from headrace.components.gate.page import verdict_page

T = TypeVar("T")


def gate(
    model: Path,
    evaluation: Path,
    champion_evaluation: Path,
    infra: Path,
    task: str,
    settings: EvaluateSpec,
    output: Path,
    report: Path,
) -> Verdict:
    """Decides whether a bundle may be registered; writes the decision to `output` and its page to `report`.

    Evidence that cannot be read is a decision that is not passed, beside the others, rather than an error.

    Raises:
        HeadraceError: the bundle itself cannot be read; there is nothing to decide on.
    """
    digest = Bundle.open(model).digest
    broken: list[Decision] = []
    evidence = Evidence(
        model_digest=digest,
        task=task,
        evaluation=_read("the evaluation can be read", read_evaluation, evaluation, broken),
        champion=_read("the champion's evaluation can be read", read_evaluation, champion_evaluation, broken),
        infra=_read("the server's report can be read", read_infra, infra, broken),
    )
    decisions = (*broken, *decide(evidence, settings.gates_for(task)))
    verdict = Verdict(digest, decisions, evidence.champion_digest)
    write_verdict(output, verdict)
    write_report(report, verdict_page(verdict))
    return verdict


def _read(text: str, reader: Callable[[Path], T], path: Path, broken: list[Decision]) -> T | None:
    try:
        return reader(path)
    except (HeadraceError, OSError) as error:
        broken.append(Decision(text, False, str(error)))
        return None


def summary(verdict: Verdict) -> str:
    """The decision in lines for a log, what failed first."""
    count = len(verdict.decisions)
    failed = [item for item in verdict.decisions if item.passed is not True]
    head = f"passed: all {count} checks" if verdict.passed else f"NOT passed: {len(failed)} of {count} checks failed"
    ordered = failed + [item for item in verdict.decisions if item.passed is True]
    lines = [f"  {'ok  ' if item.passed is True else 'FAIL'} {item.gate}: {item.reason}" for item in ordered]
    return "\n".join([head, *lines])
