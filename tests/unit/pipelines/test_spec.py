"""The spec and its YAML: every mistake with its line, and the nearest right word."""

from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.spec import Spec, SpecError, load_spec
from headrace.pipelines.yaml_lines import read_yaml

MINIMAL = "name: churn\ntask: classification\ndata:\n  source: t.csv\n  label: y\n"


def errors(text: str, folder: Path) -> list[str]:
    file = folder / "spec.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    return [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]


def test_five_lines_are_a_spec(tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(MINIMAL)
    spec = load_spec(file)
    assert (spec.name, spec.endpoint, spec.data.label.name, spec.data.label.expression) == ("churn", "churn", "y", None)
    file.write_text(MINIMAL + "deploy: {endpoint: other}\n")
    assert load_spec(file).endpoint == "other"


@pytest.mark.parametrize("name", ["churn", "c", "a-1", "a" * 63])
def test_names_that_clouds_take(name):
    assert Spec(name=name, task="regression", data={"source": "t", "label": "y"}).name == name


@pytest.mark.parametrize("name", ["Churn", "1a", "a_b", "a-", "", "a" * 64, "ä"])
def test_names_that_they_do_not(name, tmp_path):
    (message,) = errors(MINIMAL.replace("churn", f'"{name}"'), tmp_path)
    assert message.startswith("1: name: expected lower-case letters, digits and hyphens")
    assert message.endswith(f"Received: {name!r}")


def test_each_mistake_has_a_line(tmp_path):
    text = MINIMAL + "  split:\n    tst: 0.2\nevaluate:\n  slice: [a]\n  gates:\n    - {metric: auc}\n"
    assert errors(text, tmp_path) == [
        "7: unknown field `tst`; did you mean `test`?",
        "11: evaluate.gates.0: expected exactly one of `at_least` or `at_most` in a gate. Received: metric: auc",
        "9: unknown field `slice`; did you mean `slices`?",
    ]


def test_an_unknown_field_without_a_near_one_lists_what_there_is(tmp_path):
    (message,) = errors(MINIMAL + "deploy: {zzz: 1}\n", tmp_path)
    assert message == "6: unknown field `zzz`; the fields here are endpoint, strategy, steps, canary, approval"


@pytest.mark.parametrize("indented", ["train:\n\tmodel: gbdt\n", "\ttrain: 3\n"])
def test_a_tab_is_called_a_tab(indented, tmp_path):
    file = tmp_path / "spec.yaml"
    file.write_text(MINIMAL + indented)
    with pytest.raises(HeadraceError, match=r":[67]: expected spaces before a field. Received: a tab; indent with"):
        load_spec(file)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("  positive: 1\n", "6: data.positive: expected a text. Received: 1; if it is a name, put it in quotes"),
        ("  id: yes\n", "6: data.id: expected a text. Received: True; if it is a name, put it in quotes"),
        ("1: 2\n", "6: expected a text as the name of a field. Received: 1; put it in quotes"),
        ("train:\n", "6: train: expected a mapping of fields. Received: nothing"),
    ],
)
def test_what_yaml_takes_for_no_text(field, message, tmp_path):
    assert errors(MINIMAL + field, tmp_path) == [message]


@pytest.mark.parametrize(("label", "shown"), [("1", "1"), ("2024-01-31", "2024-01-31"), ("on", "True")])
def test_a_label_that_yaml_takes_for_no_text(label, shown, tmp_path):
    (message,) = errors(MINIMAL.replace("label: y", f"label: {label}"), tmp_path)
    assert message == f"5: data.label: expected a text. Received: {shown}; if it is a name, put it in quotes"


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            "train: {threshold: 2}",
            "train.threshold: expected one of value, f1, youden, or a number from 0 to 1. Received: 2",
        ),
        (
            "train: {class_weight: balancd}",
            "train.class_weight: expected `balanced`, or a mapping of names, each with a number, 0 or more. "
            "Received: 'balancd'; did you mean `balanced`?",
        ),
        ("features: {encode: {city: 7}}", "features.encode.city: expected a text, a mapping, or a list. Received: 7"),
        ("evaluate: {slices: [1]}", "evaluate.slices.0: expected a text, or a list of texts. Received: 1"),
        (
            "evaluate: {fairness: {by: [[a]]}}",
            "evaluate.fairness.by.0: expected a text, or a list of 2 to 3 texts. Received: ['a']",
        ),
        (
            "features: {missing_indicators: 3}",
            "features.missing_indicators: expected true or false, or a list of texts. Received: 3",
        ),
    ],
)
def test_a_mistake_in_a_field_with_alternatives_is_told_once_with_all_of_them(field, message, tmp_path):
    assert errors(MINIMAL + field + "\n", tmp_path) == [f"6: {message}"]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("train: {class_weight: {a: many}}", "train.class_weight.a: expected a number, 0 or more. Received: 'many'"),
        ("train: {class_weight: {a: -1}}", "train.class_weight.a: expected greater than or equal to 0. Received: -1"),
        ("features: {missing_indicators: [[a]]}", "features.missing_indicators.0: expected a text. Received: ['a']"),
    ],
)
def test_a_mistake_within_one_of_the_alternatives_is_told_where_it_stands(field, message, tmp_path):
    assert errors(MINIMAL + field + "\n", tmp_path) == [f"6: {message}"]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("train: {seed: abc}", "train.seed: expected a whole number. Received: 'abc'"),
        ("train: {gbdt: {num_leaves: many}}", "train.gbdt.num_leaves: expected a whole number. Received: 'many'"),
        ("features: {auto: maybe}", "features.auto: expected true or false. Received: 'maybe'"),
        ("features: {drop: a}", "features.drop: expected a list of texts. Received: 'a'"),
        ("  join: [{source: a, on: []}]", "data.join.0.on: expected at least 1 item. Received: []"),
        (
            "train: {parameters: {1: 2}}",
            "train.parameters.1: expected a text. Received: 1; if it is a name, put it in quotes",
        ),
        (
            "  split: {by: column, column: c, values: {trian: [a]}}",
            "data.split.values.trian: expected 'train', 'eval' or 'test'. Received: 'trian'; did you mean `train`?",
        ),
    ],
)
def test_what_a_field_should_be_is_told_in_our_words(field, message, tmp_path):
    assert errors(MINIMAL + field + "\n", tmp_path) == [f"6: {message}"]


def test_the_nearest_word_is_told_of_a_value(tmp_path):
    (message,) = errors(MINIMAL.replace("classification", "clasification"), tmp_path)
    assert message == (
        "2: task: expected 'classification', 'regression' or 'image_classification'. Received: 'clasification'; "
        "did you mean `classification`?"
    )


def test_a_label_of_several_names(tmp_path):
    (message,) = errors(MINIMAL.replace("label: y", "label: [a, b]"), tmp_path)
    assert message == "5: data.label: expected a text. Received: ['a', 'b']"


def test_a_section_that_is_none(tmp_path):
    (message,) = errors(MINIMAL + "features: [a]\n", tmp_path)
    assert message == "6: features: expected a mapping of fields. Received: ['a']"


def test_a_long_value_is_shortened(tmp_path):
    (message,) = errors(MINIMAL.replace("classification", "x" * 100), tmp_path)
    assert len(message) < 150
    assert message.endswith("...")


def test_gates_of_the_other_task_are_found_where_they_stand(tmp_path):
    gates = "evaluate:\n  gates:\n    - {metric: r2, at_least: 0.1}\n    - {metric: auc, at_least: 0.1}\n    - {metric: mae, at_most: 1}\n"
    first, second = errors(MINIMAL + gates, tmp_path)
    assert first.startswith("8: evaluate.gates.0: expected a metric of classification. Received: r2; known are auc, ")
    assert second.startswith("10: evaluate.gates.2: expected a metric of classification. Received: mae; ")


def test_lines_of_nested_fields(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("a:\n  b:\n    - 1\n    - c: 2\n      d: 3\ne: 4\n")
    found = read_yaml(file)
    assert found.value == {"a": {"b": [1, {"c": 2, "d": 3}]}, "e": 4}
    assert [found.line(p) for p in (("a",), ("a", "b"), ("a", "b", 1), ("a", "b", 1, "d"), ("e",))] == [1, 2, 4, 5, 6]
    assert found.line(("a", "b", 1, "nope", 3)) == 4
    assert found.line(("nope",)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": expected YAML. Received: an empty file"),
        (b"a: 1\na: 2\n", ":2: expected each field once. Received: `a` again, first on line 1"),
        (b"a:\n  {{b}}: 1\n", ":2: expected a text as the name of a field. Received: a mapping"),
        (b"? [a, b]\n: 1\n", ":1: expected a text as the name of a field. Received: a list"),
        (
            b"a: !!python/object/apply:os.system [ls]\n",
            ":1: expected YAML. Received: could not determine a constructor",
        ),
        (b"a: *b\n", ":1: expected YAML. Received: found undefined alias"),
        (b"a: \xff\n", ": expected UTF-8 text. Received: "),
        (b"a: \x00\n", ": expected YAML. Received: "),
        (b"a: 1\n---\nb: 2\n", ":3: expected one YAML document. Received: a second one"),
    ],
)
def test_what_is_not_plain_yaml(content, message, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(HeadraceError) as caught:
        read_yaml(file)
    assert str(caught.value).startswith(f"{file}{message}")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(HeadraceError, match="expected a file. Received: no such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(HeadraceError, match="expected a file. Received: a folder"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]\n",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"b{i}: &b{i} [{','.join(['*a' if i == 0 else f'*b{i - 1}'] * 9)}]\n" for i in range(9)),
    ],
    ids=["recursive", "exploding"],
)
def test_aliases_that_make_a_short_file_endless_are_refused(tmp_path, text):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(HeadraceError, match="Received: more"):
        load_spec(tmp_path / "spec.yaml")
