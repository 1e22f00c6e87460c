"""Gates on what decisions are worth: against a bound, the champion's decisions, acting on all, and acting on none."""

from __future__ import annotations

import math
from typing import Any

from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.metrics import METRICS
from headrace.artifacts.value_found import Amount, Value
from headrace.components.gate.estimates import Estimate
from headrace.components.gate.evidence import Evidence, NoEvidence, Rows, agree
from headrace.components.gate.outcome import (
    Compared,
    Outcome,
    figure,
    gain_text,
    keeps_margin,
    margin_todo,
    percent,
    sure_text,
    within,
)
from headrace.components.gate.spec import Gate
from headrace.components.gate.versus import surely, without_rival

_RIVAL = {"all": "acting on all rows", "none": "acting on none", "champion": "the champion"}
_LEADING = ("auc", "accuracy")  # of which is said if a model is better in them and yet worth less


def value(gate: Gate, evidence: Evidence) -> Outcome:
    """The value of the model's decisions within a bound."""
    found = _value(evidence.own(), "the model")
    amount = _amount(found.amounts, "model")
    level, unit = _level(gate, amount, found), _unit(found)
    said = f"the decisions are worth {figure(level)}{unit} {_per(gate, found)}"
    if gate.confidence is None:
        return Outcome(within(gate, level), said, {"value": level, "currency": found.currency})
    upper = gate.at_most is not None
    edge = _limit(gate, amount, found, upper)
    reach = f"at {'most' if upper else 'least'} {figure(edge)}{unit}"
    reason = f"{said}, with {percent(gate.confidence)} confidence {reach}"
    return Outcome(within(gate, edge), reason, {"value": level, "bound": edge, "currency": found.currency})


def versus_value(gate: Gate, evidence: Evidence) -> Outcome:
    """The value of the model's decisions beside that of others on the same rows."""
    found = _value(evidence.own(), "the model")
    if gate.versus != "champion":
        return _outcome(gate, found, _over(gate, found))
    champion = evidence.comparable_champion()
    level = _level(gate, _amount(found.amounts, "model"), found)
    if champion is None or champion.unfit:
        return without_rival(gate, champion, {"value": level})
    theirs = _value(champion, "the champion")
    if (theirs.gains, theirs.currency, theirs.rows, theirs.weight) != (
        found.gains,
        found.currency,
        found.rows,
        found.weight,
    ):
        raise NoEvidence("the champion's decisions were valued by other gains than the model's")
    other = _level(gate, _amount(theirs.amounts, "model"), theirs)
    compared = Compared(level, other, level - other)
    if gate.confidence is not None:
        compared = _paired(gate, evidence, compared, found)
    return _outcome(gate, found, compared, _although(evidence.own(), champion, compared))


def _over(gate: Gate, found: Value) -> Compared:
    """Beside acting on all or none: the evaluation holds the difference on the same rows, with its limits."""
    level = _level(gate, _amount(found.amounts, "model"), found)
    other = _level(gate, _amount(found.amounts, str(gate.versus)), found)
    compared = Compared(level, other, level - other)
    if gate.confidence is None:
        return compared
    sure = _limit(gate, _amount(found.over, str(gate.versus)), found, upper=False)
    return compared._replace(sure=sure, error=Estimate(level - other, math.nan, 1, found.rows, "paired bootstrap"))


def _paired(gate: Gate, evidence: Evidence, compared: Compared, found: Value) -> Compared:
    from headrace.components.gate.inference import paired_mean  # numpy, only where a gate asks for confidence

    ours, theirs = evidence.rows(), evidence.champion_rows()
    error = paired_mean(_brought(ours), _brought(theirs), ours.scores.weights)
    if gate.value == "total":
        # The evaluation's own weights: those of scores are scaled to a mean of 1.
        count = found.count
        error = Estimate(error.value * count, error.error * count, error.freedom, error.rows, error.method)
    scale = max(abs(compared.value), abs(compared.other), 1.0)
    agree(error.value / scale, compared.gain / scale, ours.table.share < 1, "the difference in value", "the two models")
    return surely(gate, compared, error, higher=True)


def _brought(rows: Rows) -> Any:
    """(N,) what the decision on each row brings."""
    if rows.table.gains is None:
        raise NoEvidence("it was not kept what decisions bring on each row")
    import numpy as np

    acted, left = rows.table.gains
    scores = rows.scores
    brought = np.where(scores.predicted == scores.positive, acted, left)
    if not np.isfinite(brought).all():
        raise NoEvidence("what a decision brings is not a finite number in some rows")
    return np.asarray(brought, dtype=np.float64)


def _outcome(gate: Gate, found: Value, compared: Compared, although: str = "") -> Outcome:
    unit, rival = _unit(found), _RIVAL[str(gate.versus)]
    passed = keeps_margin(gate, compared)
    beside = (
        f"the decisions are worth {figure(compared.value)}{unit} {_per(gate, found)}, "
        f"{gain_text(compared, unit)} {rival} with {figure(compared.other)}{unit}"
    )
    reason = beside + sure_text(gate, compared, unit) + ("" if passed else although)
    evidence: dict[str, Any] = {"value": compared.value, str(gate.versus): compared.other, "gain": compared.gain}
    evidence |= {"currency": found.currency} | ({} if compared.sure is None else {"bound": compared.sure})
    todo = ""
    if not passed:
        todo = margin_todo(gate, compared) if compared.error and compared.error.error > 0 else ""
        todo = todo or "See the value by threshold in the evaluation's report; `train: {threshold: value}` chooses it"
    return Outcome(passed, reason, evidence, todo)


def _although(own: Evaluation, champion: Evaluation, compared: Compared) -> str:
    """That a model which is worth less is yet better by a metric: the first thing that its maker will object."""
    if compared.gain >= 0:
        return ""
    for name in _LEADING:
        ours, theirs = own.metrics.get(name), champion.metrics.get(name)
        if ours is not None and theirs is not None and ours > theirs:
            return f"; although its {METRICS[name].title}, {ours:.6g}, is better than the champion's {theirs:.6g}"
    return ""


def _value(evaluation: Evaluation, whose: str) -> Value:
    found = evaluation.value
    if found is None:
        raise NoEvidence(
            f"what the decisions of {whose} are worth was not measured: `evaluate.value` says what they bring"
        )
    if found.undefined:
        raise NoEvidence(f"what the decisions of {whose} are worth is not known: {found.undefined}")
    if found.rows <= 0:
        raise NoEvidence(f"no decision of {whose} was valued")
    if evaluation.weight and not found.weight > 0:  # as before weights were summed
        raise NoEvidence(f"the evaluation of {whose} weighs rows, and does not say by how much in all: run it again")
    return found


def _amount(amounts: dict[str, Amount], name: str) -> Amount:
    if name not in amounts:
        raise NoEvidence(f"there is no value of {_RIVAL.get(name, 'the model')}")
    return amounts[name]


def _level(gate: Gate, amount: Amount, found: Value) -> float:
    for level in (amount.total, amount.per_row):
        if isinstance(level, bool) or not isinstance(level, int | float) or not math.isfinite(level):
            raise NoEvidence(f"the value is {level}, not a finite number")
    # An evaluation that weighs rows and does not say by how much in all has no limit per row, either.
    if not math.isclose(amount.per_row * found.count, amount.total, rel_tol=1e-6, abs_tol=1e-6):
        raise NoEvidence(f"the value is {amount.total:.6g} in all, but {amount.per_row:.6g} per row of {found.count:g}")
    return float(amount.total if gate.value == "total" else amount.per_row)


def _limit(gate: Gate, amount: Amount, found: Value, upper: bool) -> float:
    confidence = float(gate.confidence or 0)
    edge = amount.limit(confidence, upper)
    if edge is None or not math.isfinite(edge):
        kept = ", ".join(amount.limits) or "none"
        raise NoEvidence(f"no limit of confidence {confidence:g} was kept; there are {kept}")
    return edge if gate.value == "total" else edge / found.count


def _unit(found: Value) -> str:
    return f" {found.currency}" if found.currency else ""


def _per(gate: Gate, found: Value) -> str:
    return f"on {found.rows:,} rows" if gate.value == "total" else "per row"
