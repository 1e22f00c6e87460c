"""Decides on all gates of a model. What is missing, broken or in doubt is not passed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from headrace.artifacts.decision import Decision
from headrace.artifacts.evaluation import LEAST_ROWS
from headrace.artifacts.infra import Infra
from headrace.components.gate.advice import advice
from headrace.components.gate.conditions import judge
from headrace.components.gate.evidence import Evidence, NoEvidence
from headrace.components.gate.outcome import Outcome
from headrace.components.gate.spec import Gate


def decide(evidence: Evidence, gates: Sequence[Gate]) -> tuple[Decision, ...]:
    """Evaluates every gate, and what holds for every model: it was evaluated, it serves, there are gates.

    Nothing is raised, and no gate keeps another from being evaluated: all failures are reported together.
    """
    decisions = [
        _decision("the evaluation is of this model", lambda: _evaluated(evidence)),
        _decision("the model answers in the real server", lambda: _serves(evidence)),
    ]
    if not gates:
        reason = "no gate was given, and a model that nothing was asked of is not blessed"
        decisions.append(Decision("there is a gate", False, reason, todo="Say in `evaluate.gates` what must hold"))
    for gate in gates:
        decisions.append(_decision(gate.text, functools.partial(judge, gate, evidence), gate))
    return tuple(decisions)


def _decision(text: str, condition: Callable[[], Outcome], gate: Gate | None = None) -> Decision:
    try:
        outcome = condition()
    except NoEvidence as missing:
        return Decision(text, False, str(missing), todo=advice(gate, missing=True))
    except Exception as error:  # noqa: BLE001 (whatever went wrong, the gate is not passed and the others go on)
        reason = f"the gate could not be evaluated: {type(error).__name__}: {error}"
        return Decision(text, False, reason, todo=advice(gate, missing=True))
    passed = outcome.passed is True
    todo = "" if passed else outcome.todo or advice(gate)
    return Decision(text, passed, outcome.reason, outcome.evidence, todo)


def _evaluated(evidence: Evidence) -> Outcome:
    own = evidence.own()
    reason = f"{own.rows:,} rows of the {own.split} split"
    enough = own.rows >= LEAST_ROWS
    if not enough:
        reason = f"{own.rows:,} rows are too few to judge a model: expected at least {LEAST_ROWS} in {own.split}"
    return Outcome(enough, reason, {"rows": own.rows, "dataset": own.dataset_digest})


def _serves(evidence: Evidence) -> Outcome:
    infra = evidence.infra
    if infra is None:
        raise NoEvidence("there is no report of the server")
    if infra.model_digest != evidence.model_digest:
        raise NoEvidence(f"the server was given another model, {infra.model_digest}")
    return Outcome(infra.passed, _checks(infra), dict(infra.latency_ms))


def _checks(infra: Infra) -> str:
    failed = [f"{check.name}: {check.message}" for check in infra.checks if check.passed is not True]
    if failed:
        return "; ".join(failed)
    return f"{len(infra.checks)} checks passed" if infra.checks else "nothing was checked"
