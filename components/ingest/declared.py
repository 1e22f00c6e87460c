"""Types that the spec declares: values that do not fit reject their row."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.written import AMOUNT, COMMA_NUMBER, split_type
from headrace.components.ingest.kinds import TYPES, Kind, convert
from headrace.components.ingest.normalise import decoded, target_type
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


def may_be(type: pa.DataType, declared: str) -> bool:
    """Whether values of an Arrow type can be read as a declared one; of a text, each value tells.

    No number is a moment, nor a moment a number: whether it counted seconds or microseconds is not known.
    """
    if pa.types.is_dictionary(type):
        type = type.value_type
    target = target_type(type)
    name, _ = split_type(declared)
    if target is None or pa.types.is_null(type) or pa.types.is_string(target) or name == "string":
        return target is not None
    return bool(pa.types.is_temporal(target)) == (name in ("date", "timestamp"))


def to_declared(values: pa.Array, declared: str, decimal: str) -> tuple[pa.Array, list[int]]:
    """Values as a declared type, and the positions of those that are none of it, which become null.

    Args:
        values: of a type that `may_be` the declared one.
        declared: the type's name, as `artifacts.written` splits it.
        decimal: what stands before a fraction, in texts.
    """
    values = decoded(values)
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
            return _typed(values, name)
        except pa.ArrowInvalid:
            return None
    texts = pc.utf8_trim_whitespace(values)
    if name != "timestamp":
        return convert(texts, _KINDS[name])
    has_zone = pc.match_substring_regex(texts, r"(Z|[+-][0-9]{2}:?[0-9]{2})$")
    missing = pa.scalar(None, pa.string())
    zoned = convert(pc.if_else(has_zone, texts, missing), "zoned")
    naive = convert(pc.if_else(has_zone, missing, texts), "timestamp")
    return None if zoned is None or naive is None else pc.coalesce(naive, zoned)


def _typed(values: pa.Array, name: str) -> pa.Array | None:
    """Values that are no texts, or are to become some; None where one is not what it should be.

    Raises:
        pa.ArrowInvalid: so it is too.
    """
    type = values.type
    if pa.types.is_timestamp(type) and name != "string":  # UTC, as undeclared; and no model sees a part of a µs
        return values.cast(pa.timestamp("us"), safe=False).cast(_DECLARED[name])
    if pa.types.is_floating(type) and name in ("integer", "boolean"):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, type), values)  # missing, as in every other column
    if pa.types.is_decimal(type) and name == "integer":
        values = values.cast(pa.decimal256(76, type.scale))  # Arrow refuses 1.00 of a decimal32
    if _DECLARED[name] == pa.float64():
        return values.cast(pa.float64(), safe=False)  # a whole number beyond 2^53 is rounded to the next float
    if name == "boolean" and not pa.types.is_boolean(type):
        numbers = values.cast(pa.float64(), safe=False)
        if pc.all(pc.or_(pc.equal(numbers, 0.0), pc.equal(numbers, 1.0))).as_py() is False:
            return None  # Arrow takes any other number for true, which as a text is none
        return numbers.cast(pa.bool_())
    return values.cast(_DECLARED[name])


_KINDS: dict[str, Kind] = {
    "number": "number",
    AMOUNT: "number",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
}
assert all(TYPES[kind] == _DECLARED[name] for name, kind in _KINDS.items())
