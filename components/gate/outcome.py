"""What a gate's condition answers, and the comparisons with a bound or a margin that the forms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from headrace.artifacts.by import By, by_name
from headrace.artifacts.evaluation import LEAST_ROWS
from headrace.components.gate.estimates import Estimate
from headrace.components.gate.evidence import NoEvidence
from headrace.components.gate.spec import Gate

MOST_NAMED = 10  # slices or groups in a reason, the worst first


class Outcome(NamedTuple):
    """Whether a gate holds, why, the numbers that were compared, and what to do about it where that is known."""

    passed: bool
    reason: str
    evidence: dict[str, Any]
    todo: str = ""


def within(gate: Gate, value: float) -> bool:
    """Whether a value keeps the gate's bound; at the bound it does.

    Raises:
        NoEvidence: there is no bound.
    """
    if gate.at_least is None and gate.at_most is None:
        raise NoEvidence("the gate has no bound")
    low = gate.at_least is None or value >= gate.at_least
    return low and (gate.at_most is None or value <= gate.at_most)


def bound_of(gate: Gate) -> float:
    """The bound itself."""
    bound = gate.at_least if gate.at_least is not None else gate.at_most
    if bound is None:
        raise NoEvidence("the gate has no bound")
    return bound


def surely_within(gate: Gate, name: str, found: Estimate, unit: str = "") -> Outcome:
    """Whether a figure keeps the gate's bound with the gate's confidence."""
    confidence, upper = float(gate.confidence or 0), gate.at_most is not None
    edge = found.bound(confidence, upper)
    passed = within(gate, edge)
    reach = f"at {'most' if upper else 'least'} {figure(edge)}{unit}"
    reason = f"{name} is {found.value:,.6g}{unit}, with {percent(confidence)} confidence {reach} ({basis(found)})"
    todo = ""
    if not passed and within(gate, found.value):
        todo = more_rows(found.needed(bound_of(gate), confidence), found.rows)
    return Outcome(passed, reason, {name: found.value, "bound": edge, "method": found.method, "rows": found.rows}, todo)


def figure(value: float) -> str:
    """A bound or difference for people: four digits say all that is known of it, but whole numbers stay whole.

    >>> figure(0.01423521), figure(40165.2), figure(-2.5)
    ('0.01424', '40,165', '-2.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def basis(found: Estimate) -> str:
    """What an estimate rests on, in words."""
    return f"{found.method}, {found.rows:,} rows"


def percent(confidence: float) -> str:
    """A confidence in words: `95 %`."""
    return f"{confidence * 100:g} %"


def more_rows(needed: int | None, rows: int) -> str:
    """What to do where a figure is good enough, and only not surely so."""
    if needed is None or needed <= rows:
        return "The figure itself would pass: give more rows to the test split, or ask for less confidence"
    return f"The figure itself would pass: with about {_rounded(needed):,} rows instead of {rows:,} it would be sure"


def _rounded(count: int) -> int:
    """Two significant digits: more would be invented."""
    scale = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // scale) * scale


class Compared(NamedTuple):
    """A figure beside a rival's: by how much it is better, at best and surely."""

    value: float
    other: float
    gain: float  # in the better direction
    sure: float | None = None  # the one-sided lower bound of the gain; None where no confidence is asked for
    error: Estimate | None = None


def keeps_margin(gate: Gate, found: Compared) -> bool:
    """Whether a gain is as the gate wants it.

    Where confidence is asked for, `better_by` has to be exceeded: two models between which no row tells are sure not to
    be better. Without, equality at the margin passes.

    Raises:
        NoEvidence: there is no margin.
    """
    # The difference of two floats is off by some 1e-16: equality at the bound passes all the same.
    slack = 1e-12 * max(1.0, abs(found.value), abs(found.other))
    gain = found.gain if found.sure is None else found.sure
    if gate.no_worse_than is not None:
        return gain >= -gate.no_worse_than - slack
    if gate.better_by is None:
        raise NoEvidence("the gate has no margin")
    return gain >= gate.better_by - slack if found.sure is None else gain > gate.better_by + slack


def gain_text(found: Compared, unit: str = "") -> str:
    """`0.012 better than`, `equal to`."""
    slack = 1e-12 * max(1.0, abs(found.value), abs(found.other))
    if abs(found.gain) <= slack:
        return "equal to"
    return f"{figure(abs(found.gain))}{unit} {'better' if found.gain > 0 else 'worse'} than"


def sure_text(gate: Gate, found: Compared, unit: str = "") -> str:
    """What the confidence asked for adds; empty where none is."""
    if found.sure is None or found.error is None or gate.confidence is None:
        return ""
    if not found.error.error and not found.gain:
        return f"; {found.error.method}, of {found.error.rows:,}"
    how = "better by at least" if found.sure > 0 else "worse by at most"
    return f"; with {percent(gate.confidence)} confidence {how} {figure(abs(found.sure))}{unit} ({basis(found.error)})"


def margin_todo(gate: Gate, found: Compared) -> str:
    """What to do where a gain would do, and is only not sure."""
    if found.sure is None or found.error is None or not keeps_margin(gate, found._replace(sure=None)):
        return ""
    margin = -gate.no_worse_than if gate.no_worse_than is not None else float(gate.better_by or 0)
    distance = abs(found.gain - margin)
    if not distance or not found.error.error:
        return ""
    # The estimate's own sign is that of the metric, the margin's that of the gain.
    ahead = found.error.value - distance
    return more_rows(found.error.needed(ahead, float(gate.confidence or 0)), found.error.rows)


def without_small(gate: Gate, outcome: Outcome, names: Sequence[str], count: int, least: int = LEAST_ROWS) -> Outcome:
    """Names the slices or groups that were too small to judge, which `small_groups: fail` does not let pass."""
    if not count:
        return outcome
    named = ", ".join(names[:MOST_NAMED])
    rest = count - len(names[:MOST_NAMED])
    listed = f"{named} and {rest:,} more" if named and rest else named or f"{rest:,}"
    reason = f"{outcome.reason}; not judged, fewer than {least} rows: {listed}"
    if gate.small_groups == "fail":
        return outcome._replace(passed=False, reason=f"{reason}, and the gate says `small_groups: fail`")
    return outcome._replace(reason=reason)


def name_of(by: By | None) -> str:
    """What rows are divided by, as an evaluation names it."""
    if by is None:
        raise NoEvidence("the gate does not say what rows are divided by")
    return by_name(by)
