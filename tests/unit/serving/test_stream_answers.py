"""Messages to records: each message answers for itself, as the server would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import write_tiny_bundle

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.signature import Input
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.streaming.answers import Answers
from headrace.serving.streaming.message import Message, Record

GOOD = {"tenure": 12, "spend per month": 1020.5, "is_new": True, "plan": "pro", "signup": "2022-03-01"}


@pytest.fixture(scope="module")
def served(binary: Bundle) -> Served:
    return Served(binary, Settings())


def records(answers: Answers, *bodies: Any) -> list[Record]:
    texts = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
    return answers.records([Message(str(number), text) for number, text in enumerate(texts)])


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_samples_are_answered_as_in_training(bundles: dict[str, Path], kind: str) -> None:
    bundle = Bundle.open(bundles[kind])
    instances, expected = bundle.samples()
    found = records(Answers(Served(bundle, Settings())), *instances)
    for number, (record, wanted) in enumerate(zip(found, expected, strict=True)):
        value = json.loads(record.value)
        assert (value["id"], record.reason) == (str(number), "")
        assert (value["model"], value["version"], value["digest"]) == ("tiny", "3", bundle.digest)
        got = value["prediction"]
        assert got.get("label") == wanted.get("label")
        for name, number_ in wanted.get("probabilities", {"value": wanted.get("value")}).items():
            assert (got.get("probabilities") or got)[name] == pytest.approx(number_, abs=1e-5)


WRONG = [
    (b"nope", "message: expected JSON. Received: invalid character at byte"),
    (b"", "message: expected an object of JSON. Received: an empty body"),
    (b"[1]", "message: expected an object. Received: [1]"),
    (b"\xff", "message: expected JSON"),
    (b"[" * 100_000, "message: expected an object. Received: [[["),
    (b'{"tenure":' * 100_000, "message: expected at most a few levels of nesting. Received: too many"),
    ({**GOOD, "tenure": "12"}, 'message.tenure: expected a number or null. Received: "12"'),
    ({**GOOD, "signup": "2022-13-01"}, "message.signup: expected a date such as"),
    ({**GOOD, "signup": "2022-02-30"}, "message.signup: expected a day that exists"),
    ({**GOOD, "more": 1}, "message: expected only the fields"),
    ({name: value for name, value in GOOD.items() if name != "plan"}, "message: expected the field plan (null"),
]


@pytest.mark.parametrize(("body", "reason"), WRONG, ids=[reason[:60] for _, reason in WRONG])
def test_a_wrong_message_is_a_dead_letter_and_the_others_are_answered(served: Served, body: Any, reason: str) -> None:
    before, wrong, after = records(Answers(served), GOOD, body, GOOD)
    assert wrong.reason.startswith(reason)
    assert wrong.value == (body if isinstance(body, bytes) else json.dumps(body).encode())
    assert not before.reason
    assert not after.reason
    assert json.loads(before.value)["prediction"] == json.loads(after.value)["prediction"]


def test_messages_cannot_answer_for_one_another(served: Served) -> None:
    """Put together as texts these would be two objects, and the third message would get the second's answer."""
    text = json.dumps(GOOD).encode()
    half = text.index(b', "plan"')
    bodies = [text[:half], text[half + 2 :], text + b"," + text, text + b'],"parameters":[1']
    assert all(record.reason for record in records(Answers(served), *bodies))


def test_fields_are_kept_and_passed_over_where_asked(served: Served) -> None:
    body = {**GOOD, "customer": {"id": 7}, "noise": 1}
    (record,) = records(Answers(served, keep=["customer"], ignore_others=True), body)
    assert json.loads(record.value)["fields"] == {"customer": {"id": 7}}
    (strict,) = records(Answers(served, keep=["customer"]), body)
    assert "Received: 'noise'" in strict.reason
    (without,) = records(Answers(served, keep=["customer"], ignore_others=True), GOOD)
    assert without.reason == "message: expected the field customer (null where missing). Received: none"
    (both,) = records(Answers(served, keep=["tenure"]), GOOD)  # an input can be kept as well
    assert json.loads(both.value)["fields"] == {"tenure": 12}


@pytest.mark.parametrize("keep", [["note"], ["note", "tenure"]], ids=["apart", "an input as well"])
def test_a_kept_field_that_is_no_text_is_a_dead_letter(served: Served, keep: list[str]) -> None:
    """As it is copied, the answer would be no JSON."""
    text = json.dumps(GOOD).encode()
    bodies = [
        text[:-1] + b', "note": ' + note + b"}" for note in (b'"a"', b'{"\xff": ["\xff"]}', '"Zoë 日本"'.encode())
    ]
    before, wrong, after = records(Answers(served, keep=keep), *bodies)
    assert wrong.reason == "message.note: expected text in UTF-8. Received: other bytes"
    assert wrong.value == bodies[1]
    assert json.loads(before.value)["fields"]["note"] == "a"
    assert json.loads(after.value)["fields"]["note"] == "Zoë 日本"


def test_names_that_need_escapes(tmp_path: Path) -> None:
    inputs = (Input('a "b"', "number", min=0.0, max=9.0), Input("c", "category", vocabulary=("x", "y")))
    bundle = Bundle.open(write_tiny_bundle(tmp_path / "bundle", inputs=inputs))
    answers = Answers(Served(bundle, Settings()))
    good, bad = records(answers, {'a "b"': 1.5, "c": "x"}, {'a "b"': "1", "c": "x"})
    assert not good.reason
    assert bad.reason.startswith('message.a "b": expected a number')


def test_a_model_that_fails_for_one_message_fails_for_that_one_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(served)
    run = served.scorer.run

    def picky(inputs: Any) -> Any:
        if (inputs.matrix[:, 0] == 13).any():
            raise RuntimeError("an overflow in a node")
        return run(inputs)

    monkeypatch.setattr(served.scorer, "run", picky)
    found = records(answers, GOOD, {**GOOD, "tenure": 13}, GOOD)
    assert [bool(record.reason) for record in found] == [False, True, False]
    assert found[1].reason == "message: expected an answer of the model. Received: RuntimeError: an overflow in a node"
