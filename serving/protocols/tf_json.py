"""TensorFlow Serving's bodies: rows under `instances`, columns under `inputs`, examples under `examples`.

A value may stand in a list of one; a string also as {"b64": ...}; null says that it is missing. Every column must be
there, as everywhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from headrace.artifacts.answer import predictions
from headrace.artifacts.signature import EXACT, Input
from headrace.serving.exchange import Request, Response
from headrace.serving.protocols.bodies import fault, reader
from headrace.serving.protocols.tensors import Tensor, pictures_of, rows_of
from headrace.serving.protocols.tf_serving import SIGNATURE
from headrace.serving.request import TYPES, WHOLE, BadRequest, fields_of
from headrace.serving.served import Served

_encode = msgspec.json.Encoder().encode


class _Predict(msgspec.Struct, forbid_unknown_fields=True):
    signature_name: str | None = None
    instances: list[Any] | msgspec.UnsetType = msgspec.UNSET
    inputs: Any = msgspec.UNSET
    parameters: msgspec.Raw = msgspec.Raw(b"")  # KServe sends some


class _Examples(msgspec.Struct, forbid_unknown_fields=True):
    examples: list[dict[str, Any]]
    context: dict[str, Any] | None = None
    signature_name: str | None = None


class _Form(NamedTuple):
    """How the answer is to be written."""

    columns: bool


class _Reading:
    """What the codecs share: from rows or columns of JSON to what the model takes."""

    def __init__(self, served: Served) -> None:
        self._scorer: Any = served.scorer
        self._signature = served.bundle.signature
        self._item = self._signature.image

    def _named(self, name: str | None) -> None:
        if name not in (None, "", SIGNATURE):
            raise BadRequest(f"signature_name: expected {SIGNATURE}. Received: {name[:80]!r}")

    def _rows(self, instances: Sequence[Any], where: str) -> Any:
        """Rows: an object each; of a model with one input also its value alone."""
        inputs = self._signature.inputs
        if len(inputs) == 1:
            name = inputs[0].name
            instances = [one if isinstance(one, dict) and name in one else {name: one} for one in instances]
        columns: dict[str, list[Any]] = {item.name: [] for item in inputs}
        for place, instance in enumerate(instances):
            if not isinstance(instance, dict):
                raise BadRequest(f"{where}[{place}]: expected an object. Received: {str(instance)[:80]}")
            if instance.keys() != columns.keys():
                _misses(instance, list(columns), f"{where}[{place}]")
            for name, values in columns.items():
                values.append(instance[name])
        return self._columns(columns, where + "[{}].{}")

    def _columns(self, columns: dict[str, list[Any]], where: str) -> Any:
        if self._item is not None:
            values = columns[self._item.name]
            return self._pictures(self._item, values)
        tensors = []
        for item in self._signature.inputs:
            cells = [_scalar(value) for value in columns[item.name]]
            _check(item, cells, where)
            tensors.append(Tensor(item.name, _DATATYPES[item.type], [len(cells)], cells))
        return self._scorer.inputs(rows_of(self._signature, tensors))

    def _pictures(self, item: Input, values: list[Any]) -> Any:
        found: list[Any] = []
        for place, value in enumerate(values):
            where = f"instances[{place}]"
            while isinstance(value, dict) and len(value) == 1 and "b64" not in value:
                value = next(iter(value.values()))  # {"image_bytes": {"b64": ...}}
            if isinstance(value, dict):
                found.append(_decoded(value, where))
                continue
            try:
                pixels = np.asarray(value)
            except ValueError:
                pixels = np.empty(0)
            if pixels.ndim != 3 or pixels.dtype.kind not in "iu":
                expected = 'a picture as {"b64": ...}, or rows of pixels [r, g, b]'
                raise BadRequest(f"{where}: expected {expected}. Received: {str(value)[:80]}")
            shape = [1, *pixels.shape]
            found += pictures_of(item, [Tensor(item.name, "UINT8", shape, pixels.ravel())])
        return found


class PredictCodec(_Reading):
    """:predict."""

    _read = staticmethod(reader(_Predict, '{"instances": [...]} or {"inputs": {...}}'))

    def decode(self, request: Request) -> tuple[Any, _Form]:
        """A request's body as what the model takes.

        Raises:
            BadRequest: see `Codec.decode`.
        """
        body = self._read(request.body)
        self._named(body.signature_name)
        if (body.instances is msgspec.UNSET) == (body.inputs is msgspec.UNSET):
            received = "neither" if body.inputs is msgspec.UNSET else "both"
            raise BadRequest(f"body: expected either instances or inputs. Received: {received}")
        if body.instances is not msgspec.UNSET:
            return self._rows(body.instances, "instances"), _Form(columns=False)
        inputs, names = body.inputs, [item.name for item in self._signature.inputs]
        if len(names) == 1 and not (isinstance(inputs, dict) and inputs.keys() == set(names)):
            inputs = {names[0]: inputs}
        if not isinstance(inputs, dict):
            raise BadRequest(f"inputs: expected an object. Received: {str(inputs)[:80]}")
        if inputs.keys() != set(names):
            _misses(inputs, names, "inputs")
        columns = {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
        counts = {len(values) for values in columns.values()}
        if len(counts) != 1:
            raise BadRequest(f"inputs: expected equally many values of each. Received: {sorted(counts)}")
        return self._columns(columns, "inputs.{1}[{0}]"), _Form(columns=True)

    def encode(self, outputs: npt.NDArray[np.float32], known: _Form) -> Response:
        """{"predictions": [...]} of rows, {"outputs": ...} of columns."""
        signature = self._signature
        rows = outputs.tolist()
        if not signature.classes:
            return Response(200, _encode({"outputs" if known.columns else "predictions": rows}))
        texts = [one["label"] for one in predictions(signature, outputs)]
        if known.columns:
            return Response(200, _encode({"outputs": {signature.output: rows, "label": texts}}))
        each = [{signature.output: row, "label": text} for row, text in zip(rows, texts, strict=True)]
        return Response(200, _encode({"predictions": each}))


class _ExamplesCodec(_Reading):
    _read = staticmethod(reader(_Examples, '{"examples": [...]}'))
    verb, task = "", ""

    def decode(self, request: Request) -> tuple[Any, None]:
        """A request's examples, each with what is in their common context, as what the model takes.

        Raises:
            BadRequest: see `Codec.decode`.
        """
        if self._signature.task != self.task:
            received = f"one of {self._signature.task}; use :predict"
            raise BadRequest(f":{self.verb}: expected a model of {self.task}. Received: {received}")
        body = self._read(request.body)
        self._named(body.signature_name)
        context = body.context or {}
        for place, example in enumerate(body.examples):
            if twice := context.keys() & example.keys():
                raise BadRequest(f"examples[{place}]: expected no field of the context. Received: {min(twice)}")
        return self._rows([{**context, **example} for example in body.examples], "examples"), None


class ClassifyCodec(_ExamplesCodec):
    """:classify."""

    verb, task = "classify", "classification"

    def encode(self, outputs: npt.NDArray[np.float32], known: None) -> Response:
        """{"results": [[[class, probability], ...], ...]}."""
        classes = self._signature.classes
        return Response(200, _encode({"results": [list(zip(classes, row, strict=True)) for row in outputs.tolist()]}))


class RegressCodec(_ExamplesCodec):
    """:regress."""

    verb, task = "regress", "regression"

    def encode(self, outputs: npt.NDArray[np.float32], known: None) -> Response:
        """{"results": [value, ...]}."""
        return Response(200, _encode({"results": outputs.ravel().tolist()}))


_DATATYPES = {"number": "FP64", "boolean": "FP64", "category": "BYTES", "date": "BYTES", "text": "BYTES"}


def _scalar(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return _decoded(value, "b64") if isinstance(value, dict) and value.keys() == {"b64"} else value


def _decoded(value: dict[str, Any], where: str) -> bytes:
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError, TypeError, KeyError):
        expected = '{"b64": ...} with bytes in Base64 (with + and /, padded with =)'
        raise BadRequest(f"{where}: expected {expected}. Received: {str(value)[:80]}") from None


def _check(item: Input, cells: Sequence[Any], where: str) -> None:
    kind = TYPES[item.type]
    try:
        msgspec.convert(cells, list[kind])  # type: ignore[valid-type]
        return
    except msgspec.ValidationError:  # bytes, or what does not fit: found one by one
        pass
    for place, cell in enumerate(cells):
        if type(cell) is int and item.type == "number" and abs(cell) > EXACT:
            raise BadRequest(f"{where.format(place, item.name)}: expected {WHOLE}. Received: {str(cell)[:80]}")
        try:
            if not isinstance(cell, bytes):
                msgspec.convert(cell, kind)
            elif item.type in ("number", "boolean"):
                raise msgspec.ValidationError(f"Expected {item.type}, got bytes")
        except msgspec.ValidationError as error:
            raise BadRequest(fault(error, where.format(place, item.name))) from None


def _misses(values: dict[str, Any], names: list[str], where: str) -> None:
    extra = [name for name in values if name not in names]
    if extra:
        raise BadRequest(f"{where}: expected only {fields_of(names)}. Received: {extra[0][:80]!r}")
    missing = [name for name in names if name not in values]
    raise BadRequest(f"{where}: expected {fields_of(missing)} (null where missing). Received: none")
