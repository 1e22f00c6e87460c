"""Gates on one class against all others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.fairness_found import Fairness, Group
from headrace.artifacts.measured import ClassMetrics
from headrace.components.gate.decide import decide
from headrace.components.gate.evidence import Evidence
from headrace.components.gate.spec import Gate

MODEL = "sha256:model"
OWN = Evaluation(
    present=True,
    task="classification",
    label="defect",
    split="test",
    rows=300,
    dataset_digest="sha256:data",
    model_digest=MODEL,
    classes=("crack", "pass"),
    metrics={"accuracy": 0.9},
    confusion=((80, 20), (10, 190)),
    per_class=(
        ClassMetrics("crack", 100, 90, {"recall": 0.8, "precision": 80 / 90, "f1": 16 / 19}),
        ClassMetrics("pass", 200, 210, {"recall": 0.95, "precision": 190 / 210}),
    ),
)
CHAMPION = replace(OWN, model_digest="sha256:champion", per_class=(ClassMetrics("crack", 100, 88, {"recall": 0.85}),))


def judge(gate: dict, evaluation: Evaluation | None = OWN, champion: Evaluation | None = CHAMPION):
    parsed = Gate.model_validate(gate)
    evidence = Evidence(MODEL, "classification", evaluation, champion, None)
    (decision,) = [item for item in decide(evidence, [parsed]) if item.gate == parsed.text]
    return decision


def test_a_bound_of_one_class():
    crack = {"metric": "recall", "class": "crack"}
    found = judge({**crack, "at_least": 0.8})
    assert (found.passed, found.gate, found.reason) == (True, "recall of crack at least 0.8", "recall of crack is 0.8")
    assert not judge({**crack, "at_least": 0.81}).passed


def test_confidence_is_the_exact_bound_of_a_share():
    crack = {"metric": "recall", "class": "crack", "confidence": 0.95}
    assert judge({**crack, "at_least": 0.72}).passed, "the lower bound of 80 in 100 is 0.723"
    found = judge({**crack, "at_least": 0.73})
    assert not found.passed and "with 95 % confidence at least 0.7228" in found.reason
    assert judge({**crack, "metric": "precision", "at_least": 0.81}).passed
    weighed = judge({**crack, "at_least": 0.5}, replace(OWN, weight="importance"))
    assert not weighed.passed and "weighted rows" in weighed.reason
    at_odds = judge({**crack, "at_least": 0.5}, replace(OWN, confusion=((70, 30), (10, 190))))
    assert not at_odds.passed and "the confusion matrix says 70 of 100, and the metric 0.8" in at_odds.reason


def test_versus_the_champion():
    crack = {"metric": "recall", "class": "crack", "versus": "champion"}
    assert judge({**crack, "no_worse_than": 0.05}).passed
    found = judge({**crack, "no_worse_than": 0.04})
    assert (found.passed, found.reason) == (False, "recall of crack is 0.8, 0.05 worse than the champion's 0.85")


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        (replace(OWN, per_class=()), "the model has no class crack; measured were none"),
        (replace(OWN, per_class=OWN.per_class[1:]), "the model has no class crack; measured were pass"),
        (replace(OWN, per_class=(ClassMetrics("crack", 0, 0, {}),)), "class crack of the model has no recall"),
        (replace(OWN, per_class=(ClassMetrics("crack", 9, 0, {"recall": float("nan")}),)), "is nan, not a finite"),
        (None, "there is no evaluation of the model"),
    ],
)
def test_without_evidence_it_is_not_passed(evaluation, reason):
    found = judge({"metric": "recall", "class": "crack", "at_least": 0.0}, evaluation)
    assert not found.passed and reason in found.reason


def test_a_champion_without_the_class_is_no_evidence():
    gate = {"metric": "recall", "class": "crack", "versus": "champion", "no_worse_than": 1.0}
    assert "the champion has no class crack" in judge(gate, champion=replace(CHAMPION, per_class=())).reason
    assert not judge(gate, champion=None).passed


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metric": "mcc"}, "expected precision, recall, f1, auc of a class"),
        ({"slice": "region"}, "expected no `slice` in a gate on a class"),
        (
            {"metric": "f1", "confidence": 0.9},
            "expected `confidence` of a class only with a bound of precision or recall",
        ),
        ({"fairness": "demographic_parity_difference", "metric": None, "by": "g"}, "no `class` in a fairness gate"),
    ],
)
def test_what_does_not_go_together(more, message):
    with pytest.raises(ValidationError, match=message):
        Gate.model_validate({"metric": "recall", "class": "crack", "at_least": 0.5, **more})


def test_an_unfair_model_is_told_in_the_rates_of_its_parity():
    groups = (
        Group("f", 500, 0.3, 0.6, 0.1, metrics={"fnr": 0.4}),
        Group("m", 500, 0.3, 0.8, 0.1, metrics={"fnr": 0.2}),
    )
    metrics = {"equal_opportunity_difference": 0.2, "false_negative_rate_difference": 0.2}
    unfair = replace(OWN, fairness=(Fairness("gender", groups, metrics),))
    found = judge({"fairness": "equal_opportunity_difference", "by": "gender", "at_most": 0.1}, unfair)
    assert found.reason == "equal_opportunity_difference is 0.2; true positive rate: 60 % of f and 80 % of m"
    assert found.evidence["true positive rate"] == {"f": 0.6, "m": 0.8}
    found = judge({"fairness": "false_negative_rate_difference", "by": "gender", "at_most": 0.1}, unfair)
    assert "; false negative rate: 20 % of m and 40 % of f" in found.reason
