"""A model's requests and answers as JSON schemas."""

from __future__ import annotations

from typing import Any

from headrace.artifacts.signature import DATE_PATTERN, EXACT, Input, Signature
from headrace.serving.protocols.tensors import BYTES, DTYPES, datatype_of

Schema = dict[str, Any]

_EXAMPLES = 8  # of a category's values
_BASE64 = {"type": "string", "contentEncoding": "base64", "description": "A JPEG or PNG file."}


def ref(name: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def item_schema(item: Input) -> Schema:
    """A column's values; null says that one is missing."""
    if item.type == "number":
        ranged = f"In training {item.min:g} to {item.max:g}. " if item.min is not None and item.max is not None else ""
        return {
            "type": ["number", "null"],
            "minimum": -EXACT,
            "maximum": EXACT,
            "description": f"{ranged}Null where missing.",
        }
    if item.type == "boolean":
        return {"enum": [True, False, 0, 1, None], "description": "Null where missing."}
    if item.type == "date":
        return {
            "type": ["string", "null"],
            "pattern": f"^({DATE_PATTERN})?$",
            "examples": ["2024-03-01", "2024-03-01T10:20:30Z"],
            "description": "A date, or a date and time (UTC where it has no zone); null or empty where missing.",
        }
    if item.type == "category":
        known = list(reversed(item.vocabulary))[:_EXAMPLES]  # the most frequent first
        count = f"{len(item.vocabulary)} values are known; another counts as unseen. Null or empty where missing."
        return {"type": ["string", "null"], "examples": known, "description": count}
    return {"type": ["string", "null"], "description": "Null or empty where missing."}


def _instance(signature: Signature) -> Schema:
    if item := signature.image:
        encoded = _object({"b64": _BASE64})
        pixel = {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 255},
            "minItems": 3,
            "maxItems": 3,
        }
        pixels = {
            "type": "array",
            "items": {"type": "array", "items": pixel},
            "description": "Rows of pixels [r, g, b].",
        }
        return {
            "oneOf": [_object({item.name: {"anyOf": [encoded, pixels]}}), encoded, _object({"image_bytes": encoded})]
        }
    return _object({item.name: item_schema(item) for item in signature.inputs})


def _object(properties: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, **(optional or {})},
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _prediction(signature: Signature) -> Schema:
    if not signature.classes:
        return _object({"value": {"type": "number"}})
    each = {name: {"type": "number", "minimum": 0} for name in signature.classes}
    return _object({"label": {"type": "string", "enum": list(signature.classes)}, "probabilities": _object(each)})


def schemas(signature: Signature) -> dict[str, Schema]:
    """All of them, by name."""
    return {
        "Instance": _instance(signature),
        "Prediction": _prediction(signature),
        "Error": {**_object({"error": {"type": "string"}}), "description": "What was expected, and what came."},
        "PredictRequest": _object({"instances": _list(ref("Instance"))}, {"parameters": {}}),
        "PredictResponse": {
            "type": "object",
            "required": ["predictions"],
            "properties": {
                "predictions": _list(ref("Prediction")),
                "deployedModelId": {"type": "string"},
                "modelDisplayName": {"type": "string"},
                "modelVersionId": {"type": "string"},
            },
        },
        **_v2(signature),
        **_tf(signature),
    }


def _v2(signature: Signature) -> dict[str, Schema]:
    whole = {"type": "integer", "minimum": 0}
    names = [item.name for item in signature.inputs]
    datatypes = [*DTYPES, BYTES]
    outputs = [signature.output, *(["label"] if signature.classes else [])]
    parameters = {"type": ["object", "null"]}
    tensor: dict[str, Schema] = {
        "name": {"type": "string"}, "datatype": {"type": "string", "enum": datatypes}, "shape": _list(whole)
    }  # fmt: skip
    given: dict[str, Schema] = {**tensor, "name": {"type": "string", "enum": names}}
    told = [f"{item.name}: {datatype_of(item)} [N, 1]" for item in signature.inputs]
    return {
        "InferRequest": _object(
            {
                "inputs": {
                    **_list(_object(given, {"data": {"type": "array"}, "parameters": parameters})),
                    "description": "One tensor for each of " + ", ".join(told),
                }
            },
            {
                "id": {"type": ["string", "null"]},
                "parameters": parameters,
                "outputs": {
                    "type": ["array", "null"],
                    "items": _object({"name": {"type": "string", "enum": outputs}}, {"parameters": parameters}),
                },
            },
        ),
        "InferResponse": {
            "type": "object",
            "required": ["model_name", "outputs"],
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": _list(_object(tensor, {"data": {"type": "array"}, "parameters": {"type": "object"}})),
            },
        },
    }


def _tf(signature: Signature) -> dict[str, Schema]:
    name = {"type": ["string", "null"], "enum": ["serving_default", "", None]}
    values: Schema = (
        ref("Instance")
        if signature.image
        else _object({item.name: {"anyOf": [item_schema(item), {"type": "array"}]} for item in signature.inputs})
    )
    columns = {"type": "object"} if not signature.image else {}
    row = (
        _object({"probabilities": _list({"type": "number"}), "label": {"type": "string"}})
        if signature.classes
        else _list({"type": "number"})
    )
    outputs: Schema = (
        _object({"probabilities": _list(_list({"type": "number"})), "label": _list({"type": "string"})})
        if signature.classes
        else _list(_list({"type": "number"}))
    )
    result: Schema = _list({"type": "array"}) if signature.classes else {"type": "number"}
    return {
        "TfPredictRequest": {
            "oneOf": [
                _object({"instances": _list(values)}, {"signature_name": name}),
                _object({"inputs": columns}, {"signature_name": name}),
            ]
        },
        "TfPredictResponse": {"oneOf": [_object({"predictions": _list(row)}), _object({"outputs": outputs})]},
        "TfExamplesRequest": _object(
            {"examples": _list({"type": "object"})}, {"context": {"type": ["object", "null"]}, "signature_name": name}
        ),
        "TfResultsResponse": _object({"results": _list(result)}),
    }
