"""The forms of a gate, one function each: from a gate and the evidence to whether it holds, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.components.gate.circumstances import anomalies, infra
from headrace.components.gate.estimates import Unsure, in_slice
from headrace.components.gate.evidence import Evidence, NoEvidence, agree, number
from headrace.components.gate.one_class import of_class
from headrace.components.gate.outcome import (
    MOST_NAMED,
    Outcome,
    figure,
    name_of,
    percent,
    surely_within,
    within,
    without_small,
)
from headrace.components.gate.parts import members, rows_in, slices_of, small_names
from headrace.components.gate.spec import Form, Gate
from headrace.components.gate.versus import versus, versus_slice
from headrace.components.gate.worth import value, versus_value

__all__ = ["CONDITIONS", "Outcome", "judge"]


def judge(gate: Gate, evidence: Evidence) -> Outcome:
    """Whether a gate holds.

    Raises:
        NoEvidence: what it needs is missing or cannot be trusted.
    """
    try:
        return CONDITIONS[gate.form](gate, evidence)
    except Unsure as missing:
        raise NoEvidence(f"how sure the figure is cannot be told: {missing}") from None


def _absolute(gate: Gate, evidence: Evidence) -> Outcome:
    own, name = evidence.own(), str(gate.metric)
    measured = number(own.metrics, name, own.undefined, "the model")
    if gate.confidence is None:
        return Outcome(within(gate, measured), f"{name} is {measured:.6g}", {name: measured})
    from headrace.components.gate.inference import estimate  # numpy, only where a gate asks for confidence

    rows = evidence.rows()
    found = estimate(rows.scores, name)
    agree(found.value, measured, rows.table.share < 1, name, "the model")
    return surely_within(gate, name, found)


def _slice(gate: Gate, evidence: Evidence) -> Outcome:
    own, name, by = evidence.own(), str(gate.metric), name_of(gate.slice)
    parts, rest = slices_of(own, by)
    values = {part.value: number(part.metrics, name, part.undefined, f"slice {by}={part.value}") for part in parts}
    edges, needed = dict(values), dict.fromkeys(values, "")
    if gate.confidence is not None:
        from headrace.components.gate.inference import estimate

        rows = evidence.rows()
        places = members(rows.table, by)
        for part in parts:
            with in_slice(part.value):
                found = estimate(rows.scores.take(rows_in(places, part)), name)
            agree(found.value, values[part.value], rows.table.share < 1, name, f"slice {by}={part.value}")
            outcome = surely_within(gate, name, found)
            edges[part.value] = float(outcome.evidence["bound"])
            needed[part.value] = outcome.todo
    failed = {value: found for value, found in edges.items() if not within(gate, found)}
    worst = sorted((failed or edges).items(), key=lambda item: item[1], reverse=gate.at_most is not None)
    listed = ", ".join(f"{value} {_shown(values[value], edge, gate)}" for value, edge in worst[:MOST_NAMED])
    more = len(worst) - MOST_NAMED
    listed += f" and {more:,} more" if more > 0 else ""
    sure = f" (bounds with {percent(gate.confidence)} confidence)" if gate.confidence is not None else ""
    # More rows help only where no slice is out of bounds by its figure itself.
    todo = needed[worst[0][0]] if failed and all(needed[value] for value in failed) else ""
    outcome = Outcome(not failed, f"{'out of bounds' if failed else 'all within'}{sure}: {listed}", dict(values), todo)
    return without_small(gate, outcome, *small_names(rest))


def _shown(value: float, edge: float, gate: Gate) -> str:
    if gate.confidence is None:
        return f"{value:.6g}"
    return f"{value:.6g} (at {'most' if gate.at_most is not None else 'least'} {figure(edge)})"


def _fairness(gate: Gate, evidence: Evidence) -> Outcome:
    own, name, by = evidence.own(), str(gate.fairness), name_of(gate.by)
    item = next((item for item in own.fairness if item.by == by), None)
    if item is None:
        raise NoEvidence(f"fairness by {by} was not measured")
    measured = number(item.metrics, name, item.undefined, f"fairness by {by}")
    apart = item.furthest(name)
    shown: dict[str, Any] = {name: measured}
    if apart is not None:
        shown[_RATES.get(apart[0], apart[0])] = {group.value: group.rate(apart[0]) for group in item.groups}
    reason, tested = f"{name} is {measured:.6g}", measured
    if gate.confidence is not None:
        upper = gate.at_most is not None
        edge = item.limit(name, gate.confidence, upper)
        if edge is None:
            kept = ", ".join(item.limits.get(name, ())) or "none"
            raise NoEvidence(f"no limit of {name} of confidence {gate.confidence:g} was kept; there are {kept}")
        tested = number({name: edge}, name, {}, "the limit")
        reach = f"at {'most' if upper else 'least'} {figure(tested)}"
        reason += f", with {percent(gate.confidence)} confidence {reach}"
        shown["bound"] = tested
    passed = within(gate, tested)
    if not passed and apart is not None:
        reason += _apart(*apart)
    return without_small(
        gate, Outcome(passed, reason, shown), item.small_groups, len(item.small_groups), item.least_rows
    )


_RATES = {
    "selection_rate": "predicted positive",
    "tpr": "true positive rate",
    "fpr": "false positive rate",
    "fnr": "false negative rate",
    "calibration": "mean probability above the observed share",
    "mae": "mean absolute error",
    "bias": "bias",
    "mean_prediction": "mean prediction",
}
_NO_SHARES = ("mae", "bias", "mean_prediction")


def _apart(rate: str, least: tuple[float, str], most: tuple[float, str]) -> str:
    """Which groups are furthest apart, and in what, for the reader of a gate that failed."""
    low, high = (f"{end[0]:.4g}" if rate in _NO_SHARES else f"{end[0] * 100:.3g} %" for end in (least, most))
    return f"; {_RATES.get(rate, rate)}: {low} of {least[1]} and {high} of {most[1]}"


CONDITIONS: Mapping[Form, Callable[[Gate, Evidence], Outcome]] = {
    "absolute": _absolute,
    "class": of_class,
    "slice": _slice,
    "versus": versus,
    "versus_slice": versus_slice,
    "fairness": _fairness,
    "value": value,
    "versus_value": versus_value,
    "infra": infra,
    "anomalies": anomalies,
}
