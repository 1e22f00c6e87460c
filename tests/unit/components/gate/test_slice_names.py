"""Slices of the same name: one of them must not be judged for both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.slices import slices
from headrace.components.gate.spec import Gate
from tests.unit.components.gate.judged import evidence_of, outcome
from tests.unit.components.gate.models import two

GATES = [
    Gate(metric="recall", slice="region", at_least=0.0),
    Gate(metric="recall", slice="region", at_least=0.0, confidence=0.9),
    Gate(metric="recall", slice="region", versus="champion", no_worse_than=1.0),
]


@pytest.fixture(scope="module")
def evidence():
    ours, theirs = two(np.random.default_rng(0), 1000, 2.0, 2.0)
    return evidence_of(ours, theirs, np.where(np.arange(1000) % 2, "north", "south"))


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.text)
def test_two_of_the_same_name_are_no_evidence(evidence, gate):
    assert outcome(gate, evidence).passed
    twins = tuple(replace(part, value="north") for part in evidence.evaluation.slices)
    found = outcome(gate, replace(evidence, evaluation=replace(evidence.evaluation, slices=twins)))
    assert not found.passed
    assert found.reason == "several slices by region are called north: they cannot be told apart"


def test_a_quartile_of_days_without_a_hit_fails(evidence):
    """Days as whole numbers, as 20240131: of the last quarter no positive is found."""
    rows = 1200
    day = 20240101 + np.arange(rows) // 40
    truth = np.arange(rows) % 2
    score = np.where((truth == 1) & (day < 20240123), 0.9, 0.1)
    scores = Scores("classification", truth, np.column_stack([1 - score, score]), ("no", "yes"), 1)
    parts, unjudged = slices(scores, pa.table({"day": day}), ["day"])
    judged = evidence_of(scores, None, np.full(rows, "x"))
    judged = replace(judged, evaluation=replace(judged.evaluation, slices=parts, unjudged=unjudged))
    found = outcome(Gate(metric="recall", slice="day", at_least=0.5), judged)
    assert len({part.value for part in parts}) == 4
    assert not found.passed and "out of bounds: [20240123, 20240130] 0" in found.reason
