"""What can be known of the `evaluate` section before a run: columns that are not there, or hold no numbers."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.artifacts.by import columns_of
from headrace.artifacts.gains import OUTCOMES
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.value_spec import GainSpec
from headrace.pipelines.yaml_lines import Place
from headrace.trainer.expressions.expression import BOOLEAN, NUMBER


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


def _numbers(evaluate: EvaluateSpec) -> list[tuple[Place, str]]:
    found: list[tuple[Place, str]] = [(("evaluate", "weight"), evaluate.weight)] if evaluate.weight else []
    if evaluate.value is None:
        return found
    gains: dict[str, GainSpec] = {outcome: getattr(evaluate.value, outcome) for outcome in OUTCOMES}
    return found + [
        (("evaluate", "value", name), gain.column) for name, gain in gains.items() if gain.column is not None
    ]
