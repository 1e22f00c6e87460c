"""Makes the label's column: found or computed, complete, and of the task's kind."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.spec import DataSpec
from headrace.trainer.expression import ExpressionError, parse
from headrace.trainer.expression_arrow import evaluate

MOST_CLASSES = 100


@dataclass(frozen=True)
class Labelled:
    """A table with its label as the model will see it: class names as string, or a float64."""

    table: pa.Table
    classes: list[str] | None
    positive: str | None
    leaks: list[str]  # columns that the label was computed from


def make_label(table: pa.Table, task: str, data: DataSpec, source: str) -> Labelled:
    """Finds or computes the label.

    Raises:
        HeadraceError: the label is absent, missing or not finite in a row, constant, or does not fit the task.
    """
    name = data.label.name
    column, leaks = _column(table, data, source)
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise HeadraceError(
            f"{source}: expected a label in every row. Received: {column.null_count:,} rows without `{name}`, "
            f"first row {row + 1}; leave such rows out of the source"
        )
    if pa.types.is_floating(column.type):
        _require_finite(column, name, source)
    values = _numbers(column, name) if task == "regression" else _class_names(column, name)
    distinct = pc.count_distinct(values).as_py()
    if distinct < 2:
        raise HeadraceError(
            f"{source}: expected a label of at least two values. Received: `{name}` is {values[0]} in every row"
        )
    if task == "regression":
        return Labelled(_with(table, name, values), None, None, leaks)
    if distinct > MOST_CLASSES:
        hint = " Did you mean `task: regression`?" if not pa.types.is_string(column.type) else ""
        raise HeadraceError(
            f"expected at most {MOST_CLASSES} classes. Received: `{name}` has {distinct:,} different values.{hint}"
        )
    classes = sorted(pc.unique(values).to_pylist(), key=_class_order)
    return Labelled(_with(table, name, values), classes, _positive(classes, data), leaks)


def _column(table: pa.Table, data: DataSpec, source: str) -> tuple[pa.ChunkedArray, list[str]]:
    name, text = data.label.name, data.label.expression
    if text is None:
        if name not in table.column_names:
            near = difflib.get_close_matches(name, table.column_names, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"columns {', '.join(table.column_names)}"
            raise HeadraceError(f"{source}: expected the label column `{name}`. Received: no such column; {hint}")
        return table[name], []
    if name in table.column_names:
        raise HeadraceError(
            f"data.label: expected a new name for the computed label. Received: `{name}`, a column of {source}"
        )
    expression = parse(text)
    try:
        return evaluate(expression, table), expression.columns()
    except ExpressionError as error:
        raise HeadraceError(f"data.label.expression: {error}") from None


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _require_finite(column: pa.ChunkedArray, name: str, source: str) -> None:
    bad = pc.invert(pc.is_finite(column))
    count = pc.sum(bad).as_py()
    if count:
        row = pc.index(bad, True).as_py()
        raise HeadraceError(
            f"{source}: expected a finite number as label in every row. Received: {count:,} rows where `{name}` is "
            f"infinite or not a number, first row {row + 1} ({column[row]}); leave such rows out of the source"
        )


def _numbers(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64(), safe=False)  # a whole number beyond 2^53 is rounded to the next float
    raise HeadraceError(f"expected a number as label of a regression. Received: `{name}` of type {column.type}")


def _class_names(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less_equal(pc.abs(column), float(2**53)))
        if not pc.all(whole).as_py():
            quantity = column.filter(pc.invert(whole))[0].as_py()
            raise HeadraceError(
                f"expected classes as label. Received: `{name}` has quantities such as {quantity}; "
                "did you mean `task: regression`?"
            )
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def _class_order(name: str) -> tuple[int, float, str]:
    """Numbers by value, before texts by alphabet."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _positive(classes: list[str], data: DataSpec) -> str | None:
    if data.positive is None:
        return classes[-1] if len(classes) == 2 else None
    if len(classes) != 2:
        raise HeadraceError(f"data.positive: expected only with two classes. Received: {len(classes)} classes")
    if data.positive not in classes:
        raise HeadraceError(
            f"data.positive: expected one of the classes {', '.join(classes)}. Received: {data.positive}"
        )
    return data.positive
