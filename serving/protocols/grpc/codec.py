"""The protocol's calls over gRPC: from messages to what the model takes, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from headrace.serving.exchange import Answer, Handler, HttpError, Request, Response
from headrace.serving.protocols.grpc.messages import message
from headrace.serving.protocols.names import keyed, model_names, versions
from headrace.serving.protocols.tensors import BYTES, Tensor, from_bytes, pictures_of, rows_of
from headrace.serving.protocols.v2 import SERVER, metadata
from headrace.serving.protocols.v2_json import about, check_output, lengthened, output_names, output_of
from headrace.serving.request import BadRequest
from headrace.serving.served import Served

if TYPE_CHECKING:
    from headrace.serving.app import App

SERVICE = "inference.GRPCInferenceService"
METHODS = frozenset(
    f"/{SERVICE}/{name}"
    for name in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer")
)
METHOD = "GRPC"  # no client over HTTP can ask with it
PROTOBUF = b"application/grpc"

_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", BYTES: "bytes_contents",
}  # fmt: skip


class Call(Request):
    """A request whose body is a message; `message` is that, once it was read."""

    __slots__ = ("message",)

    def __init__(self, path: str, body: bytes, headers: Mapping[bytes, bytes], peer: str = "") -> None:
        super().__init__(METHOD, path, body, headers, peer=peer)
        self.message: Any = None


class Asked(NamedTuple):
    """What an answer has to know of its request."""

    id: str
    outputs: tuple[str, ...]
    raw: bool


def routes(app: App) -> dict[str, dict[str, Handler]]:
    """The calls, by path."""
    made: dict[str, Callable[[Any], dict[str, Any]]] = {
        "ServerLive": lambda asked: {"live": True},
        "ServerReady": lambda asked: {"ready": True},
        "ServerMetadata": lambda asked: SERVER,
        "ModelReady": lambda asked: {"ready": bool(_chosen(app, asked.name, asked.version))},
        "ModelMetadata": lambda asked: _metadata(app, asked),
    }
    found: dict[str, dict[str, Handler]] = {
        f"/{SERVICE}/{name}": {METHOD: _told(name, of)} for name, of in made.items()
    }

    def infer(request: Request) -> Answer:
        asked = _read("ModelInfer", request)
        served = _chosen(app, asked.model_name, asked.model_version)
        if len(app.router.all) > 1 and "key" in asked.parameters:
            keyed(app, request, parameter(asked.parameters["key"]))
        return app.predict(request, GrpcCodec, served if asked.model_version else None)

    return {**found, f"/{SERVICE}/ModelInfer": {METHOD: infer}}


def _told(name: str, value: Callable[[Any], dict[str, Any]]) -> Handler:
    def handler(request: Request) -> Response:
        answer = message(f"{name}Response")(**value(_read(name, request)))
        return Response(200, answer.SerializeToString(), PROTOBUF)

    return handler


def _read(name: str, request: Request) -> Any:
    """A request's message; a copy of a request, as a shadow sees it, has only its bytes."""
    try:
        found = message(f"{name}Request").FromString(request.body)
    except DecodeError:
        raise HttpError(400, f"expected a {name}Request. Received: {len(request.body)} bytes that are none") from None
    if isinstance(request, Call):
        request.message = found
    return found


def parameter(value: Any) -> Any:
    """The value of an `InferParameter`."""
    field = value.WhichOneof("parameter_choice")
    return getattr(value, field) if field else None


def _chosen(app: App, name: str, version: str) -> Served:
    names, known = model_names(app), versions(app.router)
    if name not in names:
        raise HttpError(404, f"model: expected {' or '.join(names)}. Received: {name[:80]!r}")
    if version and version not in known:
        raise HttpError(404, f"version: expected {' or '.join(known) or 'none'}. Received: {version[:80]!r}")
    return known[version] if version else app.router.main


def _metadata(app: App, asked: Any) -> dict[str, Any]:
    served = _chosen(app, asked.name, asked.version)
    return metadata(asked.name, served.bundle, list(versions(app.router)))


class GrpcCodec:
    """Of one model."""

    def __init__(self, served: Served) -> None:
        self._scorer: Any = served.scorer
        self._signature = served.bundle.signature
        self._names = output_names(self._signature)
        self._about = about(served)
        self._answer = message("ModelInferResponse")

    def decode(self, request: Request) -> tuple[Any, Asked]:
        """A request's message as what the model takes, and what the answer has to know of it.

        Raises:
            BadRequest: see `Codec.decode`.
        """
        asked = (request.message if isinstance(request, Call) else None) or _read("ModelInfer", request)
        raw = asked.raw_input_contents
        if raw and len(raw) != len(asked.inputs):
            raise BadRequest(
                f"raw_input_contents: expected one for each of {len(asked.inputs)} inputs. Received: {len(raw)}"
            )
        tensors = [_tensor(item, raw[place] if raw else None) for place, item in enumerate(asked.inputs)]
        for output in asked.outputs:
            check_output(output.name, self._names)
        outputs = tuple(output.name for output in asked.outputs) or self._names
        known = Asked(asked.id, outputs, bool(raw))
        if item := self._signature.image:
            return pictures_of(item, tensors), known
        return self._scorer.inputs(rows_of(self._signature, tensors)), known

    def encode(self, outputs: npt.NDArray[np.float32], asked: Asked) -> Response:
        """The answer's message; its tensors are raw bytes where the request's were."""
        answer = self._answer(id=asked.id, **self._about)
        for name in asked.outputs:
            datatype, shape, values = output_of(name, self._signature, outputs)
            tensor = answer.outputs.add(name=name, datatype=datatype, shape=shape)
            if asked.raw:
                answer.raw_output_contents.append(lengthened(values) if datatype == BYTES else values.tobytes())
            elif datatype == BYTES:
                tensor.contents.bytes_contents.extend(text.encode() for text in values)
            else:
                tensor.contents.fp32_contents.extend(values.ravel().tolist())
        return Response(200, answer.SerializeToString(), PROTOBUF)


def _tensor(item: Any, raw: bytes | None) -> Tensor:
    shape, where = list(item.shape), f"inputs.{item.name[:80]}"
    values: Sequence[Any] | np.ndarray
    if raw is not None:
        if item.HasField("contents"):
            raise BadRequest(f"{where}: expected either contents or raw_input_contents. Received: both")
        values = from_bytes(where, item.datatype, shape, raw)
    else:
        field = _CONTENTS.get(item.datatype)
        if field is None:
            told = f"one of {', '.join(_CONTENTS)}; FP16 as raw_input_contents"
            raise BadRequest(f"{where}.datatype: expected {told}. Received: {item.datatype[:80]!r}")
        values = list(getattr(item.contents, field))
    return Tensor(item.name, item.datatype, shape, values)
