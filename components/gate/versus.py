"""Gates versus the champion or a constant: on all rows, or on those of each slice."""

from __future__ import annotations

from typing import Any

from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.metrics import METRICS
from headrace.components.gate.estimates import Estimate, in_slice
from headrace.components.gate.evidence import Evidence, NoEvidence, agree, number
from headrace.components.gate.outcome import (
    MOST_NAMED,
    Compared,
    Outcome,
    gain_text,
    keeps_margin,
    margin_todo,
    name_of,
    sure_text,
    without_small,
)
from headrace.components.gate.parts import members, rows_in, slices_of, small_names
from headrace.components.gate.spec import Gate


def versus(gate: Gate, evidence: Evidence) -> Outcome:
    """A metric of all rows beside the champion's, or that of a constant."""
    own, name = evidence.own(), str(gate.metric)
    value = number(own.metrics, name, own.undefined, "the model")
    if gate.versus == "baseline":
        other = number(own.baseline, name, {}, "the baseline")
        return _outcome(gate, Compared(value, other, _gain(name, value, other)))
    champion = evidence.comparable_champion()
    if champion is None or champion.unfit:
        return without_rival(gate, champion, {name: value})
    other = number(champion.metrics, name, champion.undefined, "the champion")
    found = Compared(value, other, _gain(name, value, other))
    if gate.confidence is not None:
        from headrace.components.gate.inference import paired  # numpy, only where a gate asks for confidence

        ours, theirs = evidence.rows(), evidence.champion_rows()
        error = paired(ours.scores, theirs.scores, name)
        agree(error.value, value - other, ours.table.share < 1, f"the difference of {name}", "the two models")
        found = surely(gate, found, error, METRICS[name].higher_is_better is not False)
    return _outcome(gate, found)


def versus_slice(gate: Gate, evidence: Evidence) -> Outcome:
    """A metric on the rows of each slice beside the champion's on the same rows; all have to hold.

    Of several tests that all must pass none needs a correction: the chance that a model passes that is worse than
    allowed in some slice is at most that of this slice's test (Berger 1982, the intersection-union test).
    """
    own, name, by = evidence.own(), str(gate.metric), name_of(gate.slice)
    parts, rest = slices_of(own, by)
    values = {part.value: number(part.metrics, name, part.undefined, f"slice {by}={part.value}") for part in parts}
    champion = evidence.comparable_champion()
    if champion is None or champion.unfit:
        return without_rival(gate, champion, values)
    theirs = {part.value: part for part in slices_of(champion, by)[0]}
    found: dict[str, Compared] = {}
    for part in parts:
        other = theirs.get(part.value)
        if other is None:
            raise NoEvidence(f"the champion was not measured on slice {by}={part.value}")
        level = number(other.metrics, name, other.undefined, f"the champion on slice {by}={part.value}")
        found[part.value] = Compared(values[part.value], level, _gain(name, values[part.value], level))
    if gate.confidence is not None:
        found = _sure_slices(gate, evidence, found, {part.value: part for part in parts})
    return without_small(gate, _slices_outcome(gate, by, found), *small_names(rest))


def _sure_slices(
    gate: Gate, evidence: Evidence, found: dict[str, Compared], parts: dict[str, Any]
) -> dict[str, Compared]:
    from headrace.components.gate.inference import paired

    name, higher = str(gate.metric), METRICS[str(gate.metric)].higher_is_better is not False
    ours, theirs = evidence.rows(), evidence.champion_rows()
    places = members(ours.table, name_of(gate.slice))
    sure = {}
    for value, compared in found.items():
        rows = rows_in(places, parts[value])
        with in_slice(value):
            error = paired(ours.scores.take(rows), theirs.scores.take(rows), name)
        what = f"the difference of {name} on {value}"
        agree(error.value, compared.value - compared.other, ours.table.share < 1, what, "the two models")
        sure[value] = surely(gate, compared, error, higher)
    return sure


def _slices_outcome(gate: Gate, by: str, found: dict[str, Compared]) -> Outcome:
    failed = {value: item for value, item in found.items() if not keeps_margin(gate, item)}
    worst = sorted((failed or found).items(), key=lambda item: item[1].gain if item[1].sure is None else item[1].sure)
    listed = [
        f"{value} {item.value:,.6g}, {gain_text(item)} the champion's {item.other:,.6g}{sure_text(gate, item)}"
        for value, item in worst[:MOST_NAMED]
    ]
    hidden = len(worst) - len(listed)
    shown = " | ".join([*listed, *([f"{hidden:,} more"] if hidden > 0 else [])])
    todos = [margin_todo(gate, item) for item in failed.values()]
    todo = margin_todo(gate, worst[0][1]) if failed and all(todos) else ""
    head = f"in {len(failed)} of {len(found)} slices by {by} it does not hold" if failed else "holds in each slice"
    evidence = {
        value: {"model": item.value, "champion": item.other, "gain": item.gain, "sure": item.sure}
        for value, item in found.items()
    }
    return Outcome(not failed, f"{head}: {shown}", evidence, todo)


def without_rival(gate: Gate, champion: Evaluation | None, found: dict[str, Any]) -> Outcome:
    """What a gate versus the champion says where there is none, or it cannot answer for this data."""
    if champion is not None:
        return _unfit(gate, champion, found)
    if gate.without_champion == "pass":
        return Outcome(True, "there is no champion yet, and the gate says `without_champion: pass`", found)
    todo = "For the first version of a model, give this gate `without_champion: pass`"
    return Outcome(False, "there is no champion yet; `without_champion: pass` would allow that", found, todo)


def _unfit(gate: Gate, champion: Evaluation, found: dict[str, Any]) -> Outcome:
    reason = f"the champion cannot be judged on this data: {champion.unfit}"
    if gate.unfit_champion == "pass":
        return Outcome(True, f"{reason}; the gate says `unfit_champion: pass`", found)
    step = "Put the data right; or, if it changed on purpose, give this gate `unfit_champion: pass` in `evaluate.gates`"
    return Outcome(False, f"{reason}. {step}, which replaces the champion without a comparison", found, step)


def surely(gate: Gate, found: Compared, error: Estimate, higher: bool) -> Compared:
    """The comparison with the lower bound of its gain; `error` is of ours less theirs, in the metric's direction."""
    confidence = float(gate.confidence or 0)
    reach = error.value - error.bound(confidence, False) if higher else error.bound(confidence, True) - error.value
    return found._replace(sure=found.gain - reach, error=error)


def _outcome(gate: Gate, found: Compared) -> Outcome:
    name, passed = str(gate.metric), keeps_margin(gate, found)
    beside = f"{name} {found.value:,.6g} is {gain_text(found)} the {gate.versus}'s {found.other:,.6g}"
    evidence: dict[str, Any] = {name: found.value, str(gate.versus): found.other, "gain": found.gain}
    if found.sure is not None and found.error is not None:
        evidence |= {"bound": found.sure, "method": found.error.method, "rows": found.error.rows}
    return Outcome(passed, beside + sure_text(gate, found), evidence, "" if passed else margin_todo(gate, found))


def _gain(name: str, value: float, other: float) -> float:
    higher = METRICS[name].higher_is_better
    if higher is None:
        raise NoEvidence(f"neither more nor less of {name} is better")
    return value - other if higher else other - value
