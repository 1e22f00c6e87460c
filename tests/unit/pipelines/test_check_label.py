"""`headrace validate`: the label, as far as the first rows tell."""

from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines import head
from headrace.pipelines.check import check_spec

SPEC = """name: m
task: classification
data:
  source: t.csv
  id: id
  label: y
"""


def check(folder: Path, labels: list[str], spec: str = SPEC) -> None:
    (folder / "t.csv").write_text("id,x,y\n" + "".join(f"r{n},{n}.5,{label}\n" for n, label in enumerate(labels)))
    (folder / "spec.yaml").write_text(spec)
    check_spec(folder / "spec.yaml")


def refused(folder: Path, labels: list[str], spec: str = SPEC) -> str:
    with pytest.raises(HeadraceError) as caught:
        check(folder, labels, spec)
    return str(caught.value).removeprefix(f"{folder / 'spec.yaml'}:").replace(f"{folder / 't.csv'}", "t.csv")


def test_rows_without_a_label(tmp_path):
    assert refused(tmp_path, ["a", "b", "", "a", ""] * 10) == (
        "6: data.label: t.csv: expected a label in every row. Received: 20 rows without `y`, first row 3; "
        "leave such rows out of the source"
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_label_in_no_row(task, tmp_path):
    assert "expected a label in every row. Received: 60 rows without `y`" in refused(
        tmp_path, [""] * 60, SPEC.replace("classification", task)
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * 60, "expected a label of at least two values. Received: `y` is a in every row"),
        ([f"{n}.25" for n in range(60)], "`y` has quantities such as 0.25; did you mean `task: regression`?"),
        (
            ["a", *["b", "c"] * 30],
            "expected every class in every split. Received: 'a' in 1 row; such a class is too rare",
        ),
        (["0", "0", *["1"] * 30], "Received: 0 in 2 rows; such a class is too rare to learn or to judge"),
        ([f"c{n}" for n in range(101)], "expected at most 100 classes. Received: `y` has 101 different values."),
    ],
)
def test_a_label_that_is_no_class(labels, message, tmp_path):
    assert message in refused(tmp_path, labels)


def test_of_the_first_rows_only_what_holds_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(head, "FIRST_ROWS", 50)
    check(tmp_path, ["a"] * 60 + ["b"] * 60)
    check(tmp_path, ["a"] * 60 + ["b"] * 60, SPEC + "  positive: b\n")
    check(tmp_path, ["1.5", "2.5"] * 30 + ["none"] * 60)
    assert "t.csv, first 50 rows: expected a label in every row. Received: 1 row without `y`" in refused(
        tmp_path, ["", *["a", "b"] * 60]
    )
    assert refused(tmp_path, ["a", "b"] * 60, SPEC + "  positive: c\n") == (
        "7: data.positive: expected one of the classes a, b. Received: c"
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["0", "1"], "7: data.positive: expected one of the classes 0, 1. Received: yes"),
        (["a", "b", "c"], "7: data.positive: expected only with two classes. Received: 3 classes"),
    ],
)
def test_a_positive_class_of_none(labels, message, tmp_path):
    assert refused(tmp_path, labels * 30, SPEC + '  positive: "yes"\n') == message


def test_a_computed_label(tmp_path):
    spec = SPEC.replace("label: y", "label: {name: z, expression: x > 5}")
    check(tmp_path, ["a"] * 60, spec)
    assert "6: data.label: t.csv: expected a label of at least two values. Received: `z` is false in every row" in (
        refused(tmp_path, ["a"] * 60, spec.replace("x > 5", "x > 500"))
    )
    assert "6: data.label: expected a new name for the computed label. Received: `y`, a column" in (
        refused(tmp_path, ["a"] * 60, spec.replace("name: z", "name: y"))
    )


def test_a_label_that_is_joined_is_not_known_yet(tmp_path):
    (tmp_path / "churned.csv").write_text("id,left\n" + "".join(f"r{n},{n % 2}\n" for n in range(60)))
    joined = SPEC.replace("label: y", "label: left\n  join: [{source: churned.csv, on: id}]")
    check(tmp_path, ["a"] * 60, joined)
    check(tmp_path, ["a"] * 60, joined.replace("label: left", "label: {name: z, expression: left > 0}"))


def test_rows_that_are_left_out_need_no_label(tmp_path):
    (tmp_path / "kept.csv").write_text("id,age\n" + "".join(f"r{n},{n}\n" for n in range(2, 60)))
    labels = ["", "", *["a", "b"] * 30]
    check(tmp_path, labels, SPEC + "  join: [{source: kept.csv, on: id, how: inner}]\n")
    check(tmp_path, labels, SPEC + "  watermark: {column: x}\n")
    assert "Received: 2 rows without" in refused(tmp_path, labels, SPEC + "  join: [{source: kept.csv, on: id}]\n")
