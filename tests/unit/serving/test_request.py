"""Decoding bodies whose features have names that JSON writes with escapes: slower, and as strict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_bundle import body, random_instances, write_tiny_bundle

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.signature import Input, Signature
from headrace.serving.request import BadRequest, instance_decoder
from headrace.serving.scorer import Scorer

QUOTED, BACKSLASH, LINE = 'height "in"', "a\\b", "two\nlines"
INPUTS = (
    Input(QUOTED, "number"),
    Input(BACKSLASH, "category", vocabulary=("x",)),
    Input(LINE, "date"),
    Input("flag", "boolean"),
)
GOOD = {QUOTED: 1.5, BACKSLASH: "x", LINE: "2024-03-01", "flag": None}


def decoded(*instances: object) -> list[tuple[object, ...]]:
    decode = instance_decoder(Signature("regression", "y", INPUTS))
    return [(each.f0, each.f1, each.f2, each.f3) for each in decode(body(*instances))]


def test_fields_are_found_in_any_order() -> None:
    backwards = dict(reversed(GOOD.items()))
    assert decoded(GOOD, backwards) == [(1.5, "x", "2024-03-01", None)] * 2
    assert decoded() == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({QUOTED: "1"}, f'instances[1].{QUOTED}: expected a number or null. Received: "1"'),
        ({QUOTED: 2**53 + 1}, f"instances[1].{QUOTED}: expected a whole number from -2^53 to 2^53"),
        ({BACKSLASH: 7}, f"instances[1].{BACKSLASH}: expected a string or null. Received: 7"),
        ({"flag": 2}, "instances[1].flag: expected true, false or null. Received: 2"),
        ({"more": 1}, "instances[1]: expected only the fields"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decoded(GOOD, {**GOOD, **changed})
    assert str(refused.value).startswith(message)


def test_a_missing_field_is_refused() -> None:
    less = {name: value for name, value in GOOD.items() if name != QUOTED}
    for instance in (less, {**less, "more": 1}):
        with pytest.raises(BadRequest, match=r"^instances\[0\]: expected "):
            decoded(instance)


def test_such_a_model_is_scored(tmp_path: Path) -> None:
    bundle = Bundle.open(write_tiny_bundle(tmp_path / "model", "regression", INPUTS))
    answer = json.loads(Scorer(bundle).score(body(*random_instances(INPUTS, 20, seed=7))).body)
    assert answer["predictions"] == [{"value": pytest.approx(each["value"])} for each in bundle.samples()[1]]
