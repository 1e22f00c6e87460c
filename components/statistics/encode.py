"""A snapshot's columns as the numbers and texts that TFDV describes; null where the value is missing.

| snapshot          | TFDV  | value                                       |
| ----------------- | ----- | ------------------------------------------- |
| int64             | INT   | itself                                      |
| float64           | FLOAT | itself; NaN is missing                      |
| bool              | INT   | 0 or 1                                      |
| string            | BYTES | UTF-8; the empty string is missing          |
| date32            | INT   | days since 1970-01-01                       |
| timestamp         | INT   | microseconds since 1970-01-01T00:00:00 UTC  |

Dates are numbers and not text, so that their distributions can be compared; as text each would be one of many
rare values. Other Arrow types that a Parquet file may hold are brought to one of these where that loses
nothing worth describing (decimals, dictionaries); the rest cannot be described.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Column: TypeAlias = Any  # an Arrow array: the type stubs at hand describe a newer Arrow than this environment has


def describable(type: pa.DataType) -> bool:
    """Whether a column of this Arrow type can be described."""
    if pa.types.is_dictionary(type):
        return describable(type.value_type)
    return any(
        is_kind(type)
        for is_kind in (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_boolean,
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_date,
            pa.types.is_timestamp,
            pa.types.is_decimal,
            pa.types.is_null,
        )
    )


def encode(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch of plain columns with each row's value wrapped in a list, as TFDV's own generators want it."""
    from tfx_bsl.arrow import table_util

    columns = [plain(column) for column in batch.columns]
    encoded: pa.RecordBatch = table_util.CanonicalizeRecordBatch(
        pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    )
    return encoded


def plain(column: Column) -> Column:
    """The column as an integer, double, binary or null one, with null for whatever the model treats as missing.

    Its type must be `describable`.
    """
    type = column.type
    if pa.types.is_dictionary(type):
        return plain(column.dictionary_decode())
    if pa.types.is_boolean(type):
        return column.cast(pa.int64())
    if pa.types.is_date(type):
        return column.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    if pa.types.is_timestamp(type):
        return column.cast(pa.timestamp("us", type.tz)).cast(pa.int64())
    if pa.types.is_decimal(type) or pa.types.is_float16(type):
        return plain(column.cast(pa.float64()))
    if pa.types.is_uint64(type):
        return column.cast(pa.float64(), safe=False)  # TFDV's INT is signed
    if pa.types.is_floating(type):
        return _without(column, pc.is_nan(column))
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        binary = column.cast(pa.large_binary() if pa.types.is_large_string(type) else pa.binary())
        return _without(binary, pc.equal(pc.binary_length(binary), 0))
    return column


def _without(column: Column, missing: Column) -> Column:
    """The column with null where `missing` is true."""
    if not pc.any(missing).as_py():
        return column
    return pc.if_else(missing, pa.scalar(None, column.type), column)
