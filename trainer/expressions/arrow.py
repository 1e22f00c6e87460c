"""Computes an expression over an Arrow table: what ingestion uses, for a label and for what aggregations filter by.

A missing value is null here. The operations mean the same as in `expression_graph`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.trainer.expressions.arrow_dates import DATES
from headrace.trainer.expressions.arrow_texts import TEXTS
from headrace.trainer.expressions.expression import BOOLEAN, DATE, NUMBER, TEXT, Column, Constant, Expression, Node


def column_type(type: pa.DataType) -> str:
    """The expression type of an Arrow column. A date or time counts as its days since 1970-01-01."""
    if pa.types.is_boolean(type):
        return BOOLEAN
    if pa.types.is_date(type) or pa.types.is_timestamp(type):
        return DATE
    return TEXT if pa.types.is_string(type) else NUMBER


def evaluate(expression: Expression, table: pa.Table) -> pa.ChunkedArray:
    """Computes an expression for every row.

    Returns:
        an array of shape (rows,): float64, bool or string; null where the result is missing or not finite, or an
        empty text.

    Raises:
        ExpressionError: the expression does not fit the table's columns.
    """
    typed, _ = expression.typed({field.name: column_type(field.type) for field in table.schema})
    result = _value(typed.root, table)
    if isinstance(result, pa.Scalar):  # an expression of constants
        result = pa.array([result.as_py()] * len(table), result.type)
    return result if isinstance(result, pa.ChunkedArray) else pa.chunked_array([result])


def _value(node: Node, table: pa.Table) -> Any:
    if isinstance(node, Constant):
        return pa.scalar(node.value)
    if isinstance(node, Column):
        column = table[node.name]
        if column_type(column.type) in (NUMBER, DATE):
            column = _days(column).cast(pa.float64(), safe=False)  # rounds beyond 2^53, as the encoder does
        return _present(column)
    return _present(_COMPUTE[node.op](*(_value(argument, table) for argument in node.args)))


def _days(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_date64(column.type):
        column = column.cast(pa.date32())
    if pa.types.is_date(column.type):
        return column.cast(pa.int32())
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        return pc.divide(column.cast(pa.int64()).cast(pa.float64(), safe=False), 86_400_000_000.0)
    return column


def _present(value: Any) -> Any:
    """Null for what counts as missing: a number that is not finite, a text that is empty."""
    if pa.types.is_floating(value.type):
        return pc.if_else(pc.is_finite(value), value, pa.scalar(None, value.type))
    if pa.types.is_string(value.type):
        return pc.if_else(pc.equal(value, ""), pa.scalar(None, value.type), value)
    return value


def _is_in(value: Any, *listed: Any) -> Any:
    found = pc.equal(value, listed[0])
    for other in listed[1:]:
        found = pc.or_(found, pc.equal(value, other))
    return found


def _floor_divide(a: Any, b: Any) -> Any:
    return pc.floor(pc.divide(a, b))


def _min(a: Any, b: Any) -> Any:
    return pc.min_element_wise(a, b, skip_nulls=False)


def _max(a: Any, b: Any) -> Any:
    return pc.max_element_wise(a, b, skip_nulls=False)


_COMPUTE: dict[str, Callable[..., Any]] = {
    "add": pc.add, "subtract": pc.subtract, "multiply": pc.multiply, "divide": pc.divide, "power": pc.power,
    "floor_divide": _floor_divide, "modulo": lambda a, b: pc.subtract(a, pc.multiply(b, _floor_divide(a, b))),
    "min": _min, "max": _max, "clip": lambda value, low, high: _max(_min(value, high), low),
    "negate": pc.negate, "abs": pc.abs, "sign": pc.sign, "sqrt": pc.sqrt, "exp": pc.exp, "log": pc.ln,
    "log1p": pc.log1p, "log2": lambda a: pc.divide(pc.ln(a), math.log(2)),
    "log10": lambda a: pc.divide(pc.ln(a), math.log(10)), "sin": pc.sin, "cos": pc.cos,
    "floor": pc.floor, "ceil": pc.ceil, "round": lambda a: pc.round(a, round_mode="half_to_even"),
    "less": pc.less, "less_equal": pc.less_equal, "greater": pc.greater, "greater_equal": pc.greater_equal,
    "equal": pc.equal, "not_equal": pc.not_equal, "text_equal": pc.equal, "text_not_equal": pc.not_equal,
    "in": _is_in, "text_in": _is_in, "and": pc.and_, "or": pc.or_, "not": pc.invert,
    "if_else": pc.if_else, "text_if_else": pc.if_else, "coalesce": pc.coalesce, "text_coalesce": pc.coalesce,
    "is_missing": lambda a: pc.is_null(a, nan_is_null=True), "text_is_missing": pc.is_null,
    "to_number": lambda a: a.cast(pa.float64()), **DATES, **TEXTS,
}  # fmt: skip
