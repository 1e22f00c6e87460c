"""Gates on value: in total and per row, against a bound, the champion, all and none; closed where that is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifacts.value_found import Value
from headrace.components.evaluate.scores import Scores
from headrace.components.gate.spec import Gate
from tests.unit.components.gate.judged import evidence_of, gains_of, outcome
from tests.unit.components.gate.models import two

ROWS = 1500
CHAMPION = Gate(value="total", versus="champion", better_by=0)
SURE = Gate(value="per_row", versus="champion", better_by=0, confidence=0.95)


def at(scores: Scores, threshold: float) -> Scores:
    return replace(scores, threshold=threshold)


@pytest.fixture(scope="module")
def pair():
    return two(np.random.default_rng(0), ROWS, 2.0, 2.0)


@pytest.fixture(scope="module")
def worth_more(pair):
    """The same skill, but the champion misses many that it should act on."""
    ours, theirs = at(pair[0], 0.2), at(pair[1], 0.8)
    return evidence_of(ours, theirs, np.full(ROWS, "x"), gains_of(ours))


@pytest.fixture(scope="module")
def worth_less(pair):
    """A better model that acts too rarely."""
    ours, theirs = two(np.random.default_rng(1), ROWS, 2.4, 1.8)
    return evidence_of(at(ours, 0.9), at(theirs, 0.2), np.full(ROWS, "x"), gains_of(ours))


def test_bounds(worth_more):
    total = worth_more.evaluation.value.amounts["model"].total
    for gate, passed in (
        (Gate(value="total", at_least=total), True),
        (Gate(value="total", at_least=total + 1), False),
        (Gate(value="total", at_most=total), True),
        (Gate(value="per_row", at_least=total / ROWS - 0.01), True),
        (Gate(value="per_row", at_least=total / ROWS + 0.01), False),
        (Gate(value="total", at_least=total - 1, confidence=0.95), False),
        (Gate(value="total", at_least=total - 5000, confidence=0.95), True),
        (Gate(value="per_row", at_least=total / ROWS - 5, confidence=0.9), True),
    ):
        assert outcome(gate, worth_more).passed is passed, gate.text
    found = outcome(Gate(value="total", at_least=total + 1), worth_more)
    assert found.reason == f"the decisions are worth {total:,.0f} USD on 1,500 rows"
    assert (
        "USD per row, with 95 % confidence at least"
        in outcome(Gate(value="per_row", at_least=0, confidence=0.95), worth_more).reason
    )


def test_worth_more_than_the_champion(worth_more):
    assert outcome(CHAMPION, worth_more).passed
    found = outcome(SURE, worth_more)
    assert found.passed
    assert "USD better than the champion with " in found.reason
    assert found.reason.endswith("(paired t-test, 1,500 rows)")
    assert outcome(Gate(value="total", versus="champion", better_by=1e6, confidence=0.9), worth_more).passed is False
    total = outcome(Gate(value="total", versus="champion", better_by=0, confidence=0.95), worth_more)
    assert total.evidence["bound"] == pytest.approx(found.evidence["bound"] * ROWS)


@pytest.mark.parametrize("gate", [CHAMPION, SURE], ids=lambda gate: gate.text)
def test_better_and_worth_less_is_stopped(worth_less, gate):
    found = outcome(gate, worth_less)
    assert worth_less.evaluation.metrics["auc"] > worth_less.champion.metrics["auc"]
    assert not found.passed
    assert "USD worse than the champion with " in found.reason
    assert "; although its ROC AUC, 0.9" in found.reason and "is better than the champion's 0.9" in found.reason
    assert "`train: {threshold: value}`" in found.todo


def test_against_acting_on_all_and_none(worth_more):
    for rival in ("all", "none"):
        over = worth_more.evaluation.value.over[rival]
        plain = Gate(value="total", versus=rival, better_by=0)
        sure = Gate(value="total", versus=rival, better_by=0, confidence=0.95)
        assert outcome(plain, worth_more).passed is (over.total >= 0)
        assert outcome(sure, worth_more).passed is (over.limits["0.95"][0] > 0)
    found = outcome(Gate(value="per_row", versus="none", better_by=1000), worth_more)
    assert "USD better than acting on none with " in found.reason


RIVALS = [CHAMPION, SURE, Gate(value="total", versus="all", better_by=-0.0), Gate(value="total", at_least=-1e9)]


@pytest.mark.parametrize("gate", RIVALS, ids=lambda gate: gate.text)
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "what the decisions of the model are worth was not measured"),
        (Value({}, undefined="no row is positive"), "is not known: no row is positive"),
        (Value({}, rows=0), "no decision of the model was valued"),
        (Value({}, rows=9), "there is no value of the model"),
    ],
)
def test_a_value_that_is_not_known(worth_more, gate, value, reason):
    found = outcome(gate, replace(worth_more, evaluation=replace(worth_more.evaluation, value=value)))
    assert not found.passed and reason in found.reason


@pytest.mark.parametrize("gate", RIVALS, ids=lambda gate: gate.text)
@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_a_value_that_is_no_number(worth_more, gate, number):
    value = worth_more.evaluation.value
    amounts = {name: replace(amount, total=number) for name, amount in value.amounts.items()}
    broken = replace(worth_more.evaluation, value=replace(value, amounts=amounts))
    assert not outcome(gate, replace(worth_more, evaluation=broken)).passed


def test_a_champion_that_was_valued_otherwise(worth_more):
    champion = worth_more.champion
    for change in ({"gains": {}}, {"currency": "EUR"}, {"rows": 7}):
        other = replace(champion, value=replace(champion.value, **change))
        found = outcome(CHAMPION, replace(worth_more, champion=other))
        assert not found.passed and "valued by other gains" in found.reason
    assert not outcome(CHAMPION, replace(worth_more, champion=replace(champion, value=None))).passed
    assert outcome(CHAMPION, replace(worth_more, champion=None)).reason == "there is no evaluation of the champion"


def test_gains_that_were_not_kept(worth_more):
    gone = replace(worth_more, scores=replace(worth_more.scores, gains=None))
    assert outcome(SURE, gone).reason == "it was not kept what decisions bring on each row"
    broken = replace(worth_more.scores, gains=(np.full(ROWS, np.nan), np.zeros(ROWS)))
    assert "not a finite number in some rows" in outcome(SURE, replace(worth_more, scores=broken)).reason
    other = replace(worth_more.scores, gains=(np.zeros(ROWS), np.zeros(ROWS)))
    assert "by its evaluation, but" in outcome(SURE, replace(worth_more, scores=other)).reason


def test_a_confidence_that_no_limit_is_kept_for(worth_more):
    found = outcome(Gate(value="total", at_least=0, confidence=0.999), worth_more)
    assert not found.passed
    assert found.reason.startswith("no limit of confidence 0.999 was kept; there are 0.8, 0.9")
