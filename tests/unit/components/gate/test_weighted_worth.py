"""Gates on the value of weighted rows: as the evaluation weighs them, in total and per row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.value import valued
from headrace.components.evaluate.value_spec import ValueSpec
from headrace.components.gate.spec import Gate
from tests.unit.components.gate.judged import evidence_of, gains_of, outcome
from tests.unit.components.gate.models import two

ROWS = 1500
SPEC = ValueSpec(true_positive=40, false_positive=-5, false_negative=-40, currency="USD")
SURE = Gate(value="per_row", versus="champion", better_by=0, confidence=0.95)


def weighted(ours: Scores, theirs: Scores, weights, share: float = 1.0):
    """Evidence as an evaluation with `evaluate.weight` writes it."""
    made = evidence_of(ours, theirs, np.full(ROWS, "x"), gains_of(ours))
    table = pa.table({"c": range(ROWS)})
    for side, scores, rows in (("evaluation", ours, "scores"), ("champion", theirs, "champion_scores")):
        value = valued(replace(scores, weights=weights), table, SPEC, 0)
        found = replace(getattr(made, side), value=value, weight="w")
        kept = replace(getattr(made, rows), weight=weights, share=share)
        made = replace(made, **{side: found, rows: kept})
    return made


@pytest.fixture(scope="module")
def pair():
    ours, theirs = two(np.random.default_rng(0), ROWS, 2.0, 2.0)
    return replace(ours, threshold=0.2), replace(theirs, threshold=0.8)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(1).gamma(2.0, 5.0, ROWS)


def test_per_row_is_what_the_evaluation_says(pair, weights):
    evidence = weighted(*pair, weights)
    amount = evidence.evaluation.value.amounts["model"]
    assert outcome(Gate(value="per_row", at_least=amount.per_row - 0.01), evidence).passed
    assert not outcome(Gate(value="per_row", at_least=amount.per_row + 0.01), evidence).passed
    low, high = (edge * amount.per_row / amount.total for edge in amount.limits["0.95"])
    for bound, sure in (({"at_least": low}, low), ({"at_most": high}, high)):
        found = outcome(Gate(value="per_row", confidence=0.95, **bound), evidence)
        assert found.evidence["bound"] == pytest.approx(sure)
    assert not outcome(Gate(value="per_row", at_least=low + 0.01, confidence=0.95), evidence).passed


def test_over_acting_on_none_per_row(pair, weights):
    evidence = weighted(*pair, weights)
    over = evidence.evaluation.value.over["none"]
    found = outcome(Gate(value="per_row", versus="none", better_by=0, confidence=0.95), evidence)
    assert found.evidence["bound"] == pytest.approx(over.limits["0.95"][0] * over.per_row / over.total)


def test_beside_the_champion_rows_count_by_their_weight(pair, weights):
    evidence = weighted(*pair, weights)
    found = outcome(SURE, evidence)
    assert found.passed, found.reason
    acted, left = gains_of(pair[0])
    apart = np.where(pair[0].score >= 0.2, acted, left) - np.where(pair[1].score >= 0.8, acted, left)
    mean = np.average(apart, weights=weights)
    assert found.evidence["gain"] == pytest.approx(mean)
    error = np.sqrt((weights**2 * (apart - mean) ** 2).sum()) / weights.sum()
    assert found.evidence["bound"] == pytest.approx(mean - 1.645 * error, rel=0.01)
    total = outcome(Gate(value="total", versus="champion", better_by=0, confidence=0.95), evidence)
    assert total.evidence["bound"] == pytest.approx(found.evidence["bound"] * weights.sum())


def test_a_few_heavy_rows_of_a_sample_are_not_sure(pair):
    """Four rows carry nearly all of the difference: no bound is as close as that of as many rows that are alike."""
    heavy = np.ones(ROWS)
    acted, left = gains_of(pair[0])
    apart = np.where(pair[0].score >= 0.2, acted, left) - np.where(pair[1].score >= 0.8, acted, left)
    heavy[np.flatnonzero(apart > 0)[:2]] = 2000.0
    heavy[np.flatnonzero(apart < 0)[:2]] = 2000.0
    even, uneven = (outcome(SURE, weighted(*pair, rows, 0.5)) for rows in (np.ones(ROWS), heavy))
    assert even.passed and not uneven.passed


def test_what_is_at_odds_or_not_said_does_not_pass(pair, weights):
    evidence = weighted(*pair, weights)
    value = evidence.evaluation.value
    for change, words in (({"weight": 0.0}, "does not say by how much in all"), ({"weight": 7.0}, "per row of 7")):
        broken = replace(evidence, evaluation=replace(evidence.evaluation, value=replace(value, **change)))
        found = outcome(Gate(value="per_row", at_least=-1e9, confidence=0.95), broken)
        assert not found.passed and words in found.reason
    other = replace(evidence.champion, value=replace(evidence.champion.value, weight=7.0))
    assert "valued by other gains" in outcome(SURE, replace(evidence, champion=other)).reason
