"""What can be known of the `evaluate` section before a run: columns that do not suit, gates that none passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.artifacts.by import columns_of
from headrace.artifacts.gains import OUTCOMES
from headrace.artifacts.metrics import FAIRNESS, METRICS
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.value_spec import GainSpec
from headrace.components.gate.spec import Gate
from headrace.pipelines.yaml_lines import Place
from headrace.trainer.expressions.expression import BOOLEAN, NUMBER

_BEYOND_ONE = ("top_decile_lift",)  # of the metrics of which more is better


def evaluated_columns(evaluate: EvaluateSpec) -> list[tuple[Place, str]]:
    """The columns of weights, of the groups that are compared, and of gains, each with its place in the spec."""
    fairness = evaluate.fairness.columns if evaluate.fairness else []
    found: list[tuple[Place, str]] = [
        (("evaluate", "fairness", "by", place), name) for place, by in enumerate(fairness) for name in columns_of(by)
    ]
    return found + _numbers(evaluate)


def value_mistakes(evaluate: EvaluateSpec, types: Mapping[str, str]) -> list[tuple[Place, str]]:
    """Weights and gains that are read from a column of no numbers, each with its place in the spec."""
    return [
        (place, f"expected a column of numbers. Received: `{name}`, {types[name]}")
        for place, name in _numbers(evaluate)
        if name in types and types[name] not in (NUMBER, BOOLEAN)
    ]


def gate_mistakes(evaluate: EvaluateSpec, classes: Sequence[str] | None) -> list[tuple[Place, str]]:
    """Gates that no model can pass, each with its place in the spec.

    Args:
        evaluate: the section.
        classes: what the label's classes are called; None where they are not known.
    """
    found: list[tuple[Place, str]] = []
    for index, gate in enumerate(evaluate.gates or []):
        place: Place = ("evaluate", "gates", index)
        if classes is not None and gate.class_ is not None and gate.class_ not in classes:
            text = f"expected a class of the label: {', '.join(classes[:20])}. Received: {gate.class_}"
            found.append(((*place, "class"), text))
        found += [((*place, bound), text) for bound, text in _out_of_range(gate).items()]
    return found


def _out_of_range(gate: Gate) -> dict[str, str]:
    """A bound that the figure never reaches: where more is better it is 1 at most, and an error is never negative."""
    name = gate.metric or gate.fairness or ""
    known = METRICS.get(name) or FAIRNESS.get(name)
    if known is None or known.higher_is_better is None:
        return {}
    if known.higher_is_better and gate.at_least is not None and gate.at_least > 1 and name not in _BEYOND_ONE:
        return {"at_least": f"expected 1 or less, as {name} is never more. Received: {gate.at_least:g}"}
    if not known.higher_is_better and gate.at_most is not None and gate.at_most < 0:
        return {"at_most": f"expected 0 or more, as {name} is never less. Received: {gate.at_most:g}"}
    return {}


def _numbers(evaluate: EvaluateSpec) -> list[tuple[Place, str]]:
    found: list[tuple[Place, str]] = [(("evaluate", "weight"), evaluate.weight)] if evaluate.weight else []
    if evaluate.value is None:
        return found
    gains: dict[str, GainSpec] = {outcome: getattr(evaluate.value, outcome) for outcome in OUTCOMES}
    return found + [
        (("evaluate", "value", name), gain.column) for name, gain in gains.items() if gain.column is not None
    ]
