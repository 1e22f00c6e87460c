"""The OpenAPI document of what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headrace import __version__
from headrace.artifacts.signature import Signature
from headrace.serving.protocols.names import labels, model_names, versions
from headrace.serving.protocols.openapi import example_rows
from headrace.serving.protocols.openapi_schemas import ref, schemas
from headrace.serving.protocols.v2_example import infer_body

if TYPE_CHECKING:
    from headrace.serving.app import App

Operation = dict[str, Any]


def document(app: App) -> dict[str, Any]:
    """The whole document."""
    bundle = app.router.main.bundle
    signature = bundle.signature
    rows = example_rows(app, 1)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": bundle.name,
            "version": bundle.version or bundle.digest[:19],
            "summary": f"A model of {signature.task}: predicts {signature.label}.",
            "description": f"Digest {bundle.digest}. Served by headrace {__version__}.",
        },
        "tags": [
            {"name": "Predictions", "description": "Vertex AI's contract, and the simplest."},
            {"name": "Open Inference Protocol", "description": "Version 2: KServe, Triton, MLServer."},
            {"name": "TensorFlow Serving", "description": "Its REST paths; KServe's version 1."},
            {"name": "Operations"},
        ],
        "paths": {**_own(app, rows), **_v2(app, signature, rows), **_tf(app, signature, rows), **_operations(app)},
        "components": {"schemas": schemas(signature)},
    }


def _own(app: App, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        _path(route): {
            "post": _asks(
                "Predictions",
                "Predictions for some instances",
                "PredictRequest",
                {"instances": rows},
                "PredictResponse",
            )
        }
        for route in app.settings.predict_routes
    }


def _v2(app: App, signature: Signature, rows: list[dict[str, Any]]) -> dict[str, Any]:
    tag = "Open Inference Protocol"
    found: dict[str, Any] = {
        "/v2": {"get": _tells(tag, "The server")},
        "/v2/health/live": {"get": _tells(tag, "Whether it lives")},
        "/v2/health/ready": {"get": _tells(tag, "Whether it can answer")},
    }
    body = infer_body(signature, rows)
    for path in _models(app, "/v2/models/", with_labels=False):
        found[path] = {"get": _tells(tag, "The model's tensors")}
        found[f"{path}/ready"] = {"get": _tells(tag, "Whether the model can answer")}
        found[f"{path}/infer"] = {"post": _asks(tag, "Predictions", "InferRequest", body, "InferResponse")}
    return found


def _tf(app: App, signature: Signature, rows: list[dict[str, Any]]) -> dict[str, Any]:
    tag = "TensorFlow Serving"
    verb = "classify" if signature.classes else "regress"
    found: dict[str, Any] = {"/v1/models": {"get": _tells(tag, "The models")}}
    examples = {"examples": rows}
    for path in _models(app, "/v1/models/", with_labels=True):
        found[path] = {"get": _tells(tag, "The versions that are served")}
        found[f"{path}/metadata"] = {"get": _tells(tag, "The model's signature")}
        told = _asks(tag, "Predictions", "TfPredictRequest", {"instances": rows}, "TfPredictResponse")
        found[f"{path}:predict"] = {"post": told}
        told = _asks(tag, "Predictions of examples", "TfExamplesRequest", examples, "TfResultsResponse")
        found[f"{path}:{verb}"] = {"post": told}
    return found


def _operations(app: App) -> dict[str, Any]:
    found = {route: {"get": _tells("Operations", "Health")} for route in map(_path, app.settings.health_routes)}
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "/": {"get": _tells("Operations", "The model: name, version, digest, inputs, outputs")},
        **found,
        "/metrics": {"get": _operation("Operations", "For Prometheus", text)},
        "/openapi.json": {"get": _tells("Operations", "This document")},
        "/docs": {"get": _operation("Operations", "A page to try it", {"text/html": {"schema": {"type": "string"}}})},
    }


def _models(app: App, start: str, with_labels: bool) -> list[str]:
    found = []
    for name in model_names(app):
        path = _path(start + name)
        found.append(path)
        found += [_path(f"{start}{name}/versions/{version}") for version in versions(app.router)]
        found += [_path(f"{start}{name}/labels/{label}") for label in labels(app.router)] if with_labels else []
    return found


def _path(route: str) -> str:
    """A route as a URL has it; braces would be a template's."""
    return quote(route, safe="/:@!$&'()*+,;=~")


def _tells(tag: str, summary: str) -> Operation:
    return _operation(tag, summary, {"application/json": {"schema": {"type": "object"}}})


def _asks(tag: str, summary: str, request: str, example: Any, response: str) -> Operation:
    operation = _operation(tag, summary, {"application/json": {"schema": ref(response)}})
    content = {"application/json": {"schema": ref(request), "example": example}}
    operation["requestBody"] = {"required": True, "content": content}
    operation["responses"]["400"] = _error("The request cannot be scored; the message names the field.")
    return operation


def _operation(tag: str, summary: str, content: dict[str, Any]) -> Operation:
    others = _error("Any other error, such as 404, 405, 408, 413 or 503.")
    return {
        "tags": [tag],
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": content}, "default": others},
    }


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": ref("Error")}}}
