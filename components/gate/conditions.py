"""The forms of a gate, one function each: from a gate and the evidence to whether it holds, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from headrace.artifacts.evaluation import LEAST_ROWS, Evaluation
from headrace.artifacts.metrics import METRICS
from headrace.components.gate.evidence import Evidence, NoEvidence, number
from headrace.components.gate.spec import Form, Gate

_MOST_NAMED = 10  # slices in a reason, the worst first


class Outcome(NamedTuple):
    """Whether a gate holds, why, and the numbers that were compared."""

    passed: bool
    reason: str
    evidence: dict[str, Any]


def _absolute(gate: Gate, evidence: Evidence) -> Outcome:
    own, name = evidence.own(), str(gate.metric)
    value = number(own.metrics, name, own.undefined, "the model")
    return _bounded(gate, name, value)


def _slice(gate: Gate, evidence: Evidence) -> Outcome:
    own, name = evidence.own(), str(gate.metric)
    parts = [part for part in own.slices if part.by == gate.slice]
    rest = [item for item in own.unjudged if item.by == gate.slice]
    if not parts:
        why = f": each of its values has fewer than {rest[0].least_rows} rows" if rest else ""
        raise NoEvidence(f"no slice by {gate.slice} was measured{why}")
    if any(item.left_out for item in rest):
        raise NoEvidence(f"{rest[0].left_out:,} values of {gate.slice} were not measured: there are too many")
    values = {
        part.value: number(part.metrics, name, part.undefined, f"slice {gate.slice}={part.value}") for part in parts
    }
    failed = {value: found for value, found in values.items() if not _within(gate, found)}
    shown = failed or values
    worst = sorted(shown.items(), key=lambda item: item[1], reverse=gate.at_most is not None)
    listed = ", ".join(f"{value} {found:.6g}" for value, found in worst[:_MOST_NAMED])
    outcome = Outcome(not failed, f"{'out of bounds' if failed else 'all within'}: {listed}", values)
    small = [value for item in rest for value in item.values]
    return _without_small(gate, outcome, small, sum(item.small for item in rest))


def _fairness(gate: Gate, evidence: Evidence) -> Outcome:
    own, name = evidence.own(), str(gate.fairness)
    item = next((item for item in own.fairness if item.by == gate.by), None)
    if item is None:
        raise NoEvidence(f"fairness by {gate.by} was not measured")
    value = number(item.metrics, name, item.undefined, f"fairness by {gate.by}")
    outcome = _bounded(gate, name, value)
    rates = {group.value: group.selection_rate for group in item.groups}
    outcome = outcome._replace(evidence={**outcome.evidence, "selection_rates": rates})
    return _without_small(gate, outcome, item.small_groups, len(item.small_groups))


def _without_small(gate: Gate, outcome: Outcome, names: Sequence[str], count: int) -> Outcome:
    """Names the slices or groups that were too small to judge, which `small_groups: fail` does not let pass."""
    if not count:
        return outcome
    named = ", ".join(names[:_MOST_NAMED])
    rest = count - len(names[:_MOST_NAMED])
    listed = f"{named} and {rest:,} more" if named and rest else named or f"{rest:,}"
    reason = f"{outcome.reason}; not judged, fewer than {LEAST_ROWS} rows: {listed}"
    if gate.small_groups == "fail":
        return outcome._replace(passed=False, reason=f"{reason}, and the gate says `small_groups: fail`")
    return outcome._replace(reason=reason)


def _versus(gate: Gate, evidence: Evidence) -> Outcome:
    own, name = evidence.own(), str(gate.metric)
    value = number(own.metrics, name, own.undefined, "the model")
    if gate.versus == "baseline":
        return _compared(gate, value, number(own.baseline, name, {}, "the baseline"))
    champion = evidence.comparable_champion()
    if champion is not None and champion.unfit:
        return _unfit(gate, champion, {name: value})
    if champion is not None:
        other = number(champion.metrics, name, champion.undefined, "the champion")
        return _compared(gate, value, other)
    if gate.without_champion == "pass":
        return Outcome(True, "there is no champion yet, and the gate says `without_champion: pass`", {name: value})
    return Outcome(False, "there is no champion yet; `without_champion: pass` would allow that", {name: value})


def _unfit(gate: Gate, champion: Evaluation, found: dict[str, Any]) -> Outcome:
    reason = f"the champion cannot be judged on this data: {champion.unfit}"
    if gate.unfit_champion == "pass":
        return Outcome(True, f"{reason}; the gate says `unfit_champion: pass`", found)
    step = "Put the data right; or, if it changed on purpose, give this gate `unfit_champion: pass` in `evaluate.gates`"
    return Outcome(False, f"{reason}. {step}, which replaces the champion without a comparison", found)


def _compared(gate: Gate, value: float, other: float) -> Outcome:
    higher = METRICS[str(gate.metric)].higher_is_better
    if higher is None:
        raise NoEvidence(f"neither more nor less of {gate.metric} is better")
    gain = value - other if higher else other - value
    margin = -gate.no_worse_than if gate.no_worse_than is not None else gate.better_by
    if margin is None:
        raise NoEvidence("the gate has no margin")
    # The difference of two floats is off by some 1e-16: equality at the bound passes all the same.
    slack = 1e-12 * max(1.0, abs(value), abs(other))
    passed = gain >= margin - slack
    state = "better" if gain > 0 else "worse"
    how = f"{abs(gain):.6g} {state} than" if abs(gain) > slack else "equal to"
    reason = f"{gate.metric} {value:.6g} is {how} the {gate.versus}'s {other:.6g}"
    return Outcome(passed, reason, {str(gate.metric): value, str(gate.versus): other, "gain": gain})


def _bounded(gate: Gate, name: str, value: float) -> Outcome:
    passed = _within(gate, value)
    return Outcome(passed, f"{name} is {value:.6g}", {name: value})


def _within(gate: Gate, value: float) -> bool:
    if gate.at_least is None and gate.at_most is None:
        raise NoEvidence("the gate has no bound")
    low = gate.at_least is None or value >= gate.at_least
    return low and (gate.at_most is None or value <= gate.at_most)


CONDITIONS: Mapping[Form, Callable[[Gate, Evidence], Outcome]] = {
    "absolute": _absolute,
    "slice": _slice,
    "versus": _versus,
    "fairness": _fairness,
}
