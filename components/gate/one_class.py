"""Gates on one class against all others: the recall of `crack`, say."""

from __future__ import annotations

import math

from headrace.artifacts.evaluation import Evaluation
from headrace.components.gate.estimates import Estimate
from headrace.components.gate.evidence import Evidence, NoEvidence, number
from headrace.components.gate.outcome import (
    Compared,
    Outcome,
    figure,
    gain_text,
    keeps_margin,
    surely_within,
    within,
)
from headrace.components.gate.spec import Gate
from headrace.components.gate.versus import without_rival


def of_class(gate: Gate, evidence: Evidence) -> Outcome:
    """A metric of one class within a bound, or beside the champion's."""
    own, name = evidence.own(), f"{gate.metric} of {gate.class_}"
    measured = _figure(gate, own, "the model")
    if gate.versus is None:
        if gate.confidence is not None:
            return surely_within(gate, name, _share(gate, own, measured))
        return Outcome(within(gate, measured), f"{name} is {measured:.6g}", {name: measured})
    champion = evidence.comparable_champion()
    if champion is None or champion.unfit:
        return without_rival(gate, champion, {name: measured})
    other = _figure(gate, champion, "the champion")
    compared = Compared(measured, other, measured - other)  # of these metrics more is better
    reason = f"{name} is {measured:.6g}, {gain_text(compared)} the champion's {figure(other)}"
    return Outcome(keeps_margin(gate, compared), reason, {name: measured, "champion": other, "gain": compared.gain})


def _figure(gate: Gate, found: Evaluation, whose: str) -> float:
    one = next((item for item in found.per_class if item.name == gate.class_), None)
    if one is None:
        known = ", ".join(item.name for item in found.per_class) or "none"
        raise NoEvidence(f"{whose} has no class {gate.class_}; measured were {known}")
    return number(one.metrics, str(gate.metric), {}, f"class {gate.class_} of {whose}")


def _share(gate: Gate, own: Evaluation, measured: float) -> Estimate:
    """The metric as a share of rows, whose bounds are exact."""
    if own.weight:
        raise NoEvidence("how sure a share of weighted rows is cannot be told: leave out `confidence` or the weights")
    place = own.classes.index(str(gate.class_))
    right = own.confusion[place][place]
    of = sum(own.confusion[place]) if gate.metric == "recall" else sum(row[place] for row in own.confusion)
    if not of or not math.isclose(right / of, measured, rel_tol=1e-9, abs_tol=1e-9):
        raise NoEvidence(f"the confusion matrix says {right:,} of {of:,}, and the metric {measured:.6g}")
    error = math.sqrt(measured * (1 - measured) / of)
    return Estimate(measured, error, of, of, "exact binomial bound", right)
