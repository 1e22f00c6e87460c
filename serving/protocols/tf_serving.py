"""TensorFlow Serving's REST paths, which are KServe's first protocol as well: for those who have clients of it.

    GET  /v1/models, /v1/models/M[/versions/V|/labels/L][/metadata]
    POST /v1/models/M[/versions/V|/labels/L]:predict | :classify | :regress

The tensors are those of the bundle's SavedModel: per column one of the shape [N], and `probabilities` [N, C] with
`label` [N], or `value` [N, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.artifacts.signature import Input, Signature
from headrace.serving.exchange import Answer, Handler, Request, Response
from headrace.serving.protocols.names import labels, model_names, versions
from headrace.serving.served import Codec, Served

if TYPE_CHECKING:
    from headrace.serving.app import App

SIGNATURE = "serving_default"
_DTYPES = {"number": "DT_DOUBLE", "boolean": "DT_DOUBLE", "image": "DT_STRING"}


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """The protocol's routes, by path and method."""
    known = versions(app.router)

    def listed(request: Request) -> Response:
        return _json({"models": list(model_names(app))})

    found: dict[str, dict[str, Handler]] = {"/v1/models": {"GET": listed}}
    for name in model_names(app):
        path = f"/v1/models/{name}"
        found |= _of_model(app, name, path, None, list(known))
        for version, served in known.items():
            found |= _of_model(app, name, f"{path}/versions/{version}", served, [version])
        for label, served in labels(app.router).items():
            found |= _of_model(app, name, f"{path}/labels/{label}", served, [served.version or ""])
    return found


def _of_model(app: App, name: str, path: str, served: Served | None, known: list[str]) -> dict[str, dict[str, Handler]]:
    def status(request: Request) -> Response:
        fine = {"error_code": "OK", "error_message": ""}
        each = [{"version": version, "state": "AVAILABLE", "status": fine} for version in known or ["0"]]
        # KServe's clients ask for `ready` here; TensorFlow Serving's look at the versions alone.
        return _json({"name": name, "ready": True, "model_version_status": each})

    def about(request: Request) -> Response:
        asked = served or app.router.main
        return _json(metadata(name, asked.version or "0", asked.bundle.signature))

    def verb(make: str) -> Handler:
        def handler(request: Request) -> Answer:
            return app.predict(request, _codec(make), served)

        return handler

    return {
        path: {"GET": status},
        f"{path}/metadata": {"GET": about},
        f"{path}:predict": {"POST": verb("PredictCodec")},
        f"{path}:classify": {"POST": verb("ClassifyCodec")},
        f"{path}:regress": {"POST": verb("RegressCodec")},
    }


def _codec(name: str) -> Callable[[Served], Codec]:
    from headrace.serving.protocols import tf_json

    found: Callable[[Served], Codec] = getattr(tf_json, name)
    return found


def _json(value: Any) -> Response:
    return Response(200, msgspec.json.encode(value))


def metadata(name: str, version: str, signature: Signature) -> dict[str, Any]:
    """A SavedModel's signature as TensorFlow Serving tells it."""
    outputs = {signature.output: _tensor(signature.output, "DT_FLOAT", -1, max(1, len(signature.classes)))}
    if signature.classes:
        outputs["label"] = _tensor("label", "DT_STRING", -1)
    default = {
        "inputs": {item.name: _tensor(item.name, dtype_of(item), -1) for item in signature.inputs},
        "outputs": outputs,
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: default}}},
    }


def dtype_of(item: Input) -> str:
    """An input's type in TensorFlow's terms."""
    return _DTYPES.get(item.type, "DT_STRING")


def _tensor(name: str, dtype: str, *shape: int) -> dict[str, Any]:
    dim = [{"size": str(side), "name": ""} for side in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": f"{SIGNATURE}_{name}:0"}
