"""Clients of the other protocols, with the answers of ours: for `headrace predict --protocol`, and for tests.

They go by the metadata that each protocol has, so that they speak with other servers of it as well; what such a server
does not tell, as the names of its classes, is left out of the answer.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import EVERYBODY, TIMEOUT_SECONDS, Access, Client

PROTOCOLS = ("vertex", "v2", "tf", "grpc")

Rows = Sequence[dict[str, Any]]


def open_client(
    url: str, timeout: float = TIMEOUT_SECONDS, protocol: str = "vertex", access: Access = EVERYBODY
) -> Any:
    """A client with `predict`, `describe` and `close`, to be used with `with`.

    `url` is the server's; with a path the model's: `/v2/models/churn`, `/v1/models/churn`, and of gRPC
    `grpc://127.0.0.1:9000/churn`, where the name is needed.

    Raises:
        HeadraceError: there is no such protocol, or the address is none of it.
    """
    if protocol == "grpc":
        from headrace.serving.protocols.grpc.client import GrpcClient

        return GrpcClient(url, timeout, access)
    kinds = {"vertex": Client, "v2": V2Client, "tf": TfClient}
    if protocol not in kinds:
        raise HeadraceError(f"protocol: expected one of {', '.join(PROTOCOLS)}. Received: {protocol}")
    return kinds[protocol](url, timeout, access)


class _ModelClient(Client):
    """Of a protocol whose paths have the model's name."""

    start = ""

    def __init__(self, url: str, timeout: float = TIMEOUT_SECONDS, access: Access = EVERYBODY) -> None:
        super().__init__(url, timeout, access)
        path = urlsplit(url if "://" in url else f"http://{url}").path.rstrip("/")
        self._model = path
        self._about: dict[str, Any] | None = None

    def _path(self) -> str:
        if not self._model:
            self._model = self.start + quote(str(self.describe()["name"]), safe="")
        return self._model


class V2Client(_ModelClient):
    """Of the Open Inference Protocol, version 2, over REST."""

    start = "/v2/models/"

    def predict(self, instances: Rows) -> list[dict[str, Any]]:
        """The predictions, one per instance."""
        if self._about is None:
            self._about = self.request("GET", self._path())
        tensors = [tensor_of(item, instances) for item in self._about["inputs"]]
        answer = self.request("POST", f"{self._path()}/infer", _json({"inputs": tensors}))
        outputs = {one["name"]: (one["shape"], one["data"]) for one in answer["outputs"]}
        return answers(outputs, len(instances), self._about.get("properties"))


class TfClient(_ModelClient):
    """Of TensorFlow Serving's REST paths."""

    start = "/v1/models/"

    def predict(self, instances: Rows) -> list[dict[str, Any]]:
        """The predictions, one per instance."""
        if self._about is None:
            self._about = {} if self._model else self.describe()
        found = self.request("POST", f"{self._path()}:predict", _json({"instances": list(instances)}))["predictions"]
        classes = self._about.get("classes")
        if not all(isinstance(one, dict) for one in found):
            return [{"value": one[0] if isinstance(one, list) else one} for one in found]
        return [
            {**one, "probabilities": dict(zip(classes, one["probabilities"], strict=True))} if classes else one
            for one in found
        ]


def tensor_of(item: dict[str, Any], instances: Rows) -> dict[str, Any]:
    """A column of instances as a tensor of the protocol's JSON.

    Raises:
        HeadraceError: an instance lacks it.
    """
    name = item["name"]
    values = []
    for place, instance in enumerate(instances):
        if name not in instance:
            raise HeadraceError(f"instances[{place}]: expected the field {name} (null where missing). Received: none")
        value = instance[name]
        values.append(value["b64"] if isinstance(value, dict) and "b64" in value else value)
    return {"name": name, "datatype": item["datatype"], "shape": [len(values), 1], "data": values}


def answers(
    outputs: dict[str, tuple[Sequence[int], Sequence[Any]]], rows: int, properties: dict[str, str] | None
) -> list[dict[str, Any]]:
    """Outputs, flat with their shapes, as one prediction per row, in the order of Vertex AI's form."""
    told = properties or {}
    classes = json.loads(told["classes"]) if "classes" in told else None
    found: list[dict[str, Any]] = [{} for _ in range(rows)]
    for name in sorted(outputs):  # the label first
        shape, values = outputs[name]
        width = math.prod(shape[1:])
        for row in range(rows):
            part = list(values[row * width : (row + 1) * width])
            named = classes if name == "probabilities" else None
            found[row][name] = dict(zip(named, part, strict=True)) if named else part[0] if width == 1 else part
    return found


def file_of(value: Any) -> bytes:
    """A picture's file, of its Base64."""
    return base64.b64decode(value)


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except ValueError:
        expected = "numbers that JSON has (null where a value is missing)"
        raise HeadraceError(f"instances: expected {expected}. Received: NaN or infinity") from None
