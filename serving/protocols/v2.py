"""Open Inference Protocol, version 2, over REST, as KServe, Triton and MLServer speak it.

GET  /v2, /v2/health/live, /v2/health/ready
GET  /v2/models/M[/versions/V], /v2/models/M[/versions/V]/ready
POST /v2/models/M[/versions/V]/infer
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headrace import __version__
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.signature import Input
from headrace.serving.exchange import Answer, Handler, Request, Response
from headrace.serving.protocols.names import keyed, model_names, versions
from headrace.serving.protocols.operations import read_as
from headrace.serving.served import Served

if TYPE_CHECKING:
    from headrace.serving.app import App

SERVER = {"name": "headrace", "version": __version__, "extensions": ["binary_tensor_data"]}
PLATFORM = "onnx_onnxv1"


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """The protocol's routes, by path and method."""
    found: dict[str, dict[str, Handler]] = {
        "/v2": {"GET": _told(lambda: SERVER)},
        "/v2/health/live": {"GET": _told(lambda: {"live": True})},
        "/v2/health/ready": {"GET": _told(lambda: {"ready": True, "live": True})},
    }
    for name in model_names(app):
        found |= _of_model(app, name, f"/v2/models/{name}", None)
        for version, served in versions(app.router).items():
            found |= _of_model(app, name, f"/v2/models/{name}/versions/{version}", served)
    return found


def _of_model(app: App, name: str, path: str, served: Served | None) -> dict[str, dict[str, Handler]]:
    def infer(request: Request) -> Answer:
        from headrace.serving.protocols.v2_json import HEADER, V2Codec, key_of

        if HEADER in request.headers and len(app.router.all) > 1 and (key := key_of(request)) is not None:
            keyed(app, request, key)  # the router reads bodies that are JSON alone
        return app.predict(request, V2Codec, served)

    def about() -> dict[str, Any]:
        return metadata(name, (served or app.router.main).bundle, list(versions(app.router)))

    return {
        path: {"GET": _told(about)},
        f"{path}/ready": {"GET": _told(lambda: {"name": name, "ready": True})},
        f"{path}/infer": {"POST": infer},
    }


def _told(value: Callable[[], Any]) -> Handler:
    def handler(request: Request) -> Response:
        return Response(200, msgspec.json.encode(value()))

    return handler


def metadata(name: str, bundle: Bundle, known: list[str]) -> dict[str, Any]:
    """What the protocol tells of a model.

    Its properties, as JSON: the classes, in the probabilities' order, the inputs' types, and how its CSV data was read.
    """
    signature = bundle.signature
    outputs: list[dict[str, Any]] = [
        {"name": signature.output, "datatype": "FP32", "shape": [-1, max(1, len(signature.classes))]}
    ]
    types = {item.name: item.type for item in signature.inputs}
    properties: dict[str, str] = {"task": signature.task, "types": msgspec.json.encode(types).decode()}
    properties["csv"] = msgspec.json.encode(read_as(bundle)).decode()
    if signature.classes:
        outputs.append({"name": "label", "datatype": "BYTES", "shape": [-1, 1]})
        properties["classes"] = msgspec.json.encode(signature.classes).decode()
    return {
        "name": name,
        "versions": known,
        "platform": PLATFORM,
        "inputs": [_input(item) for item in signature.inputs],
        "outputs": outputs,
        "properties": properties,
    }


def _input(item: Input) -> dict[str, Any]:
    from headrace.serving.protocols.tensors import datatype_of

    return {"name": item.name, "datatype": datatype_of(item), "shape": [-1, 1]}
