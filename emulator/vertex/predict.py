"""Predictions by what is deployed to an endpoint: the path on which time counts.

Nothing is done here but to find the server: the request's bytes go to it as they are, and its answer's come back with
who gave it.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.emulator.documents import Document
from headrace.emulator.forwarding import Answer, Forwarder, Gone
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Response, Route, refused
from headrace.emulator.vertex import deployments
from headrace.emulator.vertex.deployments import ENDPOINT
from headrace.emulator.vertex.names import LOCATION, location

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_WAIT_S = 30.0  # for a server that is started again
_LOOK_S = 0.02
_MOST_SHOWN = 2000  # characters of a server's error
_CODES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    413: "INVALID_ARGUMENT", 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 501: "UNIMPLEMENTED",
    503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
_FORWARDER = Forwarder()


class _Predictions(msgspec.Struct):
    """What of a server's answer is passed on."""

    predictions: msgspec.Raw
    metadata: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Predictions).decode


async def _predict(emulator: Emulator, call: Call) -> Response:
    assert call.request is not None  # of a coroutine
    body = await call.request.read()
    chosen, version = _chosen(emulator, call)
    answer = await _asked(emulator, chosen, version, b"application/json", body)
    try:
        found = _decode(answer.body)
    except msgspec.MsgspecError as error:
        told = f"{error}. Received: {answer.body[:_MOST_SHOWN].decode(errors='replace')}"
        raise Refusal("INTERNAL", f'expected {{"predictions": [...]}} of the model server: {told}') from None
    about = {
        "deployedModelId": chosen["id"],
        "model": version["name"],
        "modelDisplayName": version["displayName"],
        "modelVersionId": version["versionId"],
    }
    metadata = b',"metadata":%b' % bytes(found.metadata) if bytes(found.metadata) else b""
    tail = b"," + msgspec.json.encode(about)[1:]
    return Response(b'{"predictions":%b%b%b' % (bytes(found.predictions), metadata, tail))


async def _raw_predict(emulator: Emulator, call: Call) -> Response:
    """The server's answer as it is, whatever the body."""
    assert call.request is not None  # of a coroutine
    body = await call.request.read()
    chosen, version = _chosen(emulator, call)
    kind = call.headers.get("content-type", "application/json").encode()
    answer = await _asked(emulator, chosen, version, kind, body)
    about = {
        "X-Vertex-AI-Endpoint-Id": call.params["endpoint"],
        "X-Vertex-AI-Deployed-Model-Id": chosen["id"],
        "X-Vertex-AI-Model": version["name"],
        "X-Vertex-AI-Model-Version-Id": version["versionId"],
    }
    content_type = answer.headers.get(b"content-type", b"application/json").decode().partition(";")[0]
    return Response(answer.body, answer.status, content_type, about)


def _chosen(emulator: Emulator, call: Call) -> tuple[Document, Document]:
    """The deployed model that answers, dealt by chance as the traffic is split, and its version."""
    name = f"{location(call)}/endpoints/{call.params['endpoint']}"
    endpoint = emulator.documents.get(ENDPOINT, name)
    split = endpoint["trafficSplit"]
    if not split:
        why = "its traffic split is empty" if endpoint["deployedModels"] else "nothing is deployed to it"
        raise Refusal("FAILED_PRECONDITION", f"Endpoint {name} answers no predictions: {why}.")
    ids = list(split)
    id = ids[0] if len(ids) == 1 else random.choices(ids, list(split.values()))[0]
    deployment = emulator.documents.get(deployments.KIND, id)
    return deployment, emulator.documents.get("ModelVersion", deployment["model"])


async def _asked(emulator: Emulator, chosen: Document, version: Document, kind: bytes, body: bytes) -> Answer:
    """What the server says; one that has died is waited for while it is started again.

    Raises:
        Refusal: it does not come back, or refuses.
    """
    route = deployments.predict_route(chosen, version).encode()
    head = b"POST %b HTTP/1.1\r\nContent-Type: %b\r\nAccept: application/json\r\n" % (route, kind)
    give_up = time.monotonic() + _WAIT_S
    why = "it starts"
    while True:
        address = emulator.serving.address(chosen["id"])
        if address is not None:
            try:
                answer = await _FORWARDER.post(address, head, body)
            except Gone as gone:
                why = str(gone)
                _FORWARDER.forget(address)
            else:
                if answer.status < 400:
                    return answer
                raise _refused(answer)
        if time.monotonic() >= give_up:
            told = emulator.serving.told(chosen["id"])
            raise Refusal("UNAVAILABLE", f"The server of DeployedModel {chosen['id']} does not answer: {why}. {told}")
        await asyncio.sleep(_LOOK_S)


def _refused(answer: Answer) -> Refusal:
    text = answer.body[:_MOST_SHOWN].decode(errors="replace")
    try:
        error: Any = msgspec.json.decode(answer.body)["error"]
        text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    except (msgspec.MsgspecError, LookupError, TypeError):
        pass  # what it says is no JSON of ours, and shown as it is
    return Refusal(_CODES.get(answer.status, "INTERNAL" if answer.status >= 500 else "INVALID_ARGUMENT"), text)


_ENDPOINT = f"{LOCATION}/endpoints/{{endpoint}}"
ROUTES = (
    Route("POST", f"{_ENDPOINT}:predict", _predict, "Endpoint.predict"),
    Route("POST", f"{_ENDPOINT}:rawPredict", _raw_predict, "PredictionServiceClient.raw_predict"),
    Route("POST", f"{_ENDPOINT}:streamRawPredict", _raw_predict, "PredictionServiceClient.stream_raw_predict"),
    refused(
        "POST", f"{_ENDPOINT}:explain", "Endpoint.explain", "the model server gives no attributions in Vertex AI's form"
    ),
    refused("POST", f"{_ENDPOINT}:directPredict", "Endpoint.direct_predict", "it speaks gRPC"),
    refused("POST", f"{_ENDPOINT}:directRawPredict", "Endpoint.direct_raw_predict", "it speaks gRPC"),
)
