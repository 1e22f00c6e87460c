"""The OpenAPI document says what the model takes, and the page has all it needs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from picture_bundle import write_picture_bundle
from surfaces import answer_of, get, post, surface

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App
from headrace.serving.exchange import Request
from headrace.serving.protocols.operations import describe


@pytest.fixture(scope="module")
def app(binary: Bundle) -> App:
    return surface(binary)


def validator(document: dict[str, Any], name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def test_the_fields(app: App) -> None:
    document = get(app, "/openapi.json")
    instance = document["components"]["schemas"]["Instance"]
    assert instance["required"] == ["tenure", "spend per month", "is_new", "plan", "signup"]
    assert instance["properties"]["tenure"]["description"] == "In training 0 to 71. Null where missing."
    assert instance["properties"]["plan"]["examples"] == ["basic", "pro", "日本", "café"]
    assert set(instance["properties"]["is_new"]["enum"]) == {True, False, None}
    check = validator(document, "Instance")
    row = {"tenure": 1, "spend per month": 1.5, "is_new": True, "plan": "x", "signup": "2024-02-29T10:00:00Z"}
    assert check.is_valid(row) and check.is_valid(dict.fromkeys(row))
    for name, value in (("tenure", "1"), ("is_new", 2), ("plan", 1), ("signup", "soon")):
        assert not check.is_valid({**row, name: value})
    assert not check.is_valid({**row, "more": 1})


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "pictures"])
def test_examples_and_their_answers_are_as_described(kind: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    app = surface(write_picture_bundle(tmp_path / "model") if kind == "pictures" else bundles[kind])
    document = get(app, "/openapi.json")
    asked = 0
    for path, methods in document["paths"].items():
        if "post" not in methods:
            continue
        told = methods["post"]["requestBody"]["content"]["application/json"]
        validator(document, told["schema"]["$ref"].rpartition("/")[2]).validate(told["example"])
        status, answer = post(app, path, told["example"])
        schema = methods["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert status == 200, answer
        validator(document, schema["$ref"].rpartition("/")[2]).validate(answer)
        asked += 1
    assert asked == 1 + 2 + 4 * 2


def test_every_route_is_described(app: App) -> None:
    paths = get(app, "/openapi.json")["paths"]
    told = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    routes = {(path, method) for path, methods in app.routes.items() for method in methods}
    assert {path for path, _ in routes - told} == {
        f"/v1/models/tiny{each}:regress" for each in ("", "/versions/3", "/labels/champion", "/labels/stable")
    }  # it is there, and says that this is no model of regression
    assert not told - routes


def test_the_page_runs_one_script_of_its_own_and_fetches_nothing(app: App) -> None:
    answer = answer_of(app, Request("GET", "/docs"))
    page = answer.body.decode()
    assert answer.content_type.startswith(b"text/html")
    assert "default-src 'none'" in page and "connect-src 'self'" in page
    assert not re.search(r"(src|href)=\"(?!#|openapi\.json)", page)
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])
    assert data["signature"]["inputs"][0]["name"] == "tenure"
    assert len(data["samples"]) == 20
    assert "@@" not in page


def test_a_name_is_a_name_and_no_markup(binary: Bundle, tmp_path: Path) -> None:
    from tests.unit.serving.tiny_bundle import write_tiny_bundle

    name = '</script><b>"@@data@@'
    app = surface(write_tiny_bundle(tmp_path / "model", details={"name": name}))
    page = answer_of(app, Request("GET", "/docs")).body.decode()
    assert "</script><b>" not in page
    assert "&lt;/script&gt;&lt;b&gt;" in page
    assert describe(app.router.main.bundle, "/predict")["name"] == name
