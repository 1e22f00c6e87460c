"""What a section about a child table comes to, once the columns of both sides are known; and what is wrong with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.ingest.aggregate_spec import Aggregate, Computed
from headrace.components.ingest.aggregation import (
    AS_THEY_ARE,
    DAY,
    FUNCTIONS,
    Aggregation,
    column_name,
    parse_span,
    parse_window,
)
from headrace.components.ingest.columns import name_problem
from headrace.components.ingest.spec import Label
from headrace.trainer.expressions.arrow import column_type
from headrace.trainer.expressions.expression import BOOLEAN, NUMBER, TEXT, Column, ExpressionError, parse

Place = tuple[str | int, ...]  # within the table's section
_TYPES = {NUMBER: pa.float64(), BOOLEAN: pa.bool_(), TEXT: pa.string()}


@dataclass(frozen=True)
class Drawn:
    """Values that are drawn from every child row, once for all aggregations that take them."""

    argument: str | None  # a row-wise expression; None for a mark that the row is there
    where: str | None  # other rows have no value
    plain: bool  # the argument is a column, whose values are taken in their own type
    type: pa.DataType


@dataclass(frozen=True)
class Output:
    """A column that comes out."""

    name: str
    function: str
    drawn: int  # position of the values that it is computed from
    window: int | None  # microseconds; None for all that is past
    type: pa.DataType


@dataclass(frozen=True)
class Plan:
    """All aggregations over one child table."""

    table: str
    keys: dict[str, str]  # the data's column -> the child's
    time: str  # the child's
    moment: str | None  # the data's column; None where it is `at` for all rows
    at: datetime | None
    delay: int  # microseconds
    daily: bool  # the child's times are dates: a row may be of any hour of its day
    where: str | None
    drawn: tuple[Drawn, ...]
    outputs: tuple[Output, ...]

    @property
    def fields(self) -> list[pa.Field]:
        """The columns that come out."""
        return [pa.field(output.name, output.type) for output in self.outputs]


def plan(
    table: str,
    aggregate: Aggregate,
    rows: pa.Schema,
    child: pa.Schema,
    label: Label | None = None,
    taken: Collection[str] = (),
) -> Plan:
    """Makes the plan, once nothing is wrong.

    Args:
        table: the section's name.
        aggregate: the section.
        rows: the schema of the data.
        child: that of the child table.
        label: of the data; None where it has none, as when rows are scored.
        taken: names of columns that came out of other tables.

    Raises:
        HeadraceError: the section does not fit the columns; all mistakes, a line each.
    """
    if found := mistakes(table, aggregate, rows, child, label, taken):
        raise HeadraceError(
            "\n".join(f"features.aggregate.{'.'.join(map(str, (table, *place)))}: {text}" for place, text in found)
        )
    drawn: dict[Drawn, int] = {}
    outputs = []
    for name, computed in aggregate.compute.items():
        values = _drawn(computed, child)
        position = drawn.setdefault(values, len(drawn))
        function = computed.aggregation.function
        for window in computed.windows or aggregate.windows:
            type = _result(function, values.type)
            outputs.append(Output(column_name(table, name, window), function, position, parse_window(window), type))
    return Plan(
        table,
        dict(aggregate.on),
        aggregate.time,
        aggregate.moment_column,
        aggregate.at,
        parse_span(aggregate.delay) if aggregate.delay else 0,
        pa.types.is_date(child.field(aggregate.time).type),
        aggregate.where,
        tuple(drawn),
        tuple(outputs),
    )


def mistakes(
    table: str,
    aggregate: Aggregate,
    rows: pa.Schema,
    child: pa.Schema,
    label: Label | None = None,
    taken: Collection[str] = (),
    empty: Collection[str] = (),
) -> list[tuple[Place, str]]:
    """What is wrong with a section, each with its place in it.

    Args:
        table: the section's name.
        aggregate: the section.
        rows: the schema of the data.
        child: that of the child table.
        label: of the data.
        taken: names of columns that came out of other tables.
        empty: columns of either side whose type is not known yet, as the rows that were looked at have no value.
    """
    found = list(_key_mistakes(aggregate, rows, child, empty))
    found += _time_mistakes(aggregate, rows, child, empty)
    types = {field.name: column_type(field.type) for field in child}
    if aggregate.where is not None and (message := _condition(aggregate.where, types)):
        found.append((("where",), message))
    for name, computed in aggregate.compute.items():
        if message := _aggregation(computed.aggregation, types, computed.expression):
            found.append((("compute", name), message))
        if computed.where is not None and (message := _condition(computed.where, types)):
            found.append((("compute", name), message))
        for window in computed.windows or aggregate.windows:
            column = column_name(table, name, window)
            if problem := name_problem(column):
                found.append((("compute", name), problem.replace("; rename the column in the source", "")))
            if column in rows.names or column in taken:
                what = "a column of the data" if column in rows.names else "which another table has too"
                found.append((("compute", name), f"expected a new name. Received: `{column}`, {what}"))
    if label is not None and aggregate.source is None and aggregate.delay is None:
        found += _label_mistakes(aggregate, label)
    return found


def _key_mistakes(
    aggregate: Aggregate, rows: pa.Schema, child: pa.Schema, empty: Collection[str]
) -> Iterator[tuple[Place, str]]:
    for ours, theirs in aggregate.on.items():
        absent = False
        for side, name, schema in (("data", ours, rows), ("child table", theirs, child)):
            if name not in schema.names:
                absent = True
                hint = nearest_column(name, schema.names)
                yield ("on",), f"expected the key in the {side}. Received: `{name}`, no column; {hint}"
        if absent or ours in empty or theirs in empty:
            continue
        if rows.field(ours).type != child.field(theirs).type:
            yield (
                ("on",),
                f"expected a key of one type on both sides. Received: `{ours}` of {rows.field(ours).type} in the data "
                f"and `{theirs}` of {child.field(theirs).type} in the child table; set data.types or `types`, "
                f"e.g. `{{{theirs}: string}}`",
            )


def _time_mistakes(
    aggregate: Aggregate, rows: pa.Schema, child: pa.Schema, empty: Collection[str]
) -> Iterator[tuple[Place, str]]:
    sides = [("time", aggregate.time, child, "child table")]
    if aggregate.moment_column is not None:
        sides.append(("as_of", aggregate.moment_column, rows, "data"))
    for field, name, schema, side in sides:
        if name not in schema.names:
            hint = nearest_column(name, schema.names)
            yield (field,), f"expected a column of the {side}. Received: `{name}`; {hint}"
        elif not pa.types.is_temporal(schema.field(name).type) and name not in empty:
            types = "`types`" if field == "time" and aggregate.source else "data.types"
            hint = "write it as 2026-01-31T23:59:59, or ask for that in a query"
            if pa.types.is_string(schema.field(name).type):
                hint = f"if all its values are, set {types}: {{{name}: timestamp}}"
            yield (field,), f"expected a date or time. Received: `{name}` of type {schema.field(name).type}; {hint}"
    if aggregate.time in child.names and pa.types.is_date(child.field(aggregate.time).type):
        places: list[tuple[Place, list[str]]] = [(("windows",), aggregate.windows)]
        places += [(("compute", name), computed.windows or []) for name, computed in aggregate.compute.items()]
        for place, windows in places:
            for window in windows:
                if (parse_window(window) or 0) % DAY:
                    yield place, f"expected windows of whole days, as `{aggregate.time}` is a date. Received: {window}"


def _label_mistakes(aggregate: Aggregate, label: Label) -> Iterator[tuple[Place, str]]:
    """A past row's label counts only once it was known, which the data cannot tell."""
    known = {label.name} if label.expression is None else set(parse(label.expression).columns())
    texts = {name: [one.aggregation.argument, one.where] for name, one in aggregate.compute.items()}
    for name, parts in [*texts.items(), ("", [aggregate.where])]:
        read = {column for part in parts if part is not None for column in parse(part).columns()}
        for column in sorted(read & known):
            place: Place = ("compute", name) if name else ("where",)
            what = "the label" if label.expression is None else "which the label is computed from"
            yield (
                place,
                f"expected `delay`, how long after its time a row's label is known. Received: none, and "
                f"`{column}`, {what}",
            )


def _condition(text: str, types: dict[str, str]) -> str | None:
    try:
        _, kind = parse(text).typed(types)
    except ExpressionError as error:
        return str(error)
    return None if kind == BOOLEAN else f"expected a truth value. Received: a {kind}, `{text}`"


def _aggregation(aggregation: Aggregation, types: dict[str, str], text: str) -> str | None:
    if aggregation.argument is None:
        return None
    try:
        _, kind = parse(aggregation.argument).typed(types)
    except ExpressionError as error:
        return str(error)
    wanted, may_be_bare = FUNCTIONS[aggregation.function]
    if wanted is None or kind == wanted or (wanted == NUMBER and kind == BOOLEAN):
        return None
    shown = "truth value" if wanted == BOOLEAN else wanted
    hint = f"; `{aggregation.function}()` takes all rows" if may_be_bare else ""
    return f"expected a {shown} in `{aggregation.function}(...)`. Received: a {kind}, `{text}`{hint}"


def _drawn(computed: Computed, child: pa.Schema) -> Drawn:
    aggregation = computed.aggregation
    if aggregation.argument is None:
        return Drawn(None, computed.where, False, pa.bool_())
    expression = parse(aggregation.argument)
    plain = isinstance(expression.root, Column) and aggregation.function in AS_THEY_ARE
    if plain:
        type = child.field(expression.columns()[0]).type
        plain = not (pa.types.is_boolean(type) and aggregation.function in ("min", "max"))
    if not plain:
        _, kind = expression.typed({field.name: column_type(field.type) for field in child})
        type = _TYPES[kind]
    if FUNCTIONS[aggregation.function][0] == NUMBER and pa.types.is_boolean(type):
        type = pa.float64()  # a truth value counts as 1 or 0
    return Drawn(aggregation.argument, computed.where, plain, type)


def _result(function: str, drawn: pa.DataType) -> pa.DataType:
    if function in ("count", "distinct"):
        return pa.int64()
    return drawn if function in AS_THEY_ARE else pa.float64()
