"""Tensors of the Open Inference Protocol, version 2, as the cells that a model takes: of JSON, bytes and gRPC.

One tensor per column, named as the column, of the shape [N] or [N, 1]:

    number          FP64, FP32, FP16, INT8 to INT64, UINT8 to UINT64     missing: NaN, or null in JSON
    boolean         BOOL; or numbers 0 and 1, where some are missing     missing: NaN, or null in JSON
    category, text, date    BYTES, UTF-8                                  missing: "", or null in JSON
    image           BYTES, a JPEG or PNG file each; or UINT8 [N, h, w, 3], pixels
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from headrace.artifacts.signature import EXACT, Input, Signature
from headrace.serving.encode import Cell, days
from headrace.serving.request import BadRequest

# Little-endian, as the protocol sends them.
DTYPES = {
    "BOOL": "|b1", "INT8": "|i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "|u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
BYTES = "BYTES"
FLOATS = frozenset(("FP16", "FP32", "FP64"))
NUMBERS = frozenset(DTYPES) - {"BOOL"}

_DATATYPES = {"number": NUMBERS, "boolean": frozenset(DTYPES), "image": frozenset((BYTES, "UINT8"))}
_BYTES_ONLY = frozenset((BYTES,))
_TOLD = {
    "number": "FP64 (or another number type)",
    "boolean": "BOOL (or FP64, with NaN where missing)",
    "image": "BYTES (JPEG or PNG files) or UINT8 (pixels)",
}
_SHOWN = 80  # characters of a wrong value that an error repeats


class Tensor(NamedTuple):
    """One tensor of a request; `values` are flat, in row-major order."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Sequence[Any] | np.ndarray


def datatype_of(item: Input) -> str:
    """The datatype that a model's metadata tells of an input."""
    return {"number": "FP64", "boolean": "BOOL"}.get(item.type, BYTES)


def from_bytes(where: str, datatype: str, shape: Sequence[int], content: bytes) -> Sequence[Any] | np.ndarray:
    """The values of a tensor sent as bytes: numbers of their own size, BYTES each behind its length in 4 bytes.

    Raises:
        BadRequest: the size is not that of the shape.
    """
    count = size_of(where, shape)
    if datatype == BYTES:
        return _lengthened(where, content, count)
    dtype = np.dtype(DTYPES.get(datatype) or _unknown(where, datatype))
    if len(content) != count * dtype.itemsize:
        expected = f"{count * dtype.itemsize} bytes ({count} of {datatype})"
        raise BadRequest(f"{where}: expected {expected}. Received: {len(content)} bytes")
    if datatype == "BOOL":
        if any(content.translate(None, b"\0\1")):
            raise BadRequest(f"{where}: expected bytes 0 and 1. Received: others")
        return np.frombuffer(content, bool)
    return np.frombuffer(content, dtype)


def _lengthened(where: str, content: bytes, count: int) -> list[bytes]:
    values, place = [], 0
    for _ in range(count):
        start = place + 4
        place = start + int.from_bytes(content[place:start], "little")
        if place > len(content) or start > len(content):
            break
        values.append(content[start:place])
    if len(values) != count or place != len(content):
        expected = f"{count} strings, each behind its length in 4 bytes"
        raise BadRequest(f"{where}: expected {expected}. Received: {len(content)} bytes that are not these")
    return values


def size_of(where: str, shape: Sequence[int]) -> int:
    """How many values a tensor of a shape has.

    Raises:
        BadRequest: a dimension is negative.
    """
    if any(side < 0 for side in shape):
        raise BadRequest(f"{where}.shape: expected dimensions of 0 or more. Received: {list(shape)}")
    return math.prod(shape)


def rows_of(signature: Signature, tensors: Sequence[Tensor]) -> list[tuple[Cell, ...]]:
    """The rows of a table, in the signature's order; what is missing is None, NaN or "".

    Raises:
        BadRequest: a tensor is missing or unknown, or has a shape, a datatype or a value that does not fit.
    """
    given = _by_name(signature, tensors)
    columns, count = [], -1
    for item in signature.inputs:
        tensor = given[item.name]
        where = f"inputs.{item.name}"
        shape = tensor.shape
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            raise BadRequest(f"{where}.shape: expected [N] or [N, 1]. Received: {list(shape)}")
        count = shape[0] if count < 0 else count
        if shape[0] != count:
            raise BadRequest(f"{where}.shape: expected {count} rows as in the first input. Received: {shape[0]}")
        columns.append(column(item, tensor, where))
    return list(zip(*columns, strict=True))


def _by_name(signature: Signature, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    given = {tensor.name: tensor for tensor in tensors}
    known = [item.name for item in signature.inputs]
    if len(given) != len(tensors):
        raise BadRequest("inputs: expected each name once. Received: one of them twice")
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise BadRequest(f"inputs: expected only {', '.join(known)}. Received: {name[:_SHOWN]!r}{hint}")
    missing = [name for name in known if name not in given]
    if missing:
        raise BadRequest(f"inputs: expected a tensor for each of {', '.join(missing)}. Received: none")
    return given


def column(item: Input, tensor: Tensor, where: str) -> list[Cell]:
    """A tensor's values as the cells of an input.

    Raises:
        BadRequest: the datatype or a value does not fit.
    """
    if tensor.datatype not in _DATATYPES.get(item.type, _BYTES_ONLY):
        expected = _TOLD.get(item.type, BYTES)
        raise BadRequest(f"{where}.datatype: expected {expected}. Received: {tensor.datatype[:_SHOWN]}")
    values = tensor.values.tolist() if isinstance(tensor.values, np.ndarray) else tensor.values
    expected_count = size_of(where, tensor.shape)
    if len(values) != expected_count:
        raise BadRequest(f"{where}.data: expected {expected_count} values, as the shape says. Received: {len(values)}")
    return _CELLS.get(item.type, _texts)(item, values, where)


def _numbers(item: Input, values: Sequence[Any], where: str) -> list[Cell]:
    for place, value in enumerate(values):
        if value is not None and not -EXACT <= value <= EXACT and (type(value) is int or abs(value) == math.inf):
            expected = "a finite number; whole ones from -2^53 to 2^53"
            raise BadRequest(f"{where}.data[{place}]: expected {expected}. Received: {value}")
    return list(values)


def _booleans(item: Input, values: Sequence[Any], where: str) -> list[Cell]:
    for place, value in enumerate(values):
        if value is not None and value != 0 and value != 1 and value == value:
            raise BadRequest(f"{where}.data[{place}]: expected true, false, 0 or 1. Received: {value}")
    return list(values)


def _texts(item: Input, values: Sequence[Any], where: str) -> list[Cell]:
    cells: list[Cell] = []
    for place, value in enumerate(values):
        try:
            text = value.decode() if isinstance(value, bytes) else value
            if item.type == "date" and text:
                days(text)
        except UnicodeDecodeError:
            raise BadRequest(f"{where}.data[{place}]: expected text in UTF-8. Received: other bytes") from None
        except ValueError as error:
            raise BadRequest(f"{where}.data[{place}]: {error}. Received: {text[:_SHOWN]!r}") from None
        cells.append(text)
    return cells


_CELLS: dict[str, Callable[[Input, Sequence[Any], str], list[Cell]]] = {"number": _numbers, "boolean": _booleans}


def pictures_of(item: Input, tensors: Sequence[Tensor]) -> list[bytes | np.ndarray]:
    """The pictures of a request: files' bytes, or pixels uint8 [h, w, 3].

    Raises:
        BadRequest: see `rows_of`.
    """
    names = [tensor.name for tensor in tensors]
    if names != [item.name]:
        raise BadRequest(f"inputs: expected {item.name} alone. Received: {', '.join(names)[:_SHOWN] or 'none'}")
    (tensor,), where = tensors, f"inputs.{item.name}"
    shape = tensor.shape
    if tensor.datatype == BYTES:
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            raise BadRequest(f"{where}.shape: expected [N] or [N, 1]. Received: {list(shape)}")
        files = tensor.values
        if len(files) != size_of(where, shape):
            raise BadRequest(f"{where}.data: expected {shape[0]} values, as the shape says. Received: {len(files)}")
        return list(files)
    if tensor.datatype != "UINT8":
        raise BadRequest(f"{where}.datatype: expected {_TOLD['image']}. Received: {tensor.datatype[:_SHOWN]}")
    if len(shape) != 4 or shape[3] != 3 or not shape[1] * shape[2] > 0:
        raise BadRequest(f"{where}.shape: expected [N, height, width, 3]. Received: {list(shape)}")
    if len(tensor.values) != size_of(where, shape):
        raise BadRequest(
            f"{where}.data: expected {math.prod(shape)} values, as the shape says. Received: {len(tensor.values)}"
        )
    if not shape[0]:
        return []
    pixels = np.asarray(tensor.values)
    if pixels.dtype != np.uint8:  # of JSON or gRPC's own lists
        if pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 255:
            raise BadRequest(f"{where}.data: expected whole numbers from 0 to 255. Received: others")
        pixels = pixels.astype(np.uint8)
    return list(pixels.reshape(shape))


def _unknown(where: str, datatype: str) -> str:
    raise BadRequest(
        f"{where}.datatype: expected one of {', '.join((*DTYPES, BYTES))}. Received: {datatype[:_SHOWN]!r}"
    )
