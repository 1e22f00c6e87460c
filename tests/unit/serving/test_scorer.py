"""The scorer: right answers for good bodies, and for each bad one a sentence that says what to change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tiny_bundle import INPUTS, body, random_instances

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError
from headrace.serving.request import BadRequest
from headrace.serving.scorer import Scorer
from headrace.serving.verify import verify_samples
from tests.unit.serving.raw_graph import OnnxModel

GOOD = {"tenure": 12, "spend per month": 1020.5, "is_new": True, "plan": "pro", "signup": "2022-03-01"}


@pytest.fixture(scope="module")
def scorer(binary: Bundle) -> Scorer:
    return Scorer(binary)


def answer(scorer: Scorer, *instances: Any) -> list[dict[str, Any]]:
    predictions: list[dict[str, Any]] = json.loads(scorer.score(body(*instances)).body)["predictions"]
    return predictions


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_samples_are_answered_as_the_trained_model_did(kind: str, bundles: dict[str, Path]) -> None:
    bundle = Bundle.open(bundles[kind])
    report = verify_samples(Scorer(bundle), bundle, requests=5)
    assert report.passed, report.mismatches
    assert (report.samples, report.requests) == (20, 20)
    assert 0 < report.p50_ms <= report.p99_ms


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_raw_graph_answers_the_same_to_the_last_bit(kind: str, bundles: dict[str, Path]) -> None:
    bundle = Bundle.open(bundles[kind])
    instances = random_instances(INPUTS, 500, seed=3)
    columns = {item.name: [instance[item.name] for instance in instances] for item in INPUTS}
    outputs = OnnxModel(bundle).predict(columns)
    answers = answer(Scorer(bundle), *instances)
    if kind == "regression":
        assert [a["value"] for a in answers] == outputs[:, 0].tolist()
    else:
        assert [list(a["probabilities"].values()) for a in answers] == outputs.tolist()


def test_the_answer_names_the_model(binary: Bundle, tmp_path: Path) -> None:
    plain = json.loads(Scorer(binary).score(body(GOOD)).body)
    assert {k: plain[k] for k in plain if k != "predictions"} == {
        "modelDisplayName": "tiny",
        "modelVersionId": "3",
    }
    deployed = json.loads(Scorer(binary, deployed_model_id="77").score(body(GOOD)).body)
    assert deployed["deployedModelId"] == "77"


def test_the_label_is_positive_from_the_threshold_on(scorer: Scorer) -> None:
    answers = answer(scorer, *random_instances(INPUTS, 300, seed=5))
    assert {a["label"] for a in answers} == {"0", "1"}
    for each in answers:
        assert each["label"] == ("1" if each["probabilities"]["1"] >= 0.4 else "0")
        assert sum(each["probabilities"].values()) == pytest.approx(1.0, abs=1e-6)


def test_the_label_of_many_classes_is_the_most_probable(bundles: dict[str, Path]) -> None:
    answers = answer(Scorer(Bundle.open(bundles["multiclass"])), *random_instances(INPUTS, 300, seed=5))
    assert {a["label"] for a in answers} == {"low", "mid", "high"}
    for each in answers:
        assert each["probabilities"][each["label"]] == max(each["probabilities"].values())


def test_no_instances_are_no_predictions(scorer: Scorer) -> None:
    scored = scorer.score(b'{"instances": []}')
    assert json.loads(scored.body)["predictions"] == []
    assert (scored.rows, scored.unseen) == (0, 0)


def test_missing_is_null_or_an_empty_string(scorer: Scorer) -> None:
    nothing = dict.fromkeys(GOOD)
    assert answer(scorer, nothing) == answer(scorer, {**nothing, "plan": "", "signup": ""})


def test_an_unknown_category_is_scored_and_counted(scorer: Scorer) -> None:
    scored = scorer.score(body({**GOOD, "plan": "platinum"}, GOOD, {**GOOD, "plan": "gold"}, {**GOOD, "plan": None}))
    assert (scored.rows, scored.unseen) == (4, 2)
    first, _, third, _ = json.loads(scored.body)["predictions"]
    assert first == third


def test_a_boolean_may_be_a_number_and_a_number_an_integer(scorer: Scorer) -> None:
    assert answer(scorer, {**GOOD, "is_new": 1}) == answer(scorer, GOOD)
    assert answer(scorer, {**GOOD, "is_new": 0}) == answer(scorer, {**GOOD, "is_new": False})
    assert answer(scorer, {**GOOD, "tenure": 12.0}) == answer(scorer, GOOD)


def test_parameters_are_accepted(scorer: Scorer) -> None:
    assert len(json.loads(scorer.score(body(GOOD, parameters={"any": [1, {}]})).body)["predictions"]) == 1


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_extreme_numbers_are_scored(scorer: Scorer) -> None:
    for value in (1e308, -1e308, 5e-324, 2**53, -(2**53), -0.0):
        assert answer(scorer, {**GOOD, "tenure": value})[0]["label"] in ("0", "1")


KNOWN = "tenure, spend per month, is_new, plan, signup"

WRONG = [
    (b"", 'body: expected JSON {"instances": [...]}. Received: an empty body'),
    (b"  \n", 'body: expected JSON {"instances": [...]}. Received: an empty body'),
    (b"{", "body: expected JSON. Received: a text that ends too early, at byte 1"),
    (b'{"instances": [{}] x', "body: expected JSON. Received: expected ',' or '}' at byte 19, near 'x'"),
    (b'{"instances": []} x', "body: expected JSON. Received: trailing characters at byte 18, near 'x'"),
    (b"\x1f\x8b\x08\x00", "body: expected JSON. Received: gzip data"),
    (
        b"\xff\xfe{}",
        "body: expected JSON. Received: invalid character at byte 0, near '\N{REPLACEMENT CHARACTER}",
    ),
    (b"[]", "body: expected an object. Received: []"),
    (b"null", "body: expected an object. Received: null"),
    (b"{}", 'body: expected the field "instances". Received: none of that name'),
    (b'{"instances": {}}', "instances: expected a list of objects. Received: {}"),
    (b'{"instances": null}', "instances: expected a list of objects. Received: null"),
    (b'{"instances": [3]}', "instances[0]: expected an object. Received: 3"),
    (
        b'{"instance": []}',
        "body: expected only the fields instances, parameters. Received: 'instance'; did you mean 'instances'?",
    ),
    (body(GOOD, data=1), "body: expected only the fields instances, parameters. Received: 'data'"),
    (
        body(GOOD, {**GOOD, "tenur": 1}),
        f"instances[1]: expected only the fields {KNOWN}. Received: 'tenur'; did you mean 'tenure'?",
    ),
    (body({**GOOD, "churned": "1"}), f"instances[0]: expected only the fields {KNOWN}. Received: 'churned'"),
    (
        body(GOOD, {k: GOOD[k] for k in ("tenure", "is_new", "signup")}),
        "instances[1]: expected the fields spend per month, plan (null where missing). Received: none",
    ),
    (
        body({k: GOOD[k] for k in GOOD if k != "plan"}),
        "instances[0]: expected the field plan (null where missing). Received: none",
    ),
    (body({**GOOD, "tenure": "abc"}), 'instances[0].tenure: expected a number or null. Received: "abc"'),
    (body({**GOOD, "tenure": "12"}), 'instances[0].tenure: expected a number or null. Received: "12"'),
    (body({**GOOD, "tenure": True}), "instances[0].tenure: expected a number or null. Received: true"),
    (body({**GOOD, "tenure": []}), "instances[0].tenure: expected a number or null. Received: []"),
    (
        body({**GOOD, "tenure": 2**53 + 1}),
        "instances[0].tenure: expected a whole number from -2^53 to 2^53, or one with a decimal point. "
        "Received: 9007199254740993",
    ),
    (
        body({**GOOD, "tenure": -(10**30)}),
        "instances[0].tenure: expected a whole number from -2^53 to 2^53, or one with a decimal point. "
        "Received: -1000000000000000000000000000000",
    ),
    (
        body(GOOD, GOOD).replace(b"12", b"-1e400"),
        "instances[0].tenure: expected a number that float64 can hold. Received: -1e400",
    ),
    (
        body({**GOOD, "tenure": float("nan")}),
        "body: expected JSON. Received: invalid character at byte 26, near 'NaN, \"spend '"
        " (JSON has no NaN or infinity: null says a value is missing)",
    ),
    (
        body({**GOOD, "tenure": float("inf")}),
        "body: expected JSON. Received: invalid character at byte 26, near 'Infinity, \"s'"
        " (JSON has no NaN or infinity: null says a value is missing)",
    ),
    (
        body({**GOOD, "tenure": -float("inf")}),
        "body: expected JSON. Received: invalid character at byte 27, near 'Infinity, \"s'"
        " (JSON has no NaN or infinity: null says a value is missing)",
    ),
    (body({**GOOD, "is_new": "true"}), 'instances[0].is_new: expected true, false or null. Received: "true"'),
    (body({**GOOD, "is_new": 2}), "instances[0].is_new: expected true, false or null. Received: 2"),
    (body({**GOOD, "plan": 7}), "instances[0].plan: expected a string or null. Received: 7"),
    (body({**GOOD, "plan": ["pro"]}), 'instances[0].plan: expected a string or null. Received: ["pro"]'),
    (
        body({**GOOD, "signup": "yesterday"}),
        'instances[0].signup: expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z. Received: "yesterday"',
    ),
    (
        body(GOOD, GOOD, {**GOOD, "signup": "2023-02-29"}),
        'instances[2].signup: expected a day that exists, of the years 1 to 9999. Received: "2023-02-29"',
    ),
    (
        body({**GOOD, "signup": 19000}),
        "instances[0].signup: expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z, or null. Received: 19000",
    ),
    (
        body({**GOOD, "plan": 1}).replace(b": 1}", b': "\xff"}').replace(b'"plan": 1', b'"plan": "\xff"'),
        "instances[0].plan: expected text in UTF-8. Received: other bytes",
    ),
    (
        body(GOOD).replace(b'"pro"', b'"\\ud800"'),
        'body: expected JSON. Received: unexpected end of hex escape at byte 88, near \'", "signup":\'',
    ),
    (
        body({**GOOD, "plan": {"deep": "x" * 1000}}),
        'instances[0].plan: expected a string or null. Received: {"deep": "' + "x" * 70 + "... (1,012 characters)",
    ),
    (
        b'{"instances": [], "parameters": ' + b"[" * 100_000,
        "body: expected at most a few levels of nesting. Received: too many",
    ),
    (
        b'{"instances": [' + b"[" * 100_000,
        "body: expected at most a few levels of nesting. Received: too many",
    ),
]


@pytest.mark.parametrize(("data", "message"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_wrong_body_is_explained(data: bytes, message: str, scorer: Scorer) -> None:
    with pytest.raises(BadRequest) as refused:
        scorer.score(data)
    assert str(refused.value).startswith(message)


def test_a_graph_that_is_not_the_signatures_is_refused(bundles: dict[str, Path]) -> None:
    wrong = Bundle(
        bundles["binary"],
        Bundle.open(bundles["binary"]).manifest,
        Bundle.open(bundles["regression"]).signature,
    )
    with pytest.raises(ArtifactError, match=r"expected the output value. Received: \['probabilities'\]"):
        Scorer(wrong)


def test_a_damaged_graph_is_refused(binary: Bundle, tmp_path: Path) -> None:
    (tmp_path / "matrix.onnx").write_bytes(b"no graph")
    with pytest.raises(
        ArtifactError, match=r"matrix\.onnx: expected an ONNX graph that is safe to load. Received: a damaged"
    ):
        Scorer(Bundle(tmp_path, binary.manifest, binary.signature))


def test_the_model_runs_on_one_thread(scorer: Scorer) -> None:
    options: onnxruntime.SessionOptions = scorer._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_the_matrix_of_no_rows_has_the_models_width(scorer: Scorer) -> None:
    matrix, _ = scorer._encoder.matrix([])
    assert matrix.shape == (0, 5)
    assert matrix.dtype == np.float64


def test_serving_imports_nothing_heavy() -> None:
    code = (
        "import sys, headrace.serving.server, headrace.serving.app, headrace.serving.__main__;"
        "heavy = ('pandas', 'sklearn', 'onnx', 'pyarrow', 'lightgbm', 'pydantic');"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
