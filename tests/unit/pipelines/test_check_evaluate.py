"""`headrace validate` on fairness, value and the threshold: what does not fit is told before a run, with its line."""

from pathlib import Path

import pytest
import yaml

from headrace.pipelines.check import check_spec
from headrace.pipelines.spec import Spec, SpecError

ROWS = "key,amount,plan,stays\n" + "".join(f"{i},{i % 7},plan{i % 3},{'yes' if i % 2 else 'no'}\n" for i in range(60))


def check(folder: Path, evaluate: str, train: str = "{}", task: str = "classification", label: str = "stays") -> Spec:
    (folder / "rows.csv").write_text(ROWS)
    spec = folder / "spec.yaml"
    head = f"name: churn\ntask: {task}\ndata: {{source: rows.csv, label: {label}, id: key}}\n"
    spec.write_text(f"{head}train: {train}\nevaluate: {evaluate}\n")
    return check_spec(spec)[0]


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        ("{fairness: {by: [plans]}}", ":5: evaluate.fairness.by.0: expected a column of the source. Received: `plans`; did you mean `plan`?"),
        ("{fairness: {by: [plan, [plan, amont]]}}", "evaluate.fairness.by.1: expected a column of the source. Received: `amont`"),
        ("{fairness: {by: []}}", "evaluate.fairness.by"),
        ("{fairness: {by: [[plan]]}}", "evaluate.fairness.by"),
        ("{value: {true_positive: amont}}", ":5: evaluate.value.true_positive: expected a column of the source. Received: `amont`; did you mean `amount`?"),
        ("{value: {true_positive: plan}}", ":5: evaluate.value.true_positive: expected a column of numbers. Received: `plan`, text"),
        ("{value: {true_positive: {times: 6}}}", "expected `column` beside `times`. Received: times: 6 alone"),
        ("{value: {true_positive: 5, false_negative: 5}}", "expected gains that depend on the decision"),
        ("{value: {true_positive: .nan}}", "evaluate.value.true_positive"),
        ("{value: {true_positives: 5}}", "did you mean `true_positive`?"),
        ("{weight: amont}", ":5: evaluate.weight: expected a column of the source. Received: `amont`; did you mean `amount`?"),
        ("{weight: plan}", ":5: evaluate.weight: expected a column of numbers. Received: `plan`, text"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, evaluate, message):
    with pytest.raises(SpecError) as raised:
        check(tmp_path, evaluate)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("{threshold: value}", ":4: train.threshold: expected, with threshold: value, what decisions bring: a section evaluate.value. Received: none"),
        ("{threshold: 1.5}", "train.threshold"),
        ("{threshold: best}", "train.threshold"),
    ],
)  # fmt: skip
def test_a_threshold_that_cannot_be(tmp_path, train, message):
    with pytest.raises(SpecError) as raised:
        check(tmp_path, "{}", train)
    assert message in str(raised.value)


def test_a_regression_has_neither(tmp_path):
    with pytest.raises(SpecError) as raised:
        check(tmp_path, "{value: {true_positive: 5}}", "{threshold: f1}", "regression", "amount")
    text = str(raised.value)
    assert (
        "evaluate.value: expected gains of decisions only in a classification. Received: them in a regression" in text
    )
    assert "train.threshold: expected a threshold only in a classification of two classes" in text


def test_what_fits_passes_and_the_pipeline_hands_the_gains_to_training(tmp_path):
    from headrace.pipelines.compile import training_ir

    value = "{true_positive: {column: amount, times: 6, plus: -5}, false_positive: -5, currency: USD}"
    evaluate = f"{{fairness: {{by: [plan, [plan, amount]], least_rows: 30}}, value: {value}}}"
    spec = check(tmp_path, evaluate, "{threshold: value}")
    assert spec.evaluate.fairness_columns == ["plan", ("plan", "amount")] and spec.evaluate.least_rows_of_groups == 30
    assert spec.evaluate.value.gains.words["true_positive"] == "6 × amount - 5"
    tasks = yaml.safe_load(training_ir(spec, ""))["root"]["dag"]["tasks"]
    given = tasks["train"]["inputs"]["parameters"]["value"]["runtimeValue"]["constant"]
    assert given["true_positive"] == {"column": "amount", "times": 6.0, "plus": -5.0} and given["currency"] == "USD"
    other = check(tmp_path, evaluate, "{threshold: f1}")
    assert (
        "value" not in yaml.safe_load(training_ir(other, ""))["root"]["dag"]["tasks"]["train"]["inputs"]["parameters"]
    )


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ('{metric: recall, class: "3", at_least: 0.5}', "evaluate.gates.0.class: expected a class of the label: no, yes. Received: 3"),
        ("{metric: auc, at_least: 1.5}", "evaluate.gates.0.at_least: expected 1 or less, as auc is never more. Received: 1.5"),
        ("{metric: log_loss, at_most: -0.1}", "evaluate.gates.0.at_most: expected 0 or more, as log_loss is never less. Received: -0.1"),
        ("{fairness: demographic_parity_ratio, by: plan, at_least: 2}", "evaluate.gates.0.at_least: expected 1 or less, as demographic_parity_ratio is never more. Received: 2"),
    ],
)  # fmt: skip
def test_a_gate_that_no_model_can_pass_is_refused(tmp_path, gate, message):
    with pytest.raises(SpecError) as raised:
        check(tmp_path, f"{{gates: [{gate}]}}")
    assert str(raised.value) == f"{tmp_path / 'spec.yaml'}:5: {message}"


@pytest.mark.parametrize(
    "gate",
    [
        '{metric: recall, class: "yes", at_least: 1}',
        "{metric: top_decile_lift, at_least: 3}",
        "{metric: log_loss, at_most: 3}",
        "{metric: auc, at_least: 1}",
    ],
)
def test_a_gate_that_a_model_may_pass_is_not(tmp_path, gate):
    check(tmp_path, f"{{gates: [{gate}]}}")


def test_an_error_of_numbers_is_at_most_what_it_likes(tmp_path):
    check(
        tmp_path,
        "{gates: [{metric: rmse, at_most: 5}, {metric: bias, at_most: -1}]}",
        task="regression",
        label="amount",
    )
