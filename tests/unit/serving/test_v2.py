"""The Open Inference Protocol over REST: forms of a request, what is refused, tensors as bytes."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from picture_bundle import b64, encoded, picture, write_picture_bundle
from surfaces import answer_of, get, post, surface

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App
from headrace.serving.exchange import Request
from headrace.serving.protocols.v2_json import HEADER

INFER = "/v2/models/tiny/infer"
ROWS = [
    {"tenure": 12, "spend per month": 1020.5, "is_new": True, "plan": "pro", "signup": "2022-03-01"},
    {"tenure": None, "spend per month": None, "is_new": None, "plan": None, "signup": None},
]
TYPES = {"tenure": "FP64", "spend per month": "FP64", "is_new": "BOOL", "plan": "BYTES", "signup": "BYTES"}


def tensors(rows: list[dict[str, Any]] = ROWS, **changed: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs of some rows, with other fields where they are given by the input's name."""
    found = [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name, kind in TYPES.items()
    ]
    return [{**one, **changed.get(one["name"], {})} for one in found]


@pytest.fixture(scope="module")
def app(binary: Bundle) -> App:
    return surface(binary, model_name="alias")


@pytest.fixture(scope="module")
def expected(app: App) -> list[Any]:
    found = post(app, "/predict", {"instances": ROWS})[1]["predictions"]
    return [value for row in found for value in row["probabilities"].values()]


def probabilities(answer: Any) -> list[float]:
    return next(one["data"] for one in answer["outputs"] if one["name"] == "probabilities")


def test_an_answer(app: App, expected: list[Any]) -> None:
    status, answer = post(app, INFER, {"id": "a-1", "inputs": tensors()})
    assert status == 200
    labels = [row["label"] for row in post(app, "/predict", {"instances": ROWS})[1]["predictions"]]
    assert answer == {
        "model_name": "tiny",
        "model_version": "3",
        "id": "a-1",
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [2, 2], "data": expected},
            {"name": "label", "datatype": "BYTES", "shape": [2, 1], "data": labels},
        ],
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"tenure": {"datatype": "FP32"}, "is_new": {"datatype": "FP64", "data": [1.0, None]}},
        {"tenure": {"datatype": "INT64", "shape": [2, 1]}, "is_new": {"datatype": "UINT8", "data": [1, None]}},
        {"tenure": {"shape": [2, 1], "data": [[12], [None]]}, "plan": {"shape": [2, 1], "data": [["pro"], [""]]}},
        {"signup": {"data": ["2022-03-01", ""]}, "plan": {"parameters": {"content_type": "str"}}},
    ],
)
def test_forms_of_the_same_request(app: App, changed: dict[str, Any], expected: list[Any]) -> None:
    body = {"inputs": tensors(**changed), "parameters": {}, "outputs": None, "id": None}
    status, answer = post(app, "/v2/models/alias/versions/3/infer", body)
    assert (status, probabilities(answer) if status == 200 else answer) == (200, expected)
    assert "id" not in answer


def test_kserves_client_repeats_the_models_name(app: App, expected: list[Any]) -> None:
    body = {"id": "7", "model_name": "alias", "model_version": None, "inputs": tensors()}
    status, answer = post(app, INFER, body)
    assert (status, answer["id"], probabilities(answer)) == (200, "7", expected)


def test_outputs_that_are_asked_for(app: App) -> None:
    answer = post(app, INFER, {"inputs": tensors(), "outputs": [{"name": "label"}]})[1]
    assert [one["name"] for one in answer["outputs"]] == ["label"]
    told = post(app, INFER, {"inputs": tensors(), "outputs": [{"name": "labels"}]})
    assert told == (400, "outputs: expected probabilities or label. Received: 'labels'")


def test_no_rows(app: App) -> None:
    answer = post(app, INFER, {"inputs": tensors([])})[1]
    assert [(one["shape"], one["data"]) for one in answer["outputs"]] == [([0, 2], []), ([0, 1], [])]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tenure": {"data": [1, "2"]}}, "inputs.tenure.data[1]: expected a number or null. Received: a string"),
        ({"tenure": {"data": [1, True]}}, "inputs.tenure.data[1]: expected a number or null. Received: true or false"),
        (
            {"tenure": {"data": [1, 2**53 + 1]}},
            "inputs.tenure.data[1]: expected a finite number; whole ones from -2^53 to 2^53. Received: 9007199254740993",
        ),
        ({"tenure": {"data": [1]}}, "inputs.tenure.data: expected 2 values, as the shape says. Received: 1"),
        ({"tenure": {"data": [[1], [2]]}}, "inputs.tenure.data (flat)[0]: expected a number or null. Received: a list"),
        ({"tenure": {"shape": [1, 2]}}, "inputs.tenure.shape: expected [N] or [N, 1]. Received: [1, 2]"),
        ({"tenure": {"shape": [-1]}}, "inputs.tenure.shape: expected dimensions of 0 or more. Received: [-1]"),
        ({"is_new": {"shape": [3]}}, "inputs.is_new.shape: expected 2 rows as in the first input. Received: 3"),
        (
            {"tenure": {"datatype": "BYTES", "data": ["1", "2"]}},
            "inputs.tenure.datatype: expected FP64 (or another number type). Received: BYTES",
        ),
        ({"tenure": {"datatype": "FLOAT"}}, "inputs.tenure.datatype: expected one of BOOL, INT8, INT16"),
        (
            {"is_new": {"datatype": "FP64", "data": [0.5, 1]}},
            "inputs.is_new.data[0]: expected true, false, 0 or 1. Received: 0.5",
        ),
        ({"plan": {"data": [1, 2]}}, "inputs.plan.data[0]: expected a string or null. Received: a whole number"),
        (
            {"signup": {"data": ["yesterday", None]}},
            "inputs.signup.data[0]: expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z. Received: 'yesterday'",
        ),
        (
            {"tenure": {"name": "tenor"}},
            "inputs: expected only tenure, spend per month, is_new, plan, signup. Received: 'tenor'; did you mean 'tenure'?",
        ),
        ({"tenure": {"name": "plan"}}, "inputs: expected each name once. Received: one of them twice"),
        (
            {"tenure": {"parameters": {"binary_data_size": 16}}},
            "inputs.tenure.parameters.binary_data_size: expected bytes that are there (0 to 0). Received: 16",
        ),
        ({"tenure": {"extra": 1}}, 'body.inputs[0]: expected only known fields. Received: "extra"'),
    ],
)
def test_what_is_refused(app: App, changed: dict[str, Any], message: str) -> None:
    status, told = post(app, INFER, {"inputs": tensors(**changed)})
    assert (status, told[: len(message)]) == (400, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", 'body: expected JSON {"inputs": '),
        (b"{", "body: expected JSON. Received: a text that ends too early, at byte 1"),
        (b"[]", "body: expected an object. Received: a list"),
        (b"{}", 'body: expected the field "inputs". Received: none of that name'),
        (b'{"inputs": []}', "inputs: expected a tensor for each of tenure, spend per month, is_new, plan, signup. Received: none"),
        (b'{"inputs": [{"name": "tenure"}]}', 'body.inputs[0]: expected the field "shape". Received: none of that name'),
        (b'{"inputs": [{"name": "tenure", "shape": [1], "datatype": "FP64"}]}', 'inputs.tenure: expected the field "data". Received: none'),
        (b'{"inputs": [{"name": "tenure", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', "body: expected JSON. Received: invalid"),
        (b"\xff\xfe", "body: expected JSON"),
        (b"[" * 100_000, "body: expected"),
    ],
)  # fmt: skip
def test_bodies_that_are_none(app: App, body: bytes, message: str) -> None:
    status, told = post(app, INFER, body)
    assert (status, told[: len(message)]) == (400, message)


def binary_body(rows: list[dict[str, Any]] = ROWS, outputs: Any = None) -> tuple[bytes, bytes]:
    """The JSON and the bytes of a request whose tensors are all sent as bytes."""
    tails = []
    inputs = tensors(rows, is_new={"datatype": "FP64"})
    for one in inputs:
        values = one.pop("data")
        if one["datatype"] == "BYTES":
            tails.append(b"".join(struct.pack("<I", len(text)) + text for text in [(v or "").encode() for v in values]))
        else:
            tails.append(np.array([np.nan if v is None else v for v in values], "<f8").tobytes())
        one["parameters"] = {"binary_data_size": len(tails[-1])}
    head = {"inputs": inputs, "parameters": {"binary_data_output": True}, "outputs": outputs}
    return json.dumps(head).encode(), b"".join(tails)


def test_tensors_as_bytes(app: App, expected: list[Any]) -> None:
    head, tail = binary_body(outputs=[{"name": "label"}, {"name": "probabilities"}])
    answer = answer_of(app, Request("POST", INFER, head + tail, {HEADER: b"%d" % len(head)}))
    assert (answer.status, answer.content_type) == (200, b"application/octet-stream")
    length = int(dict(answer.headers)[HEADER])
    told, rest = json.loads(answer.body[:length]), answer.body[length:]
    sizes = [one["parameters"]["binary_data_size"] for one in told["outputs"]]
    assert (sizes, len(rest)) == ([10, 16], 26)
    assert rest[:5] in (b"\1\0\0\0000", b"\1\0\0\0001")
    np.testing.assert_array_equal(np.frombuffer(rest[10:], "<f4"), np.array(expected, np.float32))


@pytest.mark.parametrize(
    ("length", "cut", "message"),
    [
        (b"x", 0, "Inference-Header-Content-Length: expected at most the "),
        (b"99999999", 0, "Inference-Header-Content-Length: expected at most the "),
        (b"", 5, "inputs.signup.parameters.binary_data_size: expected bytes that are there (0 to "),
        (b"", -3, "body: expected "),
    ],
)
def test_bytes_that_do_not_fit(app: App, length: bytes, cut: int, message: str) -> None:
    head, tail = binary_body()
    tail = tail[:-cut] if cut > 0 else tail + b"abc"[:-cut]
    status, told = post(app, INFER, head + tail, {HEADER: length or b"%d" % len(head)})
    assert (status, told[: len(message)]) == (400, message)


@given(head=st.binary(max_size=60), tail=st.binary(max_size=60), length=st.integers(0, 120))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_refused_and_no_fault(app: App, head: bytes, tail: bytes, length: int) -> None:
    good, rest = binary_body()
    for body in (head + tail, good + tail, good[: len(head)] + tail, good + rest[: len(tail)] + head):
        status, _ = post(app, INFER, body, {HEADER: b"%d" % min(length, len(body))})
        assert status == 400
    changed = good + bytes(a ^ b for a, b in zip(rest, tail.ljust(len(rest), b"\0"), strict=True))
    assert answer_of(app, Request("POST", INFER, changed, {HEADER: b"%d" % len(good)})).status in (200, 400)


def test_the_metadata(app: App) -> None:
    assert get(app, "/v2")["extensions"] == ["binary_tensor_data"]
    about = get(app, "/v2/models/alias")
    assert (about["name"], about["versions"], about["platform"]) == ("alias", ["3"], "onnx_onnxv1")
    assert {one["name"]: one["datatype"] for one in about["inputs"]} == TYPES
    assert about["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
    assert json.loads(about["properties"]["classes"]) == ["0", "1"]
    assert get(app, "/v2/health/ready") == {"ready": True, "live": True}
    assert get(app, "/v2/models/tiny/versions/3/ready") == {"name": "tiny", "ready": True}


def test_other_names_are_not_found(app: App) -> None:
    told = post(app, "/v2/models/tony/infer", {})
    assert told == (404, "expected a model named alias or tiny. Received: /v2/models/tony/infer")
    told = post(app, "/v2/models/tiny/versions/4/infer", {})
    assert told == (404, "expected version 3. Received: /v2/models/tiny/versions/4/infer")


def test_pictures(tmp_path: Path) -> None:
    app = surface(write_picture_bundle(tmp_path / "model"))
    files = [encoded(picture(colour), "JPEG" if colour else "PNG") for colour in range(3)]
    path = "/v2/models/colours/infer"

    def labels(tensor: dict[str, Any], tail: bytes = b"") -> Any:
        head = json.dumps({"inputs": [{"name": "image", **tensor}]}).encode()
        status, answer = post(app, path, head + tail, {HEADER: b"%d" % len(head)} if tail else None)
        return answer["outputs"][1]["data"] if status == 200 else answer

    everything = ["red", "green", "blue"]
    assert labels({"datatype": "BYTES", "shape": [3], "data": [b64(file) for file in files]}) == everything
    tail = b"".join(struct.pack("<I", len(file)) + file for file in files)
    told = {"datatype": "BYTES", "shape": [3, 1], "parameters": {"binary_data_size": len(tail)}}
    assert labels(told, tail) == everything
    pixels = np.stack([picture(colour) for colour in range(3)])
    shape = list(pixels.shape)
    assert labels({"datatype": "UINT8", "shape": shape, "data": pixels.ravel().tolist()}) == everything
    assert labels({"datatype": "UINT8", "shape": shape, "data": pixels.tolist()}) == everything
    told = {"datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": pixels.size}}
    assert labels(told, pixels.tobytes()) == everything
    assert labels({"datatype": "UINT8", "shape": [0, 2, 2, 3], "data": []}) == []
    for tensor, message in (
        ({"datatype": "BYTES", "shape": [1], "data": ["%%%"]}, "inputs.image.data[0]: expected a JPEG or PNG file in Base64"),
        ({"datatype": "BYTES", "shape": [1], "data": [b64(b"GIF89a")]}, "instances[0]: "),
        ({"datatype": "BYTES", "shape": [2], "data": [b64(files[0])]}, "inputs.image.data: expected 2 values"),
        ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, 256]}, "inputs.image.data: expected whole numbers from 0 to 255"),
        ({"datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [1, 2, None]}, "inputs.image.data: expected whole numbers from 0 to 255"),
        ({"datatype": "UINT8", "shape": [1, 0, 1, 3], "data": []}, "inputs.image.shape: expected [N, height, width, 3]"),
        ({"datatype": "FP32", "shape": [1, 1, 1, 3], "data": [0, 0, 0]}, "inputs.image.datatype: expected BYTES (JPEG or PNG files) or UINT8 (pixels)"),
    ):  # fmt: skip
        assert labels(tensor)[: len(message)] == message
