"""What a trained model's server answers to requests that are not as they should be: status and message, each."""

from __future__ import annotations

import csv
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from headrace.serving.client import Client
from headrace.serving.csv_rows import read_csv
from tests.e2e.projects import Project, serving


@pytest.fixture(scope="module")
def url(trained: Project) -> Iterator[str]:
    with serving(trained, "churn") as url:
        yield url


@pytest.fixture(scope="module")
def instance(url: str, trained: Project) -> dict[str, Any]:
    """The first subscriber, with the fields that the model asks for."""
    with Client(url) as client:
        return next(read_csv(trained.folder / "data" / "subscribers.csv", client.describe()["inputs"]))


def post(url: str, body: bytes) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def of(*instances: dict[str, Any]) -> bytes:
    return json.dumps({"instances": instances}).encode()


def without(instance: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in instance.items() if name != field}


def test_a_good_request(url: str, instance: dict[str, Any]) -> None:
    status, answer = post(url, of(instance, instance))
    assert status == 200
    first, second = answer["predictions"]
    assert first == second
    assert first["label"] in ("0", "1")
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)


REFUSED: dict[str, tuple[Any, str]] = {
    "a missing field": (
        lambda good: of(good, without(good, "plan")),
        "instances[1]: expected the field plan (null where missing). Received: none",
    ),
    "an extra field": (
        lambda good: of({**good, "churned": 1}),
        "instances[0]: expected only the fields {fields}. Received: 'churned'",
    ),
    "a text for a number": (
        lambda good: of({**good, "age": "old"}),
        'instances[0].age: expected a number or null. Received: "old"',
    ),
    "a number for a category": (
        lambda good: of({**good, "plan": 3}),
        "instances[0].plan: expected a string or null. Received: 3",
    ),
    "no date": (
        lambda good: of({**good, "signup_date": "yesterday"}),
        'instances[0].signup_date: expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z. Received: "yesterday"',
    ),
    "a list for an instance": (
        lambda good: json.dumps({"instances": [[1, 2]]}).encode(),
        "instances[0]: expected an object. Received: [1, 2]",
    ),
    "no instances": (lambda good: b"{}", 'body: expected the field "instances". Received: none of that name'),
    "NaN": (
        lambda good: b'{"instances": [{"age": NaN}]}',
        "body: expected JSON. Received: invalid character at byte 23, near 'NaN}}]}}' "
        "(JSON has no NaN or infinity: null says a value is missing)",
    ),
    "invalid JSON": (
        lambda good: b'{"instances": [',
        "body: expected JSON. Received: a text that ends too early, at byte 15",
    ),
    "nothing": (lambda good: b"", 'body: expected JSON {{"instances": [...]}}. Received: an empty body'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, url: str, instance: dict[str, Any]) -> None:
    make, message = REFUSED[case]
    fields = ", ".join(instance)
    assert post(url, make(instance)) == (400, {"error": message.format(fields=fields)})


def test_an_empty_list_is_answered_with_one(url: str) -> None:
    status, answer = post(url, of())
    assert (status, answer["predictions"]) == (200, [])


def test_ten_megabytes(url: str, instance: dict[str, Any]) -> None:
    body = of({**instance, "plan": "x" * 10_000_000})
    message = f"body: expected at most 8388608 bytes. Received: {len(body)} bytes"
    assert post(url, body) == (413, {"error": message})
    assert post(url, of(instance))[0] == 200


def test_an_unknown_category_is_scored_and_counted(url: str, instance: dict[str, Any]) -> None:
    def counted() -> int:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return int(next(line for line in lines if line.startswith("headrace_unseen_categories_total{")).split()[1])

    before = counted()
    status, answer = post(url, of({**instance, "plan": "platinum"}))
    assert status == 200
    assert answer["predictions"][0]["label"] in ("0", "1")
    assert counted() == before + 1


def test_a_missing_value_is_null(url: str, instance: dict[str, Any]) -> None:
    status, answer = post(url, of(dict.fromkeys(instance)))
    assert status == 200
    assert set(answer["predictions"][0]["probabilities"]) == {"0", "1"}


def test_predict_says_what_the_server_says(url: str, instance: dict[str, Any], trained: Project) -> None:
    def predict(*arguments: str) -> tuple[int, str, str]:
        said = trained.headrace("predict", "churn", *arguments)
        return said.code, said.out, said.err

    code, out, err = predict("--json", json.dumps(instance))
    assert (code, err) == (0, "")
    assert json.loads(out) == post(url, of(instance))[1]["predictions"][0]
    message = REFUSED["a missing field"][1].replace("[1]", "[0]")
    expected = f"headrace: {url}/predict: {message} (HTTP 400)\n"
    assert predict("--json", json.dumps(without(instance, "plan"))) == (1, "", expected)
    assert predict("--json", "[]") == (0, "", "")
    expected = "headrace: --json: expected an object, or a list of objects. Received: 3\n"
    assert predict("--json", "3") == (1, "", expected)
    code, out, err = predict("--json", "{")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("headrace: --json: expected JSON. Received: '{' (")
    expected = "headrace: instances: expected numbers that JSON has (null where a value is missing). Received: NaN or infinity\n"
    assert predict("--json", json.dumps({**instance, "age": float("nan")})) == (1, "", expected)
    code, out, err = predict()
    assert (code, out) == (2, "")
    assert err.endswith("Error: expected one of --json, --csv and --image. Received: none\n")


def test_a_csv_that_lacks_a_column(url: str, trained: Project, tmp_path: Any) -> None:
    file = tmp_path / "few.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["plan"], ["ads"]])
    said = trained.headrace("predict", "churn", "--csv", file)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"headrace: {file}: expected the columns ")
    assert said.err.endswith(". Received: plan\n")


def test_a_csv_without_rows_is_told(url: str, trained: Project, tmp_path: Any) -> None:
    file = tmp_path / "none.csv"
    source = next(trained.folder.rglob("subscribers.csv"), None) or next(trained.folder.rglob("*.csv"))
    with source.open(newline="") as stream:
        header = next(csv.reader(stream))
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerow(header)
    said = trained.headrace("predict", "churn", "--csv", file)
    assert (said.code, said.out, said.err) == (0, "", f"{file}: there is no row below the header\n")


def test_no_server_no_model(trained: Project) -> None:
    said = trained.headrace("predict", "nobody", "--json", "{}")
    expected = "headrace: nobody: expected a running server. Received: none; start it with `headrace serve nobody`\n"
    assert (said.code, said.out, said.err) == (1, "", expected)
    said = trained.headrace("serve", "nobody")
    expected = (
        "headrace: expected an endpoint, a model or a bundle's folder. Received: nobody; "
        f"in {trained.home} there is churn\n"
    )
    assert (said.code, said.out, said.err) == (1, "", expected)
    said = trained.headrace("serve", "churn:9")
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
