"""`headrace schema` on files; what needs runs is in tests/e2e."""

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import read_schema_file
from headrace.pipelines.commands.schema import command

SPEC = "name: a\ntask: classification\ndata: {source: a.csv, label: churned}\n"
SCHEMA = """\
# ours
feature { name: "plan" type: BYTES domain: "plan" }  # what they pay for
string_domain { name: "plan" value: "basic" value: "pro" }
feature { name: "age" type: INT }
feature { name: "churned" type: BYTES }
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "schema.pbtxt").write_text(SCHEMA)
    return tmp_path / "spec.yaml"


def run(*arguments: str):
    return CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=True)


def text(spec) -> str:
    return (spec.parent / "schema.pbtxt").read_text()


def test_edit_writes_what_is_asked_and_keeps_the_rest(spec):
    result = run("edit", spec, "age", "--required", "--range", "0:120", "--drift", "0.1", "--skew", "0.2")
    assert result.exit_code == 0, result.output
    assert "~ age: present: nothing asked -> always\n~ age: nothing asked -> 0:120\n" in result.output
    assert text(spec).startswith(SCHEMA.partition('feature { name: "age"')[0])
    age = read_schema_file(spec.parent / "schema.pbtxt").feature[1]
    assert (age.int_domain.max, age.presence.min_fraction) == (120, 1)
    assert run("edit", spec.parent, "churned", "--not-at-serving").exit_code == 0
    assert (
        run("edit", spec, "plan", "--domain", "a, b", "--add-value", "c,d", "--min-domain-mass", "0.99").exit_code == 0
    )
    assert list(read_schema_file(spec.parent / "schema.pbtxt").string_domain[0].value) == ["a", "b", "c,d"]


def test_an_edit_that_changes_nothing_writes_nothing(spec):
    before = (spec.parent / "schema.pbtxt").stat().st_mtime_ns
    assert "nothing changed" in run("edit", spec, "plan", "--domain", "basic,pro").output
    assert (spec.parent / "schema.pbtxt").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected something to set"),
        (("--range", "12"), "--range: expected LOW:HIGH"),
        (("--range", "9:1"), "expected the lower bound first. Received: 9:1"),
        (("--range", "a:b"), "--range: expected LOW:HIGH"),
        (("--drift", "2"), "--drift: expected a threshold above 0 and up to 1, or `off`. Received: 2"),
        (("--skew", "nan"), "--skew: expected a threshold"),
        (("--required", "--presence", "0.5"), "Received: two of them"),
    ],
)
def test_options_that_mean_nothing_are_refused(spec, arguments, message):
    result = run("edit", spec, "age", *arguments)
    assert result.exit_code == 2 and message in result.output
    assert text(spec) == SCHEMA


def test_an_unknown_feature_gets_a_hint_and_leaves_the_file(spec):
    result = run("edit", spec, "aeg", "--required")
    assert isinstance(result.exception, HeadraceError) and "did you mean `age`?" in str(result.exception)
    assert text(spec) == SCHEMA


def test_show_and_diff(spec, tmp_path):
    assert "plan     BYTES  basic, pro" in run("show", spec).output
    other = tmp_path / "other.pbtxt"
    other.write_text(SCHEMA.replace('value: "pro"', 'value: "plus"'))
    result = run("diff", spec, other)
    assert result.exit_code == 1 and result.output == "~ plan: values added: plus; values removed: pro\n"
    same = run("diff", spec, spec)
    assert same.exit_code == 0 and "no difference" in same.output
    assert run("diff", spec).exit_code == 2


def test_without_a_schema_the_message_says_how_to_get_one(spec):
    (spec.parent / "schema.pbtxt").unlink()
    error = run("edit", spec, "age", "--required").exception
    assert "headrace schema accept" in str(error) and "headrace schema infer" in str(error)


def test_nothing_there_is_overwritten_by_inference(spec):
    error = run("infer", spec).exception
    assert "expected no schema there yet. Received: one; --force replaces it" in str(error)
