"""Filters of lists: what they say of a document, and what is refused."""

import json
import operator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.emulator import comparison, filters, predicates
from headrace.emulator.refusals import Refusal

JOB = {
    "name": "projects/p/locations/l/pipelineJobs/churn-1",
    "displayName": "churn-1",
    "state": "PIPELINE_STATE_SUCCEEDED",
    "createTime": "2026-01-02T03:04:05.100000Z",
    "labels": {"team": "risk", "a-b": "1"},
    "count": 3,
    "versionId": "12",
    "parentContexts": ["c/a", "c/b"],
    "metadata": {"auc": 0.9, "note": "x y", "deep": {"er": True}},
    "tasks": [{"id": 1}, {"id": 2}],
    "cron": "TZ=Europe/Berlin 0 5 * * *",
    "ready": True,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ('display_name="churn-1"', True),
        ('displayName="churn-1"', True),
        ("display_name=churn-1", True),
        ('display_name="churn"', False),
        ('display_name="ch*-*"', True),
        ('display_name:"*urn-1"', True),
        ('display_name!="ch*"', False),
        ("state = PIPELINE_STATE_SUCCEEDED", True),
        ("state!=PIPELINE_STATE_FAILED", True),
        ("labels.team:risk", True),
        ("labels.team=risk labels.a-b=1", True),
        ("labels:team", True),
        ("labels:risk", False),
        ("labels.gone:*", False),
        ("NOT labels.gone:*", True),
        ("-labels.team:*", False),
        ('labels."team"="risk"', True),
        ("count>2 AND count<=3 AND count!=4", True),
        ("count=-3 OR -count=4", True),
        ("version_id>9", True),
        ("create_time>2026-01-01T00:00:00-04:00", True),
        ('create_time<"2026-01-02T03:04:05Z"', False),
        ('create_time>="2026-01-02"', True),
        ('parent_contexts:"c/b"', True),
        ('parent_contexts:"c/c"', False),
        ("tasks.id:2", True),
        ("tasks.id=3", False),
        ("metadata.auc.number_value > 0.5", True),
        ('metadata.note.string_value = "x y"', True),
        ("metadata.deep.er=true", True),
        ("ready=true AND gone=false", True),
        ("ready=false", False),
        ('gone="" AND gone=0', True),
        ('gone!="x"', True),
        ("gone.deeper>1", False),
        ('cron="TZ=Europe/Berlin 0 5 * * *"', True),
        # OR binds closer than AND
        ("count=0 AND count=3 OR count=3", False),
        ("(count=0 AND count=3) OR count=3", True),
        ("count=3 OR count=0 AND count=3", True),
        ("NOT (count=3 AND ready=true)", False),
        ('in_context("c/a", "c/z")', True),
        ('in_context("c/z") OR in_context("c/y")', False),
        ("twice=6", True),
    ],
)
def test_what_a_filter_says(text, expected):
    found = filters.predicate(
        text,
        fields={"twice": lambda document: 2 * document["count"]},
        functions={"in_context": lambda document, names: bool(set(names) & set(document["parentContexts"]))},
    )
    assert found(JOB) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "expected an operator behind a"),
        ("a=", "expected a value"),
        ("(a=1", "expected `)`"),
        ("a=1)", "expected an end, AND or OR"),
        ("a=1 OR", "expected a field at character 7"),
        ("AND a=1", "expected a field at character 1"),
        ('a="x', "expected a field, a value or an operator at character 3"),
        ("f(1)", "a function that there is (none)"),
        ("a=(1)", "expected a value"),
        ("a b=1", "expected an operator behind a"),
        ("(" * 5000 + "a=1" + ")" * 5000, "at most 50 parentheses"),
        ("NOT " * 5000 + "a=1", "at most 50"),
    ],
)
def test_what_is_no_filter(text, expected):
    with pytest.raises(Refusal, match="Invalid filter") as refused:
        filters.predicate(text)
    assert expected in refused.value.message and refused.value.code == "INVALID_ARGUMENT"
    assert len(refused.value.message) < 1000


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.text(), st.text())
def test_a_quoted_text_is_that_text(text, other):
    if "*" in text:
        return
    found = filters.predicate(f"a = {quoted(text)}")
    assert found({"a": text}) and found({"a": other}) == (text == other or same_thing(text, other))


def same_thing(text, other):
    """Texts that are both numbers, or both times, are compared as such: JSON has int64 and times as texts."""
    return comparison.compare(text, "=", other)


names = st.sampled_from("abc")
comparisons = st.tuples(names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(-3, 3))
trees = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner),
        st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=8,
)
SIGNS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def written(tree):
    match tree:
        case ("NOT", inner):
            return f"NOT ({written(inner)})"
        case ("AND" | "OR" as word, [*inner]):
            return "(" + f" {word} ".join(f"({written(each)})" for each in inner) + ")"
        case (name, sign, value):
            return f"{name}{sign}{value}"


def meant(tree, document):
    match tree:
        case ("NOT", inner):
            return not meant(inner, document)
        case ("AND", [*inner]):
            return all(meant(each, document) for each in inner)
        case ("OR", [*inner]):
            return any(meant(each, document) for each in inner)
        case (name, sign, value):
            return SIGNS[sign](document.get(name, 0), value)


@given(trees, st.dictionaries(names, st.integers(-3, 3)))
def test_filters_mean_what_their_tree_means(tree, document):
    assert filters.predicate(written(tree))(document) == meant(tree, document)


@given(st.text(alphabet='ab1"\\()=:.,-*! ANDORT', max_size=40))
def test_any_text_is_a_filter_or_refused(text):
    try:
        found = filters.predicate(text)
    except Refusal:
        return
    assert found({"a": 1, "b": {"a": "x"}}) in (True, False)


@given(st.datetimes(datetime(1000, 1, 2), datetime(9000, 1, 1)), st.integers(-12, 12), st.integers(-5, 5))
def test_times_are_compared_as_times(time, hours, seconds):
    time = time.replace(tzinfo=UTC)
    wanted = (time + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=hours))).isoformat()
    assert filters.predicate(f"t >= {wanted}")({"t": f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"}) == (seconds <= 0)


RUN = {"displayName": "Churn 1", "state": "SUCCEEDED", "created_at": "2026-01-02T03:04:05Z", "n": 3}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"key": "display_name", "operation": 1, "stringValue": "Churn 1"}, True),
        ({"key": "display_name", "operation": "NOT_EQUALS", "string_value": "Churn 1"}, False),
        ({"key": "name", "operation": "IS_SUBSTRING", "string_value": "churn"}, True),
        ({"key": "name", "operation": 9, "string_value": "x"}, False),
        ({"key": "name", "operation": 1, "string_value": "Churn*"}, False),
        ({"key": "state", "operation": 8, "stringValues": {"values": ["FAILED", "SUCCEEDED"]}}, True),
        ({"key": "state", "operation": "IN", "string_values": {"values": []}}, False),
        ({"key": "created_at", "operation": 3, "timestamp_value": "2026-01-01T00:00:00Z"}, True),
        ({"key": "n", "operation": "LESS_THAN_EQUALS", "int_value": 3}, True),
        ({"key": "n", "operation": "GREATER_THAN_EQUALS", "long_value": "4"}, False),
        ({"key": "n", "op": "EQUALS", "int_value": 3}, True),
    ],
)
def test_what_a_predicate_of_kubeflow_says(condition, expected):
    fields = {"name": lambda document: document["displayName"]}
    holds = {"key": "n", "operation": 1, "int_value": 3}
    text = json.dumps({"predicates": [holds, condition]})
    assert predicates.predicate(text, fields)(RUN) is expected


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        '{"predicates": [1]}',
        '{"predicates": [{}]}',
        '{"predicates": [{"key": "a", "operation": 1}]}',
        '{"predicates": [{"key": "a", "operation": 4, "int_value": 1}]}',
        '{"predicates": [{"key": "a", "operation": 9, "int_value": 1}]}',
        '{"predicates": [{"key": "a", "operation": 8, "int_value": 1}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_predicate_of_kubeflow(text):
    with pytest.raises(Refusal, match="Invalid filter"):
        predicates.predicate(text)
    assert predicates.predicate("")({}) and predicates.predicate("{}")({})
