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
    """The columns that groups are compared by and gains are read from, each with its place in the spec."""
    fairness = evaluate.fairness.columns if evaluate.fairness else []
    found: list[tuple[Place, str]] = [
        (("evaluate", "fairness", "by", place), name) for place, by in enumerate(fairness) for name in columns_of(by)
    ]
    return found + [(("evaluate", "value", outcome), name) for outcome, name in _gains(evaluate).items()]


def value_mistakes(evaluate: EvaluateSpec, types: Mapping[str, str]) -> list[tuple[Place, str]]:
    """Gains that are read from a column of no numbers, each with its place in the spec."""
    return [
        (("evaluate", "value", outcome), f"expected a column of numbers. Received: `{name}`, {types[name]}")
        for outcome, name in _gains(evaluate).items()
        if name in types and types[name] not in (NUMBER, BOOLEAN)
    ]


def _gains(evaluate: EvaluateSpec) -> dict[str, str]:
    if evaluate.value is None:
        return {}
    gains: dict[str, GainSpec] = {outcome: getattr(evaluate.value, outcome) for outcome in OUTCOMES}
    return {outcome: gain.column for outcome, gain in gains.items() if gain.column is not None}
