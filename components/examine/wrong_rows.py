"""The rows of a column that an anomaly is about, as masks; null stands for no."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def unlisted(column: Any, listed: list[str]) -> Any:
    """Texts that are none of these; of a column that has no texts, nothing is known."""
    if not pa.types.is_string(column.type):
        return pa.nulls(len(column), pa.bool_())
    known = pc.is_in(column, value_set=pa.array([*listed, ""], pa.string()))
    return pc.and_(pc.is_valid(column), pc.invert(known))


def outside(column: Any, low: float, high: float) -> Any:
    """Numbers that are not between these two; of a column that has no numbers, nothing is known."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return pa.nulls(len(column), pa.bool_())
    numbers = column.cast(pa.float64(), safe=False)
    return pc.or_(pc.less(numbers, low), pc.greater(numbers, high))


def missing(column: Any) -> Any:
    """Nulls, and what TFDV takes for them: NaN and empty texts."""
    absent = pc.is_null(column)
    if pa.types.is_floating(column.type):
        absent = pc.or_(absent, pc.fill_null(pc.is_nan(column), False))
    if pa.types.is_string(column.type):
        absent = pc.or_(absent, pc.fill_null(pc.equal(column, ""), False))
    return absent
