"""Filters of Kubeflow Pipelines' lists: JSON with predicates that all have to hold.

`{"predicates": [{"key": "name", "operation": "IS_SUBSTRING", "string_value": "churn"}]}`; names come in camelCase too,
and operations by number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from headrace.emulator.comparison import compare, field
from headrace.emulator.filters import Field, Predicate
from headrace.emulator.refusals import Refusal

# backend/api/v2beta1/filter.proto; 4 is not among them
_NUMBERS = {
    1: "EQUALS",
    2: "NOT_EQUALS",
    3: "GREATER_THAN",
    5: "GREATER_THAN_EQUALS",
    6: "LESS_THAN",
    7: "LESS_THAN_EQUALS",
    8: "IN",
    9: "IS_SUBSTRING",
}
_SIGNS = {
    "EQUALS": "=",
    "NOT_EQUALS": "!=",
    "GREATER_THAN": ">",
    "GREATER_THAN_EQUALS": ">=",
    "LESS_THAN": "<",
    "LESS_THAN_EQUALS": "<=",
}
_VALUES = ("int_value", "long_value", "string_value", "timestamp_value", "int_values", "long_values", "string_values")


def predicate(text: str, fields: Mapping[str, Field] | None = None) -> Predicate:
    """What a filter says of a document.

    Args:
        text: the filter, JSON; an empty one is true of all.
        fields: those that do not stand in the documents under their own name, by their name in the filter.

    Raises:
        Refusal: INVALID_ARGUMENT: it is no filter.
    """
    if not text.strip():
        return lambda document: True
    try:
        found = json.loads(text)
        conditions = [_condition(each, fields or {}) for each in found.get("predicates") or []]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Refusal("INVALID_ARGUMENT", f"Invalid filter: {error}. Received: {text[:500]}") from None
    return lambda document: all(condition(document) for condition in conditions)


def _condition(told: Mapping[str, Any], fields: Mapping[str, Field]) -> Predicate:
    named = {_snake(name): value for name, value in told.items()}
    key, operation = str(named.get("key") or ""), named.get("operation", named.get("op"))
    operation = _NUMBERS.get(operation, operation) if isinstance(operation, int) else operation
    kind = next((name for name in _VALUES if name in named), "")
    if not key or not kind:
        raise Refusal("INVALID_ARGUMENT", f"Invalid filter: a predicate has no key or no value: {json.dumps(told)}")
    own = fields.get(key)
    read: Field = own if own is not None else lambda document: field(document, key.split("."))
    test = _test(str(operation), named[kind])
    return lambda document: test(read(document))


def _test(operation: str, wanted: Any) -> Callable[[Any], bool]:
    if operation in _SIGNS and not isinstance(wanted, dict | list):
        # These have no wildcards.
        if operation in ("EQUALS", "NOT_EQUALS") and isinstance(wanted, str) and "*" in wanted:
            return lambda value: ((value or "") == wanted) == (operation == "EQUALS")
        return lambda value: compare(value, _SIGNS[operation], str(wanted))
    if operation == "IN" and isinstance(wanted, dict):
        choices = [str(choice) for choice in wanted.get("values") or []]
        return lambda value: any(str(value) == choice for choice in choices)
    if operation == "IS_SUBSTRING" and isinstance(wanted, str):
        return lambda value: wanted.lower() in str(value or "").lower()
    raise Refusal("INVALID_ARGUMENT", f"Invalid filter: operation {operation} does not take {json.dumps(wanted)}")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
