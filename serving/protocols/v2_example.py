"""Rows as a request of the Open Inference Protocol: for examples, and for clients of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.artifacts.signature import Input, Signature
from headrace.serving.protocols.tensors import datatype_of


def infer_body(signature: Signature, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The body, in JSON: a tensor [N, 1] per column, null where a value is missing."""
    return {"inputs": [_tensor(item, rows) for item in signature.inputs]}


def _tensor(item: Input, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [row[item.name] for row in rows]
    if item.type == "image":
        if all(isinstance(value, dict) for value in values):
            values = [value["b64"] for value in values]
        else:
            (value,) = values
            return {"name": item.name, "datatype": "UINT8", "shape": [1, len(value), len(value[0]), 3], "data": [value]}
    return {"name": item.name, "datatype": datatype_of(item), "shape": [len(values), 1], "data": values}
