"""Brings columns of any Arrow type to the few types of a snapshot, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names

PICTURE = {"headrace": "image"}  # a field's metadata, where bytes are a picture


@dataclass(frozen=True)
class Targets:
    """What becomes of a typed source's columns."""

    types: dict[str, pa.DataType]  # column -> its type in a snapshot
    left_out: dict[str, str] = field(default_factory=dict)  # column -> its type, which a snapshot does not have
    notes: list[str] = field(default_factory=list)


def targets_of(schema: pa.Schema, name: str) -> Targets:
    """The snapshot's types for a source's columns.

    Columns of other types (lists, structs, times of day) are left out, with a note; bytes only where they are images,
    which the source says by the field's metadata `{"headrace": "image"}`.

    Raises:
        HeadraceError: column names that are duplicate or cannot be served.
    """
    check_names(schema.names, name)
    twice = {column for column in schema.names if schema.names.count(column) > 1}
    if twice:
        raise HeadraceError(
            f"{name}: expected each column name once. Received: {', '.join(sorted(twice))} more than once"
        )
    types: dict[str, pa.DataType] = {}
    left_out: dict[str, str] = {}
    notes = []
    for one in schema:
        type = one.type.value_type if pa.types.is_dictionary(one.type) else one.type
        image = pa.types.is_binary(type) and (one.metadata or {}).get(b"headrace") == b"image"
        target = pa.binary() if image else target_type(type)
        if target is None:
            left_out[one.name] = str(one.type)
            notes.append(f"`{one.name}` is left out: it has no numbers, texts, truth values or dates, but {type}")
        else:
            types[one.name] = target
    return Targets(types, left_out, notes)


def target_type(type: pa.DataType) -> pa.DataType | None:
    """The snapshot's type for an Arrow type; None where there is none."""
    if pa.types.is_boolean(type):
        return pa.bool_()
    if pa.types.is_integer(type):
        return pa.int64()
    if pa.types.is_floating(type) or pa.types.is_decimal(type) or pa.types.is_null(type):
        return pa.float64()
    if pa.types.is_date(type):
        return pa.date32()
    if pa.types.is_timestamp(type):
        return pa.timestamp("us")
    text = pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type)
    return pa.string() if text else None


def to_target(column: pa.Array, target: pa.DataType, where: str, first_row: int) -> pa.Array:
    """Casts one batch's column to its type in a snapshot.

    Args:
        column: the values, of any type that has a target.
        target: the type in the snapshot.
        where: what messages begin with.
        first_row: how many rows of the source come before the batch.

    Raises:
        HeadraceError: a value does not fit, or a text has a NUL byte in it.
    """
    column = decoded(column)
    exact = not (pa.types.is_timestamp(column.type) and column.type.unit == "ns")  # a model sees no part of a µs
    try:
        cast = column.cast(target, safe=exact)
    except pa.ArrowInvalid as error:
        raise HeadraceError(f"{where}: expected values that fit {target}. Received: {error}") from None
    check_text(cast, where, first_row)
    return cast


def decoded(column: pa.Array) -> pa.Array:
    """The values themselves where they are held by a dictionary, and texts as Arrow's plain ones."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        return column.cast(pa.string())
    return column


def check_text(column: pa.Array, where: str, first_row: int) -> None:
    """Refuses a NUL byte in a text; columns of other types have none. The arguments are those of `to_target`."""
    if pa.types.is_string(column.type) and b"\0" in _bytes(column):
        row = pc.index(pc.match_substring(column, "\0"), True).as_py()
        if row >= 0:
            raise HeadraceError(
                f"{where}, row {first_row + row + 1}: expected text. Received: a NUL byte in it; remove it"
            )


def _bytes(texts: pa.Array) -> bytes:
    data = texts.buffers()[2]
    return data.to_pybytes() if data is not None else b""
