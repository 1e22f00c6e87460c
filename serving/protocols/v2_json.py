"""Open Inference Protocol, version 2, over REST: bodies in JSON, and with tensors as bytes behind it.

The header `Inference-Header-Content-Length` says how long the JSON is; after it come the bytes of the tensors that have
a parameter `binary_data_size`, in their order. Answers are sent likewise where `binary_data_output`, or an output's
`binary_data`, asks for that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from headrace.artifacts.answer import predictions
from headrace.artifacts.signature import Signature
from headrace.serving.exchange import JSON, Request, Response
from headrace.serving.protocols.bodies import fault, reader
from headrace.serving.protocols.tensors import BYTES, DTYPES, FLOATS, Tensor, from_bytes, pictures_of, rows_of, size_of
from headrace.serving.request import BadRequest
from headrace.serving.served import Served

HEADER = b"inference-header-content-length"
OCTETS = b"application/octet-stream"
LABEL = "label"

_FORM = '{"inputs": [{"name": ..., "shape": [N], "datatype": ..., "data": [...]}, ...]}'
_DEEPEST = 4  # dimensions of a tensor: those of pictures


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: dict[str, Any] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None
    model_name: str | None = None  # KServe's client repeats both; the path decides
    model_version: str | None = None


class Asked(NamedTuple):
    """What an answer has to know of its request."""

    id: str
    outputs: tuple[tuple[str, bool], ...]  # names, and whether each is sent as bytes


_read = reader(_Body, _FORM)
_LISTS: dict[str, msgspec.json.Decoder[Any]] = {
    **{name: msgspec.json.Decoder(list[int | None]) for name in DTYPES},
    **{name: msgspec.json.Decoder(list[float | int | None]) for name in FLOATS},
    "BOOL": msgspec.json.Decoder(list[bool | Literal[0, 1] | None]),
    BYTES: msgspec.json.Decoder(list[str | None]),
}


class V2Codec:
    """Of one model."""

    def __init__(self, served: Served) -> None:
        self._scorer: Any = served.scorer
        self._signature = served.bundle.signature
        self._names = output_names(self._signature)
        self._about = about(served)

    def decode(self, request: Request) -> tuple[Any, Asked]:
        """A request's body as what the model takes, and what the answer has to know of it.

        Raises:
            BadRequest: see `Codec.decode`.
        """
        head, rest = split(request)
        body = _read(head)
        tensors = _tensors(body.inputs, rest, bool(self._signature.image))
        asked = Asked(body.id or "", self._outputs(body))
        if item := self._signature.image:
            return pictures_of(item, tensors), asked
        return self._scorer.inputs(rows_of(self._signature, tensors)), asked

    def _outputs(self, body: _Body) -> tuple[tuple[str, bool], ...]:
        usual = flag(body.parameters, "binary_data_output", False)
        if not body.outputs:
            return tuple((name, usual) for name in self._names)
        for output in body.outputs:
            check_output(output.name, self._names)
        return tuple((output.name, flag(output.parameters, "binary_data", usual)) for output in body.outputs)

    def encode(self, outputs: npt.NDArray[np.float32], asked: Asked) -> Response:
        """The answer, with the outputs that were asked for."""
        tails: list[bytes] = []
        told = []
        for name, binary in asked.outputs:
            datatype, shape, values = output_of(name, self._signature, outputs)
            entry: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
            if binary:
                content = lengthened(values) if datatype == BYTES else values.tobytes()
                tails.append(content)
                entry["parameters"] = {"binary_data_size": len(content)}
            else:
                entry["data"] = values if datatype == BYTES else values.ravel().tolist()
            told.append(entry)
        body = msgspec.json.encode({**self._about, **({"id": asked.id} if asked.id else {}), "outputs": told})
        if not tails:
            return Response(200, body, JSON)
        return Response(200, b"".join((body, *tails)), OCTETS, ((HEADER, b"%d" % len(body)),))


def about(served: Served) -> dict[str, str]:
    """What every answer says of the model."""
    version = {} if served.version is None else {"model_version": served.version}
    return {"model_name": served.name, **version}


def output_names(signature: Signature) -> tuple[str, ...]:
    """The outputs of a model: what its graph answers, and of classes the label."""
    return (signature.output, LABEL) if signature.classes else (signature.output,)


def check_output(name: str, known: Sequence[str]) -> None:
    """Raises BadRequest where an output that is asked for does not exist."""
    if name not in known:
        raise BadRequest(f"outputs: expected {' or '.join(known)}. Received: {name[:80]!r}")


def output_of(name: str, signature: Signature, outputs: npt.NDArray[np.float32]) -> tuple[str, list[int], Any]:
    """An output's datatype, shape and values: float32 [N, C] or [N, 1], or N labels."""
    if name == LABEL:
        labels = [one["label"] for one in predictions(signature, outputs)]
        return BYTES, [len(labels), 1], labels
    return "FP32", list(outputs.shape), outputs


def lengthened(texts: Sequence[str]) -> bytes:
    """Strings as the protocol sends them in bytes: each behind its length."""
    encoded = [text.encode() for text in texts]
    return b"".join(part for one in encoded for part in (len(one).to_bytes(4, "little"), one))


def flag(parameters: dict[str, Any] | None, name: str, usual: bool) -> bool:
    """A parameter that is true or false."""
    value = (parameters or {}).get(name, usual)
    if not isinstance(value, bool):
        raise BadRequest(f"parameters.{name}: expected true or false. Received: {str(value)[:80]}")
    return value


def split(request: Request) -> tuple[bytes, memoryview]:
    """The JSON of a body, and the bytes behind it."""
    told, body = request.headers.get(HEADER), request.body
    if told is None:
        return body, memoryview(b"")
    if not (told.isdigit() and len(told) < 20 and int(told) <= len(body)):
        expected = f"at most the {len(body)} bytes of the body"
        raise BadRequest(
            f"Inference-Header-Content-Length: expected {expected}. Received: {told[:40].decode('latin-1')}"
        )
    return body[: int(told)], memoryview(body)[int(told) :]


def key_of(request: Request) -> Any:
    """The parameter by which a request of a split is dealt; None where it has none, or is none."""
    try:
        return (_read(split(request)[0]).parameters or {}).get("key")
    except BadRequest:  # told where it is decoded
        return None


def _tensors(inputs: Sequence[_Input], rest: memoryview, pictures: bool) -> list[Tensor]:
    tensors, place = [], 0
    for item in inputs:
        where = f"inputs.{item.name[:80]}"
        size = (item.parameters or {}).get("binary_data_size")
        values: Any
        if size is None:
            values = _listed(item, where)
            if pictures and item.datatype == BYTES:
                values = [_file(text, number, where) for number, text in enumerate(values)]
        else:
            if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest) - place:
                expected = f"bytes that are there (0 to {len(rest) - place})"
                raise BadRequest(
                    f"{where}.parameters.binary_data_size: expected {expected}. Received: {str(size)[:80]}"
                )
            if bytes(item.data) not in (b"", b"null"):
                raise BadRequest(f"{where}: expected either data or binary_data_size. Received: both")
            values = from_bytes(where, item.datatype, item.shape, bytes(rest[place : place + size]))
            place += size
        tensors.append(Tensor(item.name, item.datatype, item.shape, values))
    if place != len(rest):
        raise BadRequest(f"body: expected {place} bytes behind the JSON. Received: {len(rest)}")
    return tensors


def _listed(item: _Input, where: str) -> list[Any]:
    """The values of a tensor in JSON, flat or nested as its shape is."""
    decoder = _LISTS.get(item.datatype)
    if decoder is None:
        raise BadRequest(f"{where}.datatype: expected one of {', '.join(_LISTS)}. Received: {item.datatype[:80]!r}")
    if not bytes(item.data):
        raise BadRequest(f'{where}: expected the field "data". Received: none of that name')
    try:
        found: list[Any] = decoder.decode(item.data)
        return found
    except msgspec.ValidationError as error:
        flat = _flattened(item, where)
        if flat is None:
            raise BadRequest(fault(error, f"{where}.data")) from None
    try:
        values: list[Any] = msgspec.convert(flat, decoder.type)
    except msgspec.ValidationError as error:
        raise BadRequest(fault(error, f"{where}.data (flat)")) from None
    return values


def _flattened(item: _Input, where: str) -> list[Any] | None:
    """Nested lists as one; None where they are not nested."""
    values = msgspec.json.decode(item.data)
    if not isinstance(values, list) or not any(isinstance(value, list) for value in values):
        return None
    for side in item.shape[1:_DEEPEST]:
        if not all(isinstance(value, list) and len(value) == side for value in values):
            raise BadRequest(f"{where}.data: expected lists nested as the shape {item.shape} says. Received: others")
        values = [one for value in values for one in value]
    size_of(where, item.shape)
    return values


def _file(text: str | None, place: int, where: str) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        expected = "a JPEG or PNG file in Base64 (with + and /, padded with =)"
        raise BadRequest(f"{where}.data[{place}]: expected {expected}. Received: {str(text)[:80]!r}") from None
