"""Makes the label's column: found or computed, complete, and of the task's kind; batch by batch."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError, row_count
from headrace.components.ingest.columns import type_name
from headrace.components.ingest.spec import DataSpec
from headrace.trainer.expressions.arrow import evaluate
from headrace.trainer.expressions.expression import ExpressionError, parse

MOST_CLASSES = 100
_COUNTED = 100_000  # different values that are counted; a classification with more has gone wrong anyway


@dataclass(frozen=True)
class Finding:
    """Rows of a batch whose label will not do: how many, the first, and its value."""

    count: int
    row: int  # of the source, from 0
    value: Any


@dataclass(frozen=True)
class LabelledBatch:
    """A batch with its label as the model will see it, and what was seen of it."""

    batch: pa.RecordBatch
    values: list[Any]  # different ones: of a regression no more than two
    missing: Finding | None
    infinite: Finding | None
    quantity: Finding | None  # a number that is no class


@dataclass(frozen=True)
class Labelled:
    """What is known of the label when all rows were seen."""

    classes: list[str] | None
    positive: str | None
    leaks: list[str]  # columns that the label was computed from


class Labeller:
    """Makes the label of each batch (from several threads, if need be), and sums up what was seen (from one)."""

    def __init__(self, schema: pa.Schema, task: str, data: DataSpec, source: str) -> None:
        """Checks the label's column against the source's.

        Raises:
            HeadraceError: it is not there, or its type does not fit the task.
        """
        self._task, self._data, self._source = task, data, source
        self._name = data.label.name
        self._expression = self._parsed(schema)
        self._values: dict[Any, None] = {}
        self._found: dict[str, list[Finding]] = {"missing": [], "infinite": [], "quantity": []}
        self._type = None if self._expression is not None else schema.field(self._name).type
        if self._expression is not None:
            self._evaluate(schema.empty_table())
        elif task == "regression":
            _require_number(schema.field(self._name).type, self._name, source)
        type = pa.float64() if task == "regression" else pa.string()
        place = schema.get_field_index(self._name)
        one = pa.field(self._name, type)
        self.schema = schema.append(one) if place < 0 else schema.set(place, one)  # of what `label` gives

    def _parsed(self, schema: pa.Schema) -> Any:
        text = self._data.label.expression
        if text is None:
            if self._name not in schema.names:
                near = difflib.get_close_matches(self._name, schema.names, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"columns {', '.join(schema.names)}"
                raise HeadraceError(
                    f"{self._source}: expected the label column `{self._name}`. Received: no such column; {hint}"
                )
            return None
        if self._name in schema.names:
            raise HeadraceError(
                f"data.label: expected a new name for the computed label. "
                f"Received: `{self._name}`, a column of {self._source}"
            )
        return parse(text)

    def label(self, batch: pa.RecordBatch, rows: np.ndarray) -> LabelledBatch:
        """Finds or computes the label of a batch of rows with these numbers in the source, from 0."""
        if self._expression is None:
            column = batch.column(batch.schema.get_field_index(self._name))
        else:
            column = self._evaluate(pa.Table.from_batches([batch])).combine_chunks()
        missing = _finding(pc.is_null(column), column, rows)
        infinite = quantity = None
        if pa.types.is_floating(column.type):
            infinite = _finding(pc.invert(pc.is_finite(column)), column, rows)
        if self._task == "regression":
            _require_number(column.type, self._name, self._source)
            values = column.cast(pa.float64(), safe=False)  # a whole number beyond 2^53 is rounded to the next float
            low, high = pc.min_max(values).as_py().values()
            distinct = [value for value in {low, high} if value is not None]
        else:
            if pa.types.is_floating(column.type):
                whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less_equal(pc.abs(column), float(2**53)))
                quantity = _finding(pc.invert(whole), column, rows)
                column = pc.if_else(whole, column, pa.scalar(None, column.type)).cast(pa.int64())
            values = column.cast(pa.string())
            distinct = pc.unique(values).drop_null().to_pylist()
        return LabelledBatch(_with(batch, self._name, values), distinct, missing, infinite, quantity)

    def add(self, batch: LabelledBatch) -> None:
        """Counts in what was seen of a batch; batches come in their order."""
        if len(self._values) <= _COUNTED:
            self._values.update(dict.fromkeys(batch.values))
        for kind, finding in (("missing", batch.missing), ("infinite", batch.infinite), ("quantity", batch.quantity)):
            if finding is not None:
                self._found[kind].append(finding)

    def finish(self) -> Labelled:
        """Judges the label of all rows.

        Raises:
            HeadraceError: it is missing or not finite in a row, constant, or does not fit the task.
        """
        self.refuse_bad_rows()
        values = list(self._values)
        if len(values) < 2:
            shown = values[0] if values else "missing"
            raise HeadraceError(
                f"{self._source}: expected a label of at least two values. "
                f"Received: `{self._name}` is {shown} in every row"
            )
        if self._task == "regression":
            return Labelled(None, None, self.leaks)
        if self._type is not None and pa.types.is_temporal(self._type):
            raise HeadraceError(
                f"{self._source}: expected classes as label. Received: `{self._name}` of type {type_name(self._type)}; "
                f"where its moments are classes, say so: data.types: {{{self._name}: string}}"
            )
        if len(values) > MOST_CLASSES:
            is_text = self._type is not None and pa.types.is_string(self._type)
            hint = " Merge classes first." if is_text else " Did you mean `task: regression`?"
            count = f"{len(values):,}" if len(values) <= _COUNTED else f"over {_COUNTED:,}"
            raise HeadraceError(
                f"{self._source}: expected at most {MOST_CLASSES} classes. "
                f"Received: `{self._name}` has {count} different values.{hint}"
            )
        return Labelled(self.values, _positive(self.values, self._data), self.leaks)

    @property
    def values(self) -> list[str]:
        """The classes seen so far, in their order."""
        return sorted(self._values, key=_class_order)

    @property
    def leaks(self) -> list[str]:
        """The columns that the label is computed from."""
        return [] if self._expression is None else list(self._expression.columns())

    def refuse_missing(self) -> None:
        """Raises `HeadraceError` where a row seen so far has no label."""
        if missing := self._found["missing"]:
            raise HeadraceError(
                f"{self._source}: expected a label in every row. Received: {row_count(_total(missing))} "
                f"without `{self._name}`, first row {missing[0].row + 1}; leave such rows out of the source"
            )

    def refuse_bad_rows(self) -> None:
        """Raises `HeadraceError` where a row seen so far has no label, or one that will not do."""
        self.refuse_missing()
        if infinite := self._found["infinite"]:
            raise HeadraceError(
                f"{self._source}: expected a finite number as label in every row. "
                f"Received: {row_count(_total(infinite))} where `{self._name}` is infinite or not a number, "
                f"first row {infinite[0].row + 1} ({infinite[0].value}); leave such rows out of the source"
            )
        if quantity := self._found["quantity"]:
            raise HeadraceError(
                f"{self._source}: expected classes as label. Received: `{self._name}` has quantities "
                f"such as {quantity[0].value}; did you mean `task: regression`?"
            )

    def _evaluate(self, table: pa.Table) -> pa.ChunkedArray:
        try:
            return evaluate(self._expression, table)
        except ExpressionError as error:
            raise HeadraceError(f"data.label.expression: {error}") from None


def label_table(table: pa.Table, task: str, data: DataSpec, source: str) -> Labeller:
    """Looks at the label of a whole table, which is not judged yet.

    Raises:
        HeadraceError: the label is not there, or its type does not fit the task.
    """
    labeller = Labeller(table.schema, task, data, source)
    rows = 0
    for batch in table.to_batches():
        labeller.add(labeller.label(batch, np.arange(rows, rows + batch.num_rows)))
        rows += batch.num_rows
    return labeller


def make_label(table: pa.Table, task: str, data: DataSpec, source: str) -> Labelled:
    """Finds or computes the label of a whole table.

    Raises:
        HeadraceError: the label is absent, missing or not finite in a row, constant, or does not fit the task.
    """
    return label_table(table, task, data, source).finish()


def _finding(bad: pa.Array, column: pa.Array, rows: np.ndarray) -> Finding | None:
    count = pc.sum(bad).as_py()
    if not count:
        return None
    row = pc.index(bad, True).as_py()
    return Finding(count, int(rows[row]), column[row].as_py())


def _total(findings: list[Finding]) -> int:
    return sum(finding.count for finding in findings)


def _with(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    place = batch.schema.get_field_index(name)
    return batch.append_column(name, column) if place < 0 else batch.set_column(place, name, column)


def _require_number(type: pa.DataType, name: str, source: str) -> None:
    if not (pa.types.is_integer(type) or pa.types.is_floating(type)):
        raise HeadraceError(
            f"{source}: expected a number as label of a regression. Received: `{name}` of type {type_name(type)}"
        )


def _class_order(name: str) -> tuple[int, float, str]:
    """Numbers by value, before texts by alphabet."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _positive(classes: list[str], data: DataSpec) -> str | None:
    if data.positive is None:
        return classes[-1] if len(classes) == 2 else None
    if wrong := positive_mistake(data.positive, classes):
        raise HeadraceError(f"data.positive: {wrong}")
    return data.positive


def positive_mistake(positive: str, classes: Sequence[str]) -> str | None:
    """Why a class cannot be the positive one of these; None where it can."""
    if len(classes) != 2:
        return f"expected only with two classes. Received: {len(classes)} classes"
    if positive not in classes:
        return f"expected one of the classes {', '.join(classes)}. Received: {positive}"
    return None
