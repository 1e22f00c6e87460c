"""Types that the spec declares: values that do not fit reject their row."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.written import AMOUNT, COMMA_NUMBER, split_type
from headrace.components.ingest.kinds import TYPES, Kind, convert
from headrace.components.ingest.patterns import with_points
from headrace.components.ingest.written import plain_texts

_DECLARED: dict[str, pa.DataType] = {
    "string": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    AMOUNT: pa.float64(),
}
_NO_NUMBER = pa.scalar("no number")


def declared_type(name: str) -> pa.DataType:
    """The Arrow type of a declared one."""
    return _DECLARED[split_type(name)[0]]


def to_declared(values: pa.Array, declared: str, decimal: str) -> tuple[pa.Array, list[int]]:
    """Values as a declared type, and the positions of those that are none of it, which become null.

    Args:
        values: of any type.
        declared: the type's name, as `artifacts.written` splits it.
        decimal: what stands before a fraction, in texts.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    name, pattern = split_type(declared)
    if pa.types.is_string(values.type):
        if pattern is not None or name == AMOUNT:
            values = plain_texts(values, declared, decimal)
        elif name == "number" and decimal == ",":
            # A point that groups no thousands makes it no number: without it, 132.5 would be 1325.
            fits = pc.match_substring_regex(values, COMMA_NUMBER)
            values = pc.if_else(fits, with_points(values), _NO_NUMBER)
    found = _cast(values, name)
    if found is not None:
        return found, []
    bad = list(_misfits(values, name, 0))
    mask = pa.array([True] * len(values), pa.bool_()).to_numpy(zero_copy_only=False).copy()
    mask[bad] = False
    left = pc.if_else(pa.array(mask), values, pa.scalar(None, values.type))
    found = _cast(left, name)
    assert found is not None, name  # each value that is left converts alone
    return found, bad


def _misfits(values: pa.Array, name: str, first: int) -> list[int]:
    """The positions of values that do not convert, found by halving: few values among many cost little."""
    if not len(values) or _cast(values, name) is not None:
        return []
    if len(values) == 1:
        return [first]
    middle = len(values) // 2
    return _misfits(values[:middle], name, first) + _misfits(values[middle:], name, first + middle)


def _cast(values: pa.Array, name: str) -> pa.Array | None:
    if name == "string" or not pa.types.is_string(values.type):
        try:
            return values.cast(_DECLARED[name])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
    texts = pc.utf8_trim_whitespace(values)
    if name != "timestamp":
        return convert(texts, _KINDS[name])
    has_zone = pc.match_substring_regex(texts, r"(Z|[+-][0-9]{2}:?[0-9]{2})$")
    missing = pa.scalar(None, pa.string())
    zoned = convert(pc.if_else(has_zone, texts, missing), "zoned")
    naive = convert(pc.if_else(has_zone, missing, texts), "timestamp")
    return None if zoned is None or naive is None else pc.coalesce(naive, zoned)


_KINDS: dict[str, Kind] = {
    "number": "number",
    AMOUNT: "number",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
}
assert all(TYPES[kind] == _DECLARED[name] for name, kind in _KINDS.items())
