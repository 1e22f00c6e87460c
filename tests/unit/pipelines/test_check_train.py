"""`headrace validate` on the train section: columns and classes that are not there are told before a run."""

from pathlib import Path

import pytest

from headrace.pipelines.check import check_spec
from headrace.pipelines.spec import SpecError

ROWS = "key,amount,plan,stays\n" + "".join(f"{i},{i % 7},plan{i % 3},{'yes' if i % 2 else 'no'}\n" for i in range(60))


def check(folder: Path, train: str, features: str = "{}", rows: str = ROWS) -> None:
    (folder / "rows.csv").write_text(rows)
    spec = folder / "spec.yaml"
    head = "name: churn\ntask: classification\ndata: {source: rows.csv, label: stays, id: key}\n"
    spec.write_text(f"{head}features: {features}\ntrain: {train}\n")
    check_spec(spec)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("{gbdt: {monotone: {amout: 1}}}", ":5: train.gbdt.monotone.amout: expected a feature. Received: `amout`; did you mean `amount`?"),
        ("{gbdt: {monotone: {plan: 1}}}", "train.gbdt.monotone.plan: expected a number. Received: `plan`, a category"),
        ("{sample_weight: plan}", ":5: train.sample_weight: expected a column of numbers. Received: `plan`, texts"),
        ("{class_weight: {maybe: 2}}", ":5: train.class_weight.maybe: expected a class of `stays`: no, yes. Received: maybe"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, train, message):
    with pytest.raises(SpecError) as raised:
        check(tmp_path, train)
    assert message in str(raised.value)


def test_what_is_there_passes(tmp_path):
    check(
        tmp_path,
        '{gbdt: {monotone: {amount: 1, double: -1}}, class_weight: {"yes": 2}}',
        "{construct: {double: amount * 2}}",
    )


def test_a_class_may_begin_after_the_first_rows(tmp_path):
    many = ROWS + "".join(f"{i},1,plan0,no\n" for i in range(60, 10_000)) + "10000,1,plan0,late\n"
    check(tmp_path, "{class_weight: {late: 2}}", rows=many)


def test_a_feature_under_another_name_is_left_to_training(tmp_path):
    check(tmp_path, '{gbdt: {monotone: {"log(amount)": 1}}}', "{encode: {amount: [keep, log]}}")
