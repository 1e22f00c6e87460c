"""Gates fail closed: each test takes some evidence away, or spoils it, and sees the gate not passed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from headrace.artifacts.decision import Verdict
from headrace.artifacts.evaluation import Evaluation, Slice, Unjudged
from headrace.artifacts.fairness_found import Fairness, Group
from headrace.artifacts.infra import Check, Infra
from headrace.components.gate import conditions
from headrace.components.gate.decide import decide
from headrace.components.gate.evidence import Evidence
from headrace.components.gate.spec import Gate

MODEL = "sha256:model"
OWN = Evaluation(
    present=True,
    task="classification",
    label="churned",
    split="test",
    rows=1000,
    dataset_digest="sha256:data",
    model_digest=MODEL,
    classes=("0", "1"),
    positive="1",
    threshold=0.5,
    metrics={"auc": 0.8, "log_loss": 0.4},
    undefined={"mcc": "all rows are of class 0"},
    baseline={"auc": 0.5, "log_loss": 0.6},
    slices=(Slice("region", "north", 500, {"auc": 0.82}), Slice("region", "south", 500, {"auc": 0.71})),
    fairness=(
        Fairness(
            "gender",
            (Group("f", 500, 0.3, 0.6, 0.1), Group("m", 500, 0.4, 0.7, 0.1)),
            {"demographic_parity_difference": 0.1},
            {"equal_opportunity_difference": "f has no positive row"},
        ),
    ),
)
CHAMPION = replace(OWN, model_digest="sha256:champion", metrics={"auc": 0.8, "log_loss": 0.4})
NO_CHAMPION = Evaluation(False, "classification", "churned", "test", 1000, "sha256:data")
INFRA = Infra(MODEL, (Check("loads", True, "fine"),), {"p50": 0.1, "p99": 0.2})
ALL = Evidence(MODEL, "classification", OWN, CHAMPION, INFRA)

AUC = Gate(metric="auc", at_least=0.75)
SLICE = Gate(metric="auc", at_least=0.7, slice="region")
VERSUS = Gate(metric="auc", versus="champion", no_worse_than=0.002)
FAIR = Gate(fairness="demographic_parity_difference", by="gender", at_most=0.1)
BASE = Gate(metric="log_loss", versus="baseline", better_by=0.1)
GATES = [AUC, SLICE, VERSUS, FAIR, BASE]


def judge(gate: Gate, evidence: Evidence = ALL):
    (decision,) = [item for item in decide(evidence, [gate]) if item.gate == gate.text]
    return decision


def passed(evidence: Evidence, gates=GATES) -> bool:
    return Verdict(MODEL, decide(evidence, gates)).passed


def own(**changes) -> Evidence:
    return replace(ALL, evaluation=replace(OWN, **changes))


def champion(**changes) -> Evidence:
    return replace(ALL, champion=replace(CHAMPION, **changes))


def test_with_all_evidence_everything_passes():
    decisions = decide(ALL, GATES)
    assert [item for item in decisions if not item.passed] == []
    assert len(decisions) == 2 + len(GATES)
    assert judge(AUC).evidence == {"auc": 0.8}


def test_the_advice_fits_what_is_wrong():
    wrong_class = judge(Gate(metric="recall", **{"class": "3"}, at_least=0.5))
    assert wrong_class.todo.startswith("Name a class that was measured in the gate's `class`")
    few, *_ = decide(own(rows=12), GATES)
    assert few.todo.startswith("What the reason says holds for every model: too few rows need more data")
    missing, *_ = decide(replace(ALL, evaluation=None), GATES)
    assert missing.todo.startswith("Find out why the evidence is not there")
    low = judge(Gate(metric="auc", at_least=0.9)).todo
    assert low.endswith(
        "other settings of `train`; of a table, `features` and `train.tune` too"
    )  # pictures have neither


def test_all_failures_are_reported_together():
    gates = [Gate(metric="auc", at_least=0.9), AUC, Gate(metric="log_loss", at_most=0.1)]
    failed = [item.gate for item in decide(ALL, gates) if not item.passed]
    assert failed == ["auc at least 0.9", "log_loss at most 0.1"]


def test_no_gates_do_not_bless():
    decisions = decide(ALL, [])
    assert not Verdict(MODEL, decisions).passed
    assert "no gate was given" in decisions[-1].reason


# What is not there.


@pytest.mark.parametrize("name", ["evaluation", "champion", "infra"])
def test_evidence_that_is_missing_altogether(name):
    assert passed(ALL)
    assert not passed(replace(ALL, **{name: None}))


def test_an_evaluation_without_a_model():
    evidence = replace(ALL, evaluation=NO_CHAMPION)
    assert not passed(evidence)
    assert judge(AUC, evidence).reason == "the evaluation says that there was no model"


@pytest.mark.parametrize("gate", [AUC, VERSUS])
def test_a_metric_that_is_missing(gate):
    decision = judge(gate, own(metrics={"log_loss": 0.4}, undefined={"auc": "all rows are of class 0"}))
    assert not decision.passed
    assert decision.reason == "the model has no auc: all rows are of class 0"


def test_a_metric_that_is_missing_from_the_champion_or_the_baseline():
    assert judge(VERSUS, champion(metrics={})).reason == "the champion has no auc"
    assert judge(BASE, own(baseline={})).reason == "the baseline has no log_loss"
    assert not judge(VERSUS, champion(metrics={})).passed
    assert not judge(BASE, own(baseline={})).passed


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.9", True])
def test_a_metric_that_is_no_finite_number(value):
    metrics = {"auc": value, "log_loss": value}
    for gate in (AUC, VERSUS, BASE, Gate(metric="log_loss", at_most=1), Gate(metric="auc", at_most=1)):
        decision = judge(gate, own(metrics=metrics))
        assert not decision.passed
        assert "not a finite number" in decision.reason
    assert not judge(VERSUS, champion(metrics=metrics)).passed
    assert not judge(BASE, own(baseline=metrics)).passed
    assert not judge(SLICE, own(slices=(Slice("region", "north", 50, metrics),))).passed
    broken = Fairness("gender", (), {"demographic_parity_difference": value})
    assert not judge(FAIR, own(fairness=(broken,))).passed


# A champion that was demanded.


def test_no_champion_fails_unless_the_gate_says_otherwise():
    evidence = replace(ALL, champion=NO_CHAMPION)
    assert not judge(VERSUS, evidence).passed
    assert not judge(VERSUS.model_copy(update={"without_champion": "fail"}), evidence).passed
    allowed = judge(VERSUS.model_copy(update={"without_champion": "pass"}), evidence)
    assert allowed.passed
    assert "there is no champion yet" in allowed.reason


def test_a_vanished_champion_fails_even_where_none_is_needed():
    lenient = VERSUS.model_copy(update={"without_champion": "pass"})
    assert not judge(lenient, replace(ALL, champion=None)).passed
    assert not judge(lenient, champion(metrics={})).passed
    strange = replace(ALL, champion=replace(NO_CHAMPION, present=None))  # neither there nor stated to be absent
    assert not judge(lenient, strange).passed


def test_a_champion_that_does_not_fit_the_data_fails_unless_the_gate_says_otherwise():
    evidence = champion(unfit="column `plan` is gone", metrics={})
    decision = judge(VERSUS, evidence)
    assert not decision.passed
    assert "cannot be judged on this data: column `plan` is gone" in decision.reason
    assert "`unfit_champion: pass`" in decision.reason
    assert not judge(VERSUS.model_copy(update={"without_champion": "pass"}), evidence).passed
    allowed = judge(VERSUS.model_copy(update={"unfit_champion": "pass"}), evidence)
    assert allowed.passed and "column `plan` is gone" in allowed.reason
    assert judge(AUC, evidence).passed  # no other gate asks for the champion
    other_rows = champion(unfit="column `plan` is gone", dataset_digest="sha256:other")
    assert not judge(VERSUS.model_copy(update={"unfit_champion": "pass"}), other_rows).passed


def test_a_champion_without_a_name_fails():
    assert "does not say which model" in judge(VERSUS, champion(model_digest=None)).reason
    assert not judge(VERSUS, champion(model_digest=None)).passed


def test_an_evaluation_that_says_the_model_is_unfit_passes_nothing():
    evidence = own(unfit="column `plan` is gone")
    assert not judge(AUC, evidence).passed and not passed(evidence, [AUC])


@pytest.mark.parametrize(
    "change",
    [
        {"dataset_digest": "sha256:other"},
        {"split": "eval"},
        {"rows": 999},
        {"task": "regression"},
        {"label": "other"},
    ],
)
def test_a_champion_on_other_rows(change):
    decision = judge(VERSUS, champion(**change))
    assert not decision.passed
    assert "the champion was evaluated on another" in decision.reason


# Evidence of something else.


def test_an_evaluation_of_another_model():
    evidence = own(model_digest="sha256:other")
    assert [item.passed for item in decide(evidence, GATES)] == [False, True] + [False] * len(GATES)
    assert "of another model" in judge(AUC, evidence).reason


def test_an_evaluation_of_another_task():
    assert not judge(AUC, replace(ALL, task="regression")).passed


@pytest.mark.parametrize(("rows", "expected"), [(0, False), (8, False), (19, False), (20, True), (22, True)])
def test_an_evaluation_of_few_rows(rows, expected):
    evidence = replace(own(rows=rows), champion=replace(CHAMPION, rows=rows))
    assert passed(evidence) is expected
    reason = decide(evidence, GATES)[0].reason
    too_few = f"{rows} rows are too few to judge a model: expected at least 20 in test"
    assert reason == (f"{rows} rows of the test split" if expected else too_few)


@pytest.mark.parametrize(
    "infra",
    [
        Infra("sha256:other", INFRA.checks),
        Infra(MODEL, ()),
        Infra(MODEL, (Check("loads", True, ""), Check("answers", False, "503"))),
    ],
)
def test_a_server_that_did_not_answer_for_this_model(infra):
    assert not passed(replace(ALL, infra=infra))


# Slices and groups.


def test_a_slice_below_the_bound_fails_and_is_named():
    decision = judge(Gate(metric="auc", at_least=0.72, slice="region"))
    assert not decision.passed
    assert decision.reason == "out of bounds: south 0.71"


def test_slices_that_were_not_measured():
    assert judge(SLICE, own(slices=())).reason == "no slice by region was measured"
    small = own(slices=(), unjudged=(Unjudged("region", 3, 12, 20),))
    assert "each of its values has fewer than 20 rows" in judge(SLICE, small).reason
    assert not judge(SLICE, small).passed
    assert not judge(SLICE, own(unjudged=(Unjudged("region", 0, 0, 20, left_out=5),))).passed
    undefined = (*OWN.slices, Slice("region", "west", 30, {}, {"auc": "all rows are of class 0"}))
    decision = judge(SLICE, own(slices=undefined))
    assert not decision.passed
    assert decision.reason == "slice region=west has no auc: all rows are of class 0"


def test_small_values_are_mentioned():
    evidence = own(unjudged=(Unjudged("region", 3, 12, 20, values=("east", "west")),))
    decision = judge(SLICE, evidence)
    assert decision.passed
    assert decision.reason.endswith("; not judged, fewer than 20 rows: east, west and 1 more")
    assert not judge(SLICE.model_copy(update={"small_groups": "fail"}), evidence).passed
    assert judge(SLICE.model_copy(update={"small_groups": "fail"})).passed
    unnamed = own(unjudged=(Unjudged("region", 3, 12, 20),))
    assert judge(SLICE, unnamed).reason.endswith("fewer than 20 rows: 3")


def test_groups_that_are_too_small_are_named():
    (item,) = OWN.fairness
    evidence = own(fairness=(replace(item, small_groups=("x", "y")),))
    decision = judge(FAIR, evidence)
    assert decision.passed
    assert decision.reason.endswith("; not judged, fewer than 20 rows: x, y")
    strict = judge(FAIR.model_copy(update={"small_groups": "fail"}), evidence)
    assert not strict.passed and "`small_groups: fail`" in strict.reason


def test_fairness_that_was_not_measured():
    assert not judge(FAIR, own(fairness=())).passed
    undefined = Gate(fairness="equal_opportunity_difference", by="gender", at_most=1)
    assert not judge(undefined).passed
    assert "f has no positive row" in judge(undefined).reason


# Errors.


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), KeyError("x"), RecursionError()])
def test_an_exception_in_a_gate(monkeypatch, error):
    def broken(gate, evidence):
        raise error

    monkeypatch.setattr(conditions, "CONDITIONS", {**conditions.CONDITIONS, "absolute": broken})
    decision = judge(AUC)
    assert not decision.passed
    assert decision.reason.startswith(f"the gate could not be evaluated: {type(error).__name__}")


def test_a_form_that_nobody_implements(monkeypatch):
    monkeypatch.setattr(conditions, "CONDITIONS", {})
    assert not judge(AUC).passed


def test_a_condition_that_answers_something_else_than_true(monkeypatch):
    def vague(gate, evidence):
        return conditions.Outcome("yes", "", {})

    monkeypatch.setattr(conditions, "CONDITIONS", {"absolute": vague})
    assert not judge(AUC).passed


# At the bound, and on either side.


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        (Gate(metric="auc", at_least=0.8), True),
        (Gate(metric="auc", at_least=0.8000001), False),
        (Gate(metric="log_loss", at_most=0.4), True),
        (Gate(metric="log_loss", at_most=0.3999999), False),
        (Gate(metric="auc", at_most=0.8), True),
        (Gate(metric="auc", at_most=0.79), False),
        (FAIR, True),
        (Gate(fairness="demographic_parity_difference", by="gender", at_most=0.0999), False),
    ],
)
def test_absolute_bounds(gate, expected):
    assert judge(gate).passed is expected


@pytest.mark.parametrize(
    ("metric", "value", "other", "margin", "expected"),
    [
        ("auc", 0.75, 0.8, {"no_worse_than": 0.05}, True),  # 0.8 - 0.05 is a little more than 0.75 in floats
        ("auc", 0.7499, 0.8, {"no_worse_than": 0.05}, False),
        ("auc", 0.8, 0.8, {"no_worse_than": 0}, True),
        ("auc", 0.8, 0.8, {"better_by": 0}, True),
        ("auc", 0.85, 0.8, {"better_by": 0.05}, True),
        ("auc", 0.84, 0.8, {"better_by": 0.05}, False),
        ("log_loss", 0.42, 0.4, {"no_worse_than": 0.02}, True),
        ("log_loss", 0.43, 0.4, {"no_worse_than": 0.02}, False),
        ("log_loss", 0.3, 0.4, {"better_by": 0.1}, True),
        ("log_loss", 0.31, 0.4, {"better_by": 0.1}, False),
        ("log_loss", 0.5, 0.4, {"better_by": 0.1}, False),
    ],
)
@pytest.mark.parametrize("versus", ["champion", "baseline"])
def test_margins_follow_the_metrics_direction(versus, metric, value, other, margin, expected):
    evidence = replace(
        ALL,
        evaluation=replace(OWN, metrics={metric: value}, baseline={metric: other}),
        champion=replace(CHAMPION, metrics={metric: other}),
    )
    assert judge(Gate(metric=metric, versus=versus, **margin), evidence).passed is expected
