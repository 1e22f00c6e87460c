"""TensorFlow Serving's REST paths: forms of a request, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from picture_bundle import b64, encoded, picture, write_picture_bundle
from surfaces import get, post, surface

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App

PATH = "/v1/models/tiny"
ROW = {"tenure": 12, "spend per month": 1020.5, "is_new": True, "plan": "pro", "signup": "2022-03-01"}
NONE = dict.fromkeys(ROW)


@pytest.fixture(scope="module")
def app(binary: Bundle) -> App:
    return surface(binary)


@pytest.fixture(scope="module")
def expected(app: App) -> list[dict[str, Any]]:
    found = post(app, "/predict", {"instances": [ROW, NONE]})[1]["predictions"]
    return [{"probabilities": list(one["probabilities"].values()), "label": one["label"]} for one in found]


@pytest.mark.parametrize("path", ["", "/versions/3", "/labels/champion", "/labels/stable"])
def test_rows(app: App, path: str, expected: list[Any]) -> None:
    lists = {name: [value] for name, value in ROW.items()}
    encoded_row = {**ROW, "plan": {"b64": b64(b"pro")}, "is_new": 1}
    told = post(
        app,
        f"{PATH}{path}:predict",
        {"instances": [ROW, NONE, lists, encoded_row], "signature_name": "serving_default"},
    )
    assert told == (200, {"predictions": [*expected, expected[0], expected[0]]})


def test_columns(app: App, expected: list[Any]) -> None:
    told = post(app, f"{PATH}:predict", {"inputs": {name: [[ROW[name]], None] for name in ROW}})
    outputs = {key: [one[key] for one in expected] for key in ("probabilities", "label")}
    assert told == (200, {"outputs": outputs})


def test_examples(app: App, expected: list[Any]) -> None:
    context = {"plan": "pro", "is_new": True}
    body = {"context": context, "examples": [{k: v for k, v in ROW.items() if k not in context}]}
    told = post(app, f"{PATH}:classify", body)
    assert told == (200, {"results": [list(map(list, zip(("0", "1"), expected[0]["probabilities"], strict=True)))]})
    assert post(app, f"{PATH}:classify", {**body, "examples": [ROW]}) == (
        400, "examples[0]: expected no field of the context. Received: is_new",
    )  # fmt: skip
    message = ":regress: expected a model of regression. Received: one of classification; use :predict"
    assert post(app, f"{PATH}:regress", body) == (400, message)


def test_values(bundles: dict[str, Path]) -> None:
    app = surface(bundles["regression"])
    value = post(app, "/predict", {"instances": [ROW]})[1]["predictions"][0]["value"]
    assert post(app, f"{PATH}:predict", {"instances": [ROW]}) == (200, {"predictions": [[value]]})
    assert post(app, f"{PATH}:predict", {"inputs": ROW}) == (200, {"outputs": [[value]]})
    assert post(app, f"{PATH}:regress", {"examples": [ROW]}) == (200, {"results": [value]})
    message = ":classify: expected a model of classification. Received: one of regression; use :predict"
    assert post(app, f"{PATH}:classify", {"examples": [ROW]}) == (400, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "body: expected either instances or inputs. Received: neither"),
        ({"instances": [], "inputs": {}}, "body: expected either instances or inputs. Received: both"),
        ({"instances": [1]}, "instances[0]: expected an object. Received: 1"),
        ({"instances": 1}, "body.instances: expected a list. Received: a whole number"),
        ({"instances": [{**ROW, "tenure": "x"}]}, "instances[0].tenure: expected a number or null. Received: a string"),
        ({"instances": [ROW, {**ROW, "tenure": [1, 2]}]}, "instances[1].tenure: expected a number or null. Received: a list"),
        ({"instances": [{**ROW, "tenure": {"b64": "AA=="}}]}, "instances[0].tenure: expected number. Received: bytes"),
        ({"instances": [{**ROW, "tenure": 2**60}]}, "instances[0].tenure: expected a whole number from -2^53 to 2^53, or one with a decimal point. Received: 1152921504606846976"),
        ({"instances": [{**ROW, "plan": {"b64": "%"}}]}, 'b64: expected {"b64": ...} with bytes in Base64'),
        ({"instances": [{**ROW, "tenor": 1}]}, "instances[0]: expected only the fields tenure, spend per month, is_new, plan, signup. Received: 'tenor'"),
        ({"instances": [{"tenure": 1}]}, "instances[0]: expected the fields spend per month, is_new, plan, signup (null where missing). Received: none"),
        ({"instances": [{k: v for k, v in ROW.items() if k != "plan"}]}, "instances[0]: expected the field plan (null where missing). Received: none"),
        ({"instances": [{**ROW, "signup": "soon"}]}, "inputs.signup.data[0]: expected a date such as "),
        ({"inputs": {**ROW, "tenure": [1, 2]}}, "inputs: expected equally many values of each. Received: [1, 2]"),
        ({"inputs": 3}, "inputs: expected an object. Received: 3"),
        ({"instances": [ROW], "signature_name": "other"}, "signature_name: expected serving_default. Received: 'other'"),
        ({"instances": [ROW], "more": 1}, 'body: expected only known fields. Received: "more"'),
        (b"", 'body: expected JSON {"instances": [...]} or {"inputs": {...}}. Received: an empty body'),
    ],
)  # fmt: skip
def test_what_is_refused(app: App, body: Any, message: str) -> None:
    status, told = post(app, f"{PATH}:predict", body)
    assert (status, told[: len(message)]) == (400, message)


def test_what_is_told_of_a_model(app: App) -> None:
    status = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    told = {"name": "tiny", "ready": True, "model_version_status": [status]}  # `ready` for KServe's clients
    assert get(app, PATH) == get(app, f"{PATH}/versions/3") == told
    assert get(app, "/v1/models") == {"models": ["tiny"]}
    about = get(app, f"{PATH}/metadata")
    default = about["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert about["model_spec"] == {"name": "tiny", "signature_name": "", "version": "3"}
    assert {name: one["dtype"] for name, one in default["inputs"].items()} == {
        "tenure": "DT_DOUBLE", "spend per month": "DT_DOUBLE", "is_new": "DT_DOUBLE", "plan": "DT_STRING", "signup": "DT_STRING",
    }  # fmt: skip
    assert post(app, f"{PATH}/versions/4:predict", {})[0] == 404
    assert post(app, "/v1/models/tony:predict", {}) == (
        404,
        "expected a model named tiny. Received: /v1/models/tony:predict",
    )


def test_pictures(tmp_path: Path) -> None:
    app = surface(write_picture_bundle(tmp_path / "model"))
    files = [encoded(picture(colour)) for colour in range(3)]
    pixels = picture(2).tolist()
    forms = [{"b64": b64(files[0])}, {"image": {"b64": b64(files[1])}}, {"image_bytes": {"b64": b64(files[2])}}, pixels]
    status, answer = post(app, "/v1/models/colours:predict", {"instances": forms})
    assert (status, [one["label"] for one in answer["predictions"]]) == (200, ["red", "green", "blue", "blue"])
    answer = post(app, "/v1/models/colours:classify", {"examples": [{"image": {"b64": b64(files[1])}}]})[1]
    assert max(answer["results"][0], key=lambda one: one[1])[0] == "green"
    for one, message in (
        ({"b64": "%%"}, 'instances[0]: expected {"b64": ...} with bytes in Base64'),
        (7, 'instances[0]: expected a picture as {"b64": ...}, or rows of pixels [r, g, b]. Received: 7'),
        ([[1, 2], [3]], 'instances[0]: expected a picture as {"b64": ...}'),
        ([[[1, 2, 300]]], "inputs.image.data: expected whole numbers from 0 to 255"),
        ([[[1, 2]]], "inputs.image.shape: expected [N, height, width, 3]"),
        ({"b64": b64(b"GIF89a")}, "instances[0]: "),
    ):
        told = post(app, "/v1/models/colours:predict", {"instances": [one]})
        assert (told[0], told[1][: len(message)]) == (400, message)
