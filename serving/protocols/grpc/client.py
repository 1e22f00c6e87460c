"""A client of the protocol over gRPC."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import grpc

from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import EVERYBODY, TIMEOUT_SECONDS, Access, split_url
from headrace.serving.protocols.clients import answers, file_of, tensor_of
from headrace.serving.protocols.grpc.codec import SERVICE
from headrace.serving.protocols.grpc.messages import message


class GrpcClient:
    """One channel to one model: `grpc://HOST:PORT/MODEL`, or `grpcs://` with TLS."""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS, access: Access = EVERYBODY) -> None:
        parts = split_url(url)
        self._model = unquote(parts.path.strip("/")) if parts else ""
        if parts is None or parts.scheme not in ("grpc", "grpcs") or not parts.port or not self._model:
            raise HeadraceError(f"endpoint: expected an address like grpc://127.0.0.1:9000/MODEL. Received: {url}")
        self._url, self._timeout = url, timeout
        if access.ca is not None and parts.scheme != "grpcs":
            raise HeadraceError(f"endpoint: expected a grpcs:// address beside the authority. Received: {url}")
        self._metadata_sent = tuple((name.lower(), value) for name, value in access.headers.items())
        self._channel = (
            grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(_authorities(access)))
            if parts.scheme == "grpcs"
            else grpc.insecure_channel(parts.netloc)
        )
        self._about: Any = None

    def call(self, name: str, /, **fields: Any) -> Any:
        """Calls a method with a message of these fields; returns its answer.

        Raises:
            HeadraceError: nobody answers there, or the server refuses; the message is the server's.
        """
        path = f"/{SERVICE}/{name}"
        method = self._channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        try:
            content = method(
                message(f"{name}Request")(**fields).SerializeToString(),
                timeout=self._timeout,
                metadata=self._metadata_sent,
            )
        except grpc.RpcError as error:
            raise HeadraceError(f"{self._url}: {error.details()} ({error.code().name})") from None
        return message(f"{name}Response").FromString(content)

    def _metadata(self) -> Any:
        if self._about is None:
            self._about = self.call("ModelMetadata", name=self._model)
        return self._about

    def describe(self) -> dict[str, Any]:
        """The inputs, as far as the protocol tells them."""
        about = self._metadata()
        types = json.loads(about.properties["types"]) if "types" in about.properties else {}
        usual = {"BYTES": "category", "BOOL": "boolean"}
        inputs = [
            {"name": one.name, "type": types.get(one.name) or usual.get(one.datatype, "number")} for one in about.inputs
        ]
        csv = json.loads(about.properties["csv"]) if "csv" in about.properties else {}
        return {"name": about.name, "inputs": inputs, "csv": csv}

    def predict(self, instances: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions, one per instance."""
        about = self._metadata()
        types = {one["name"]: one["type"] for one in self.describe()["inputs"]}
        inputs = [_tensor(item, instances, types[item.name]) for item in about.inputs]
        answer = self.call("ModelInfer", model_name=self._model, inputs=inputs)
        outputs: dict[str, tuple[Sequence[int], Sequence[Any]]] = {
            one.name: (list(one.shape), _values(one)) for one in answer.outputs
        }
        return answers(outputs, len(instances), dict(about.properties))

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _authorities(access: Access) -> bytes | None:
    if access.ca is None:
        return None
    access.tls()  # says what is wrong with the file, which gRPC does not
    return Path(access.ca).read_bytes()


def _tensor(item: Any, instances: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    made = tensor_of({"name": item.name, "datatype": item.datatype}, instances)
    values = made.pop("data")
    try:
        if item.datatype == "BYTES":
            made["contents"] = {"bytes_contents": [_bytes(value, kind) for value in values]}
        elif item.datatype == "BOOL" and None not in values:
            made["contents"] = {"bool_contents": [bool(value) for value in values]}
        else:  # of a boolean as well: BOOL has no way to say that one is missing
            made["datatype"] = "FP64"
            made["contents"] = {"fp64_contents": [math.nan if value is None else float(value) for value in values]}
    except (TypeError, ValueError, AttributeError) as error:
        raise HeadraceError(f"instances: {item.name}: expected a {kind} or null. Received: {error}") from None
    return made


def _bytes(value: str | None, kind: str) -> bytes:
    return b"" if value is None else file_of(value) if kind == "image" else value.encode()


def _values(tensor: Any) -> list[Any]:
    if tensor.datatype == "BYTES":
        return [value.decode() for value in tensor.contents.bytes_contents]
    return list(tensor.contents.fp32_contents)
