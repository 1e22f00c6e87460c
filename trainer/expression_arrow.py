"""Computes an expression over an Arrow table: what ingestion uses for a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.trainer.expression import BOOLEAN, NUMBER, OPERATIONS, TEXT, Column, Constant, Expression, Node

_COMPUTE: dict[str, Callable[..., Any]] = {
    "add": pc.add, "subtract": pc.subtract, "multiply": pc.multiply, "divide": pc.divide, "power": pc.power,
    "min": lambda a, b: pc.min_element_wise(a, b, skip_nulls=False),
    "max": lambda a, b: pc.max_element_wise(a, b, skip_nulls=False),
    "negate": pc.negate, "abs": pc.abs, "log": pc.ln, "log1p": pc.log1p, "exp": pc.exp, "sqrt": pc.sqrt,
    "less": pc.less, "less_equal": pc.less_equal, "greater": pc.greater, "greater_equal": pc.greater_equal,
    "equal": pc.equal, "not_equal": pc.not_equal, "text_equal": pc.equal, "text_not_equal": pc.not_equal,
    "and": pc.and_, "or": pc.or_, "not": pc.invert, "if_else": pc.if_else,
    "is_missing": lambda a: pc.is_null(a, nan_is_null=True),
}  # fmt: skip


def column_type(type: pa.DataType) -> str:
    """The expression type of an Arrow column. A date or time counts as its days since 1970-01-01."""
    if pa.types.is_boolean(type):
        return BOOLEAN
    return TEXT if pa.types.is_string(type) else NUMBER


def evaluate(expression: Expression, table: pa.Table) -> pa.ChunkedArray:
    """Computes an expression for every row.

    Returns:
        an array of shape (rows,): float64 or bool; null where the result is missing or not finite.

    Raises:
        ExpressionError: the expression does not fit the table's columns.
    """
    typed, _ = expression.typed({field.name: column_type(field.type) for field in table.schema})
    result = _value(typed.root, table)
    if isinstance(result, pa.Scalar):  # an expression of constants
        result = pa.array([result.as_py()] * len(table))
    return result if isinstance(result, pa.ChunkedArray) else pa.chunked_array([result])


def _value(node: Node, table: pa.Table) -> Any:
    if isinstance(node, Constant):
        return pa.scalar(node.value)
    if isinstance(node, Column):
        column = table[node.name]
        return _finite(_days(column).cast(pa.float64())) if column_type(column.type) == NUMBER else column
    wanted, _ = OPERATIONS[node.op]
    arguments = [_as(want, _value(argument, table)) for want, argument in zip(wanted, node.args, strict=True)]
    return _finite(_COMPUTE[node.op](*arguments))


def _as(want: str, value: Any) -> Any:
    return value.cast(pa.float64()) if want == NUMBER and pa.types.is_boolean(value.type) else value


def _days(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_date(column.type):
        return column.cast(pa.int32())
    if pa.types.is_timestamp(column.type):
        return pc.divide(column.cast(pa.int64()).cast(pa.float64()), 86_400_000_000.0)
    return column


def _finite(value: Any) -> Any:
    if not pa.types.is_floating(value.type):
        return value
    return pc.if_else(pc.is_finite(value), value, pa.scalar(None, value.type))
