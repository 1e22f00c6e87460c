"""Rules: what they mean, what is refused, and texts with an event's fields."""

import pytest

from headrace.pipelines.events.event import Event, EventError
from headrace.pipelines.events.patterns import check_text, field, filled, matches
from headrace.pipelines.events.rules import RulesError, RulesFile, load_rules

RULES = """\
rules:
  - name: new-month
    object: {match: "gs://raw/in/*.csv"}
    pipeline: churn.yaml
    parameters: {source: "{uri}", rows: 3}
  - name: beside
    object: {match: "in/**/*.csv", ignore: ["**/old/**"]}
    pipeline: spec.yaml
  - name: on-demand
    message: {source: "projects/*/subscriptions/retrain", where: {attributes.action: "retrain*", data.model: churn}}
    pipeline: /elsewhere/pipeline.yaml
  - name: nightly
    schedule: {cron: "0 3 * * 1-5", timezone: Europe/Zurich}
    pipeline: gs://pipelines/churn.yaml
"""


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    return {rule.name: rule for rule in load_rules(str(tmp_path / "rules.yaml"))}


def obj(address, **others):
    return Event("object", "e", "b", address, 5, time="2026-11-22T03:00:00+00:00", **others)


PATTERNS = [
    ("*.csv", "a.csv", True), ("*.csv", "a/b.csv", False), ("**.csv", "a/b.csv", True), ("a?c", "abc", True),
    ("a?c", "a/c", False), ("[a-c]1", "b1", True), ("[!a-c]1", "b1", False), ("[!a-c]1", "/1", False), ("[]", "[]", True),
    ("a.c", "abc", False), ("**/x", "x", True), ("**/x", "a/b/x", True), ("**/x", "yx", False), ("a**", "a/b\nc", True),
    ("(a|b)+$", "(a|b)+$", True), ("[a\\]", "\\", True),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text", "wanted"), PATTERNS)
def test_patterns(pattern, text, wanted):
    assert matches(pattern, text) is wanted


def test_what_is_relative_lies_beside_the_rules(rules, tmp_path):
    assert rules["new-month"].pipeline == str(tmp_path / "churn.yaml")
    assert rules["beside"].object.match == f"{tmp_path}/in/**/*.csv"
    assert rules["on-demand"].pipeline == "/elsewhere/pipeline.yaml"
    assert rules["nightly"].pipeline == "gs://pipelines/churn.yaml"


def test_objects_that_are_meant(rules, tmp_path):
    meant = rules["new-month"].means
    assert meant(obj("gs://raw/in/may.csv"))
    for other in (
        "gs://raw/in/sub/may.csv",
        "gs://raw/in/may.csv.part",
        "gs://raw2/in/may.csv",
        "gs://raw/in/.may.csv",
    ):
        assert not meant(obj(other)), other
    assert rules["beside"].means(obj(f"{tmp_path}/in/a/b.csv"))
    assert not rules["beside"].means(obj(f"{tmp_path}/in/old/b.csv"))
    assert not rules["beside"].means(obj(f"{tmp_path}/in/"))
    assert not rules["nightly"].means(obj("gs://raw/in/may.csv"))


def test_messages_that_are_meant(rules):
    source = "projects/p/subscriptions/retrain"
    good = Event("message", "1", source, "s", attributes={"action": "retrain-now"}, data={"model": "churn"})
    assert rules["on-demand"].means(good)
    for data, attributes in (
        ({"model": "x"}, {"action": "retrain"}),
        ("churn", {"action": "retrain"}),
        ({"model": "churn"}, {}),
    ):
        assert not rules["on-demand"].means(Event("message", "1", source, "s", attributes=attributes, data=data))
    assert not rules["on-demand"].means(Event("message", "1", "projects/p/subscriptions/other", "s", data=good.data))


def test_texts_take_fields_and_evaluate_nothing():
    event = obj("gs://raw/in/may.csv", attributes={"a.b": "dotted"}, data={"x": {"y": [1, True]}, "n": None, "e": ""})
    assert filled("{uri}#{generation} {{x}} {date}", event, "t") == "gs://raw/in/may.csv#5 {x} 2026-11-22"
    assert filled("{data.x.y} {attributes.a.b}{data.e}", event, "t") == "[1, true] dotted"
    for missing in ("data.z", "data.n", "data.x.y.z", "attributes.c", "source2"):
        assert field(event, missing) is None if missing != "source2" else True
    with pytest.raises(EventError, match=r"rule r: source: expected an event with data.z"):
        filled("{data.z}", event, "rule r: source")
    with pytest.raises(EventError, match="uri"):
        filled("{uri}", Event("message", "1", "s", "s"), "t")


@pytest.mark.parametrize("odd", ["a\0b", "caf\udce9.csv"])
def test_a_text_that_no_process_can_be_given_is_refused(odd):
    message = Event("message", "1", "s", "s", data={"file": odd, "list": [odd]}, attributes={"file": odd})
    for text in ("{data.file}", "in/{attributes.file}"):
        with pytest.raises(EventError, match=r"rule r: source: expected Unicode text without NUL. Received: ") as error:
            filled(text, message, "rule r: source")
        assert repr(odd)[1:-1] in str(error.value) and "from message 1" in str(error.value)
    assert odd not in filled("{data.list}", message, "t")  # as JSON it can be written down


@pytest.mark.parametrize("text", ["{", "a}", "{}", "{event}", "{uri.__class__}", "{uri!r}", "{0}", "{data}", "{data.}"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="expected"):
        check_text(text)


MISTAKES = [
    ("rules: []", "rules.yaml:1: rules: expected"),
    ("rules:\n  - {name: a, pipeline: p}", "2: rules.0: expected one of object, message, schedule. Received: none"),
    ("rules:\n  - {name: a, pipeline: p, object: {match: x}, schedule: {cron: '* * * * *'}}", "Received: object and schedule"),
    ("rules:\n  - name: a\n    pipelin: p\n    object: {match: x}", "3: unknown field `pipelin`; did you mean `pipeline`?"),
    ("rules:\n  - name: a\n    pipeline: p\n    object: {mach: x}", "4: unknown field `mach`; did you mean `match`?"),
    ("rules:\n  - {name: a, object: {match: x}}", "rules.0.pipeline: expected this field"),
    ("rules:\n  - {name: A, pipeline: p, object: {match: x}}", "rules.0.name: expected lower-case"),
    ("rules:\n  - {name: a, pipeline: p, object: {match: ''}}", "expected a pattern"),
    ("rules:\n  - {name: a, pipeline: p, object: {match: '[z-a]'}}", "expected a pattern"),
    ("rules:\n  - {name: a, pipeline: p, schedule: {cron: '0 3 * *'}}", "expected five fields"),
    ("rules:\n  - {name: a, pipeline: p, schedule: {cron: '0 3 30 2 *'}}", "expected five fields"),
    ("rules:\n  - {name: a, pipeline: p, schedule: {cron: '0 0 3 * * *'}}", "expected five fields"),
    ("rules:\n  - {name: a, pipeline: p, schedule: {cron: '0 3 * * *', timezone: Mars/Base}}", "expected a time zone"),
    ("rules:\n  - {name: a, pipeline: p, schedule: {cron: '0 3 * * *', timezone: ../../etc/passwd}}", "expected a time zone"),
    ("rules:\n  - {name: a, pipeline: p, message: {where: {model: x}}}", "expected data.NAME or attributes.NAME"),
    ("rules:\n  - {name: a, pipeline: p, object: {match: x}, parameters: {source: '{url}'}}", "Received: {url}"),
    ("rules:\n  - {name: a, pipeline: p, object: {match: x}}\n  - {name: a, pipeline: p, object: {match: y}}", "a twice"),
    ("[1]", "rules.yaml:1: expected"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_mistakes_are_named(tmp_path, text, told):
    (tmp_path / "rules.yaml").write_text(text)
    with pytest.raises(RulesError) as error:
        load_rules(str(tmp_path / "rules.yaml"))
    assert told in str(error.value)


def test_rules_are_read_again_and_a_mistake_changes_nothing(tmp_path):
    file, clock, said = tmp_path / "rules.yaml", [0.0], []
    file.write_text(RULES)
    rules = RulesFile(str(file), said.append, every_s=60, now=lambda: clock[0])
    file.write_text(RULES.replace("nightly", "weekly"))
    assert rules()[-1].name == "nightly"
    clock[0] = 61
    assert rules()[-1].name == "weekly"
    file.write_text("rules: 3")
    clock[0] = 122
    assert rules()[-1].name == "weekly"
    assert len(said) == 1 and "stay as they were" in said[0]
    rules()
    assert len(said) == 1  # once a minute at most


def test_the_documentation_s_rules_are_rules(tmp_path):
    import re
    from pathlib import Path

    text = (Path(__file__).parents[4] / "docs" / "events.md").read_text()
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("rules:")]
    assert blocks
    for block in blocks:
        (tmp_path / "rules.yaml").write_text(block)
        assert load_rules(str(tmp_path / "rules.yaml"))
