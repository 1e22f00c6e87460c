"""Evidence on two models of the same rows, as the evaluation step would write it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from headrace.artifacts.by import by_name
from headrace.artifacts.evaluation import Evaluation, Slice
from headrace.artifacts.findings import Finding, Findings
from headrace.artifacts.infra import Check, Infra
from headrace.artifacts.limits import CONFIDENCES
from headrace.artifacts.scores import ScoresTable
from headrace.artifacts.value_found import Amount, Value
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.scores import Scores
from headrace.components.gate.decide import decide
from headrace.components.gate.evidence import Evidence
from headrace.components.gate.spec import Gate

MODEL, CHAMPION, DATA = "sha256:model", "sha256:champion", "sha256:data"
FIGURES = {"latency_p50_ms": 0.2, "latency_p99_ms": 0.9, "bundle_mib": 1.5, "server_mib": 60.0, "cold_start_s": 0.4}
INFRA = Infra(MODEL, (Check("loads", True, "fine"),), {}, FIGURES, 1000)
GAINS = {"true_positive": "40", "false_positive": "-5", "true_negative": "0", "false_negative": "-40"}


def outcome(gate: Gate, evidence: Evidence):
    """What is decided on one gate."""
    (decision,) = [item for item in decide(evidence, [gate]) if item.gate == gate.text]
    return decision


def evidence_of(ours: Scores, theirs: Scores | None, regions, gains=None) -> Evidence:
    """All evidence on `ours`, beside `theirs` or no champion; slices by `region` and by a pair of it with itself."""
    by = {"region": np.asarray(regions), by_name(("plan", "region")): np.char.add("basic × ", regions)}
    own, rows = _judged(ours, MODEL, by, gains)
    absent = Evaluation(False, ours.task, "y", "test", len(ours), DATA)
    champion, champion_rows = (absent, None) if theirs is None else _judged(theirs, CHAMPION, by, gains)
    return Evidence(
        MODEL, ours.task, own, champion, INFRA, findings=Findings(DATA, []), scores=rows, champion_scores=champion_rows
    )


def _judged(scores: Scores, digest: str, by, gains) -> tuple[Evaluation, ScoresTable]:
    metrics, undefined = measure(scores)
    slices = [
        Slice(name, value, int(mask.sum()), *measure(scores.take(mask)))
        for name, values in by.items()
        for value in sorted(set(values))
        if (mask := values == value).sum() >= 20
    ]
    found = Evaluation(
        True,
        scores.task,
        "y",
        "test",
        len(scores),
        DATA,
        digest,
        classes=scores.classes,
        positive="yes" if scores.positive is not None else None,
        threshold=scores.threshold if scores.positive is not None else None,
        metrics=metrics,
        undefined=undefined,
        slices=tuple(slices),
        value=None if gains is None else _value(scores, gains),
    )
    table = ScoresTable(
        scores.task,
        np.arange(len(scores)),
        scores.truth,
        scores.outputs,
        scores.classes,
        len(scores),
        by={name: pa.array(values).dictionary_encode() for name, values in by.items()},
        gains=gains,
    )
    return found, table


def _value(scores: Scores, gains) -> Value:
    acted, left = gains
    brought = np.where(scores.predicted == 1, acted, left)
    totals = {"model": brought, "all": acted, "none": left}
    over = {rival: _amount(brought - totals[rival]) for rival in ("all", "none")}
    amounts = {name: _amount(values) for name, values in totals.items()}
    return Value(GAINS, "USD", len(scores), scores.threshold, amounts, over)


def _amount(values) -> Amount:
    from scipy import special

    total, error = float(values.sum()), float(values.std() * np.sqrt(len(values)))
    reach = {c: float(special.ndtri(c)) * error for c in CONFIDENCES}
    limits = {f"{c:g}": (total - by, total + by) for c, by in reach.items()}
    return Amount(total, total / len(values), total - 1.96 * error, total + 1.96 * error, 0.5, limits)


def gains_of(scores: Scores):
    """What acting and not acting on each row bring, by `GAINS`."""
    return np.where(scores.actual, 40.0, -5.0), np.where(scores.actual, -40.0, 0.0)


def finding(level: str = "error") -> Finding:
    """Something that is wrong with the data."""
    return Finding("missing", level, "plan", "values", "none in 12 %", "Ask who fills the column")


def without(evidence: Evidence, **changes) -> Evidence:
    """The evidence with something taken away."""
    return replace(evidence, **changes)
