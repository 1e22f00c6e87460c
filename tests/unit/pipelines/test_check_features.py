"""`headrace validate` on the features section: a mistake is told before a run, with the line where it stands."""

from pathlib import Path

import pytest

from headrace.pipelines.check import check_spec
from headrace.pipelines.spec import SpecError

ROWS = "".join(
    f"{i},{i % 7},plan{i % 3},2024-01-{1 + i % 28:02},note number {i} is long,{i % 2},{1 + i % 4}\n" for i in range(60)
)
HEAD = "key,amount,plan,since,note,churned,weight\n"


def check(folder: Path, features: str, more: str = "") -> None:
    (folder / "rows.csv").write_text(HEAD + ROWS)
    spec = folder / "spec.yaml"
    spec.write_text(
        "name: churn\ntask: classification\ndata: {source: rows.csv, label: churned, id: key}\n"
        f"features:\n{features}{more}"
    )
    check_spec(spec)


def mistakes(folder: Path, features: str, more: str = "") -> str:
    with pytest.raises(SpecError) as raised:
        check(folder, features, more)
    return str(raised.value)


def test_a_section_with_everything_passes(tmp_path):
    features = """
  construct: {double: amount * 2, again: double + 1, loud: upper(plan)}
  text: {note: {ngrams: [1, 2]}}
  encode:
    plan: [one_hot, target]
    amount: [[log, standardize], {bucket: 5}]
    since: [age, month, weekday]
    loud: one_hot
    again: min_max
  missing_indicators: [amount, double]
  select: {variance: 0, importance: 5}
  reduce: {pca: 2}
  auto: true
"""
    check(tmp_path, features)


def test_auto_alone(tmp_path):
    (tmp_path / "rows.csv").write_text(HEAD + ROWS)
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: churn\ntask: classification\ndata: {source: rows.csv, label: churned}\nfeatures: auto\n")
    assert check_spec(spec)[0].features.auto


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("  encode: {plam: one_hot}\n", ":5: features.encode.plam: expected a column of the source. Received: `plam`; did you mean `plan`?"),
        ("  encode:\n    amount: one_hot\n", ":6: features.encode.amount: expected a category or a text for the step `one_hot`. Received: a number"),
        ("  encode:\n    plan: onehot\n", ":6: features.encode.plan: expected one of the steps"),
        ("  encode: {since: log, plan: month}\n", "features.encode.plan: expected a date for the step `month`"),
        ("  encode: {churned: target}\n", "expected a column that may be learned from. Received: `churned`, the label"),
        ("  encode: {plan: target}\n  drop: [plan]\n", "Received: `plan`, which features.drop names"),
        ("  text: [amount]\n", "features.text.amount: expected a column of texts. Received: a column of type number"),
        ("  text: [nota]\n", "features.text.nota: expected a column of the source. Received: `nota`; did you mean `note`?"),
        ("  text: [note]\n  encode: {note: {hash: 8}}\n", "expected a column under `text` or under `encode`. Received: `note` under both"),
        ("  missing_indicators: [amont]\n", "features.missing_indicators.0: expected a column of the source"),
        ("  construct: {loud: amount > 1}\n  encode: {loud: one_hot}\n", "features.encode.loud: expected a category"),
        ("  construct: {a: b + 1, b: a + 1}\n", "features.construct."),
        ("  construct: {a: churned * 2}\n", "features.construct.a: expected a column in `churned * 2`. Received: `churned`"),
        ("  select: {variance: -1}\n", "features.select.variance: expected greater than or equal to 0. Received: -1"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, features, message):
    assert message in mistakes(tmp_path, features)


def test_a_weight_is_no_feature(tmp_path):
    more = "train: {sample_weight: weight}\n"
    check(tmp_path, "  drop: []\n", more)
    assert "Received: `weight`, a weight" in mistakes(tmp_path, "  encode: {weight: log}\n", more)
