"""A gate has exactly one form and one bound, of a metric that is known and has a direction."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.gate.spec import Gate, default_gates


@pytest.mark.parametrize(
    ("given", "form", "text"),
    [
        ({"metric": "auc", "at_least": 0.75}, "absolute", "auc at least 0.75"),
        ({"metric": "rmse", "at_most": 3, "slice": "region"}, "slice", "rmse at most 3 for each region"),
        (
            {"metric": "auc", "versus": "champion", "no_worse_than": 0.002},
            "versus",
            "auc versus champion: no worse than 0.002",
        ),
        (
            {"metric": "log_loss", "versus": "baseline", "better_by": 0},
            "versus",
            "log_loss versus baseline: better by 0",
        ),
        (
            {"fairness": "demographic_parity_ratio", "by": "gender", "at_least": 0.8},
            "fairness",
            "demographic_parity_ratio by gender: at least 0.8",
        ),
        (
            {"fairness": "demographic_parity_ratio", "by": ["gender", "region"], "at_least": 0.8, "confidence": 0.9},
            "fairness",
            "demographic_parity_ratio by gender × region: at least 0.8, 90 % sure",
        ),
        ({"metric": "auc", "at_least": 0.75, "confidence": 0.95}, "absolute", "auc at least 0.75, 95 % sure"),
        (
            {"metric": "auc", "versus": "champion", "better_by": 0, "confidence": 0.975, "slice": ["plan", "region"]},
            "versus_slice",
            "auc versus champion: better by 0 for each plan × region, 97.5 % sure",
        ),
        ({"value": "total", "at_least": 1000}, "value", "value in total at least 1000"),
        (
            {"value": "per_row", "versus": "none", "better_by": 0.5},
            "versus_value",
            "value per row versus acting on none: better by 0.5",
        ),
        ({"infra": "latency_p99_ms", "at_most": 5}, "infra", "latency_p99_ms at most 5"),
        ({"anomalies": "error", "at_most": 0}, "anomalies", "errors in the data at most 0"),
        ({"anomalies": "warning", "at_most": 2}, "anomalies", "errors and warnings in the data at most 2"),
    ],
)
def test_forms(given, form, text):
    gate = Gate(**given)
    assert (gate.form, gate.text) == (form, text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "expected exactly one of `metric`, `fairness`, `value`, `infra`, `anomalies` in a gate. Received: {}"),
        ({"at_least": 1}, "`anomalies` in a gate. Received: at_least: 1.0"),
        (
            {"metric": "auc", "fairness": "demographic_parity_ratio", "by": "g", "at_least": 1},
            "expected exactly one of `metric`, `fairness`",
        ),
        ({"metric": "acuracy", "at_least": 1}, "Received: acuracy; did you mean `accuracy`?"),
        (
            {"metric": "auc"},
            "expected exactly one of `at_least` or `at_most` in a gate. Received: metric: auc",
        ),
        ({"metric": "auc", "at_least": 0, "at_most": 1}, "expected exactly one of `at_least` or `at_most`"),
        ({"metric": "auc", "versus": "champion"}, "expected exactly one of `no_worse_than` or `better_by`"),
        (
            {"metric": "auc", "versus": "champion", "no_worse_than": 0, "better_by": 0},
            "expected exactly one of `no_worse_than` or `better_by`",
        ),
        (
            {"metric": "auc", "versus": "champion", "at_least": 1},
            "expected no `at_least` in a gate with `versus`",
        ),
        (
            {"metric": "auc", "versus": "baseline", "better_by": 0, "slice": "x"},
            "expected no `slice` in a gate versus the baseline",
        ),
        ({"metric": "auc", "better_by": 0.1}, "expected no `better_by` in a gate without `versus`"),
        (
            {"metric": "auc", "at_least": 0, "without_champion": "pass"},
            "expected no `without_champion` in a gate without `versus`",
        ),
        (
            {"metric": "auc", "versus": "baseline", "better_by": 0, "without_champion": "pass"},
            "expected no `without_champion` in a gate versus the baseline",
        ),
        ({"metric": "auc", "at_least": 0, "by": "x"}, "expected no `by` in a gate on a metric"),
        (
            {"metric": "bias", "versus": "champion", "better_by": 0},
            "expected a metric with a direction. Received: bias",
        ),
        (
            {"fairness": "demografic_parity_difference", "by": "g", "at_most": 0},
            "did you mean `demographic_parity_difference`?",
        ),
        (
            {"fairness": "demographic_parity_difference", "at_most": 0},
            "expected `by`, the column of the groups",
        ),
        (
            {"fairness": "demographic_parity_difference", "by": "g", "at_least": 0.1},
            "expected `at_most`, as demographic_parity_difference is 0 when fair",
        ),
        (
            {"fairness": "equalized_odds_ratio", "by": "g", "at_most": 0.1},
            "expected `at_least`, as equalized_odds_ratio is 1 when fair",
        ),
        ({"metric": "auc", "at_lest": 1}, "at_lest"),
        (
            {"metric": "auc", "versus": "all", "better_by": 0},
            "expected `versus` champion, baseline in a gate on a metric",
        ),
        ({"value": "total", "versus": "baseline", "better_by": 0}, "expected `versus` champion, all, none"),
        ({"value": "total", "at_least": 1, "slice": "x"}, "expected no `slice` in a gate on value"),
        ({"value": "total", "versus": "all", "better_by": 0, "without_champion": "pass"}, "versus acting on all"),
        ({"value": "sum", "at_least": 1}, "'total' or 'per_row'"),
        ({"infra": "latency_p99", "at_most": 5}, "did you mean `latency_p99_ms`?"),
        ({"infra": "bundle_mib", "at_least": 5}, "expected no `at_least` in a gate on the server"),
        ({"infra": "bundle_mib"}, "expected `at_most`, 0 or more, in a gate on the server"),
        ({"infra": "bundle_mib", "at_most": 1, "confidence": 0.9}, "expected no `confidence` in a gate on the server"),
        ({"anomalies": "error", "at_most": -1}, "expected `at_most`, 0 or more"),
        ({"metric": "auc", "at_least": 0.5, "confidence": 1}, "less than 1"),
        ({"metric": "auc", "at_least": 0.5, "confidence": 0.05}, "greater than or equal to 0.5"),
        ({"metric": "bias", "at_most": 0.5, "confidence": 0.9}, "expected a metric with a direction. Received: bias"),
        (
            {"metric": "auc", "versus": "baseline", "better_by": 0, "confidence": 0.9},
            "no `confidence` in a gate versus",
        ),
        ({"metric": "auc", "at_least": 0.5, "slice": []}, "slice"),
        ({"metric": "auc", "versus": "champion", "no_worse_than": -0.1}, "greater than or equal to 0"),
        ({"metric": "auc", "at_least": float("nan")}, "finite number"),
    ],
)
def test_refused_with_what_was_expected(given, message):
    with pytest.raises(ValidationError) as error:
        Gate(**given)
    assert message in str(error.value)


def test_no_gates_means_the_default_ones_and_an_empty_list_means_none():
    assert EvaluateSpec().gates_for("classification") == default_gates("classification")
    assert [gate.metric for gate in EvaluateSpec().gates_for("regression")] == ["r2", "r2"]
    assert EvaluateSpec(gates=[]).gates_for("regression") == []


def test_columns_of_gates_are_measured_without_being_asked_for():
    spec = EvaluateSpec(
        slices=["plan"],
        gates=[
            {"metric": "auc", "at_least": 0.5, "slice": "region"},
            {"metric": "auc", "at_least": 0.5, "slice": "plan"},
            {"fairness": "demographic_parity_difference", "by": "gender", "at_most": 0.1},
        ],
    )
    assert spec.slice_columns == ["plan", "region"]
    assert spec.fairness_columns == ["gender"]


def test_misfits_name_the_gate():
    spec = EvaluateSpec(
        gates=[
            {"metric": "rmse", "at_most": 1},
            {"fairness": "demographic_parity_difference", "by": "g", "at_most": 0.1},
        ]
    )
    assert spec.misfits("regression") == {
        1: "expected a fairness metric of regression: mae_difference, mae_ratio, bias_difference, "
        "mean_prediction_difference. Received: demographic_parity_difference"
    }
    ((gate, message),) = spec.misfits("classification").items()
    assert gate == 0
    assert message.startswith("expected a metric of classification. Received: rmse; known are auc, ")


@pytest.mark.parametrize(
    "gate",
    [
        {"metric": "auc", "at_least": 0.5, "unfit_champion": "pass"},
        {"metric": "auc", "versus": "baseline", "better_by": 0.1, "unfit_champion": "pass"},
        {"metric": "auc", "at_least": 0.5, "small_groups": "fail"},
        {"metric": "auc", "versus": "champion", "no_worse_than": 0, "small_groups": "fail"},
    ],
)
def test_what_a_gate_has_no_use_for_is_refused(gate):
    with pytest.raises(ValueError, match="expected no `(unfit_champion|small_groups)` in a gate"):
        Gate(**gate)


def test_small_groups_and_unfit_champions_where_they_belong():
    Gate(metric="auc", at_least=0.5, slice="region", small_groups="fail")
    Gate(fairness="demographic_parity_difference", by="gender", at_most=0.1, small_groups="fail")
    Gate(metric="auc", versus="champion", no_worse_than=0, unfit_champion="pass")
