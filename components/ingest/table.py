"""A source's rows as a stream of typed batches: what was text gets the types that all its values have.

A text column's type is only known when its last value has been seen. So that most files need one pass and not two, the
types are guessed from the first rows, and every later value must confirm them: one that does not raises `Wrong`,
whereupon all values are looked at (`Table.settle`) and the pass begins anew. The result is the same either way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import check_names, type_name, within_calendar
from headrace.components.ingest.declared import declared_type, may_be, to_declared
from headrace.components.ingest.kinds import TYPES, Evidence, Kind, convert, convert_strictly, spaced
from headrace.components.ingest.normalise import Targets, check_text, decoded, targets_of, to_target
from headrace.components.ingest.opened import SHOWN, Opened, Rejection
from headrace.components.ingest.spec import DataSpec

_FIRST = 2_048  # values of a column that a guess is made from
_STEADY: tuple[Kind, ...] = ("empty", "string", "boolean", "integer", "date", "timestamp", "zoned")


class Wrong(Exception):
    """A value that shows the guessed type of its column, which is named, to be wrong."""


@dataclass(frozen=True)
class Raw:
    """A batch as a source gave it."""

    source: int  # which
    first_row: int  # rows of all sources before it
    batch: pa.RecordBatch


@dataclass(frozen=True)
class Typed:
    """A batch of a snapshot's types, and the rows of it that are rejected, by their positions."""

    batch: pa.RecordBatch
    first_row: int
    rejected: dict[int, Rejection]
    spaced: dict[str, int]  # column -> numbers with spaces around them
    beyond: dict[str, int]  # column -> dates and times that are in no calendar, and so are missing


@dataclass(frozen=True)
class Table:
    """Sources put together by the names of their columns, and how each column becomes typed."""

    name: str  # for messages
    opened: list[Opened]
    targets: list[Targets | None]  # None for texts
    data: DataSpec
    evidence: dict[str, Evidence]  # of the text columns
    settled: bool = False
    _begun: dict[int, Iterator[pa.RecordBatch]] = field(default_factory=dict)  # passes whose first batch was looked at

    @property
    def schema(self) -> pa.Schema:
        """The columns with their types in a snapshot, in the order of their appearance."""
        types: dict[str, list[pa.DataType]] = {}
        for one, targets in zip(self.opened, self.targets, strict=True):
            for name in one.schema.names if targets is None else targets.types:
                types.setdefault(name, [])
            for name, type in targets.types.items() if targets is not None else ():
                types[name].append(type)
        for name, evidence in self.evidence.items():
            if evidence.values:
                types[name].append(TYPES[evidence.kind()])
        return pa.schema([(name, self._unified(name, found)) for name, found in types.items()])

    def _unified(self, name: str, types: list[pa.DataType]) -> pa.DataType:
        if name in self.data.types:
            return declared_type(self.data.types[name])
        distinct = list(dict.fromkeys(types)) or [pa.float64()]
        if len(distinct) == 1:
            return distinct[0]
        for few, wide in ((pa.int64(), pa.float64()), (pa.date32(), pa.timestamp("us"))):
            if set(distinct) == {few, wide}:
                return wide
        shown = " and ".join(map(type_name, distinct))
        raise HeadraceError(
            f"{self.name}: expected files with the same column types. Received: `{name}` is {shown}; "
            f"set data.types, e.g. `{{{name}: string}}`"
        )

    def kinds(self) -> dict[str, Kind]:
        """The kinds of the text columns, by the values seen so far."""
        return {name: evidence.kind() for name, evidence in self.evidence.items()}

    def raw(self) -> Iterator[Raw]:
        """One pass over all rows, as the sources give them."""
        rows = 0
        for position, one in enumerate(self.opened):
            for batch in self._begun.pop(position, None) or one.batches():
                yield Raw(position, rows, batch)
                rows += batch.num_rows

    def settle(self) -> Table:
        """Looks at all text values, and so knows the types."""
        for raw in self.raw():
            self.look(raw)
        return replace(self, settled=True)

    def look(self, raw: Raw) -> None:
        """Narrows by a batch's values what its text columns may be."""
        if self.targets[raw.source] is not None:
            return
        for name in raw.batch.schema.names:
            if name not in self.data.types:
                _add(self.evidence[name], raw.batch.column(raw.batch.schema.get_field_index(name)))

    def typer(self) -> Typer:
        """What makes batches typed, by what is known of the columns now."""
        return Typer(self, self.schema, self.kinds())


def _add(evidence: Evidence, column: pa.Array) -> None:
    kind = evidence.kind()
    if kind in _STEADY and not evidence.may_turn() and convert_strictly(column, kind) is not None:
        evidence.values += len(column) - column.null_count  # nothing else changes, and the patterns are spared
    else:
        evidence.add(column.drop_null())


@dataclass(frozen=True)
class Typer:
    """Makes batches typed; may be called from several threads."""

    table: Table
    schema: pa.Schema
    kinds: dict[str, Kind]

    def __call__(self, raw: Raw) -> Typed:
        """The batch with all columns of the table, missing ones null.

        Raises:
            Wrong: the types are guessed, and a value does not fit.
        """
        rejected: dict[int, Rejection] = {}
        beyond: dict[str, int] = {}
        columns = [self._column(one, raw, rejected, beyond) for one in self.schema]
        batch = pa.record_batch(columns, schema=self.schema)
        return Typed(batch, raw.first_row, rejected, self._spaced(raw), beyond)

    def _spaced(self, raw: Raw) -> dict[str, int]:
        if self.table.targets[raw.source] is not None:
            return {}
        numbers = (name for name, kind in self.kinds.items() if kind in ("number", "comma number"))
        places = ((name, raw.batch.schema.get_field_index(name)) for name in numbers)
        counts = {name: spaced(raw.batch.column(place)) for name, place in places if place >= 0}
        return {name: count for name, count in counts.items() if count}

    def _column(self, one: pa.Field, raw: Raw, rejected: dict[int, Rejection], beyond: dict[str, int]) -> pa.Array:
        targets = self.table.targets[raw.source]
        place = raw.batch.schema.get_field_index(one.name)
        if place < 0 or (targets is not None and one.name not in targets.types):
            return pa.nulls(raw.batch.num_rows, one.type)
        # Before the cast, which fails on what the unit of a snapshot cannot say.
        values, infinite = within_calendar(decoded(raw.batch.column(place)))
        if one.name in self.table.data.types:
            own = self._declared(one.name, values, raw, rejected)
            if targets is not None:
                check_text(own, self._where(raw, one.name), raw.first_row)
        elif targets is not None:
            own = to_target(values, targets.types[one.name], self._where(raw, one.name), raw.first_row)
        else:
            own = self._text(one.name, values)
        own, other = within_calendar(own)  # of texts: 9999-12-31T23:59:59-05:00 is in the year 10000
        if infinite + other:
            beyond[one.name] = infinite + other
        if own.type == one.type:
            return own
        return pa.nulls(len(own), one.type) if own.null_count == len(own) else own.cast(one.type, safe=False)

    def _text(self, name: str, values: pa.Array) -> pa.Array:
        kind = self.kinds[name]
        found = convert(values, kind) if self.table.settled else convert_strictly(values, kind)
        if found is None:
            raise Wrong(name)
        return found

    def _declared(self, name: str, values: pa.Array, raw: Raw, rejected: dict[int, Rejection]) -> pa.Array:
        wanted = self.table.data.types[name]
        found, bad = to_declared(values, wanted, self.table.data.decimal)
        for position in bad:
            value = str(values[position].as_py())[:SHOWN]
            rejected[position] = Rejection(
                f"row {raw.first_row + position + 1}",
                f"expected {_article(wanted)} {wanted} in `{name}`. Received: {value!r}",
            )
        return found

    def _where(self, raw: Raw, name: str) -> str:
        return f"{self.table.opened[raw.source].name}, column `{name}`"


def _article(noun: str) -> str:
    return "an" if noun[0] in "ai" else "a"


def open_table(name: str, opened: list[Opened], data: DataSpec) -> Table:
    """Puts sources together, and guesses the types of text columns from their first rows.

    Raises:
        HeadraceError: columns that cannot be served or are of another type than declared, or first rows that cannot
            be read.
    """
    check_names((column for one in opened for column in one.schema.names), name)
    targets = [None if one.text else targets_of(one.schema, one.name) for one in opened]
    _check_declared(opened, data)
    evidence: dict[str, Evidence] = {}
    begun: dict[int, Iterator[pa.RecordBatch]] = {}
    settled = True
    for position, one in enumerate(opened):
        new = [column for column in one.schema.names if column not in evidence] if one.text else []
        settled = settled and not one.text
        if not new:
            continue
        batches = one.batches()
        first = next(batches, None)
        evidence |= {column: Evidence(data.decimal) for column in new}
        if first is not None:
            begun[position] = itertools.chain([first], batches)
            for column in new:
                _guess(evidence[column], first.column(first.schema.get_field_index(column)))
    table = Table(name, opened, targets, data, evidence, settled, begun)
    if any(one.may_turn() for one in evidence.values()):
        return table.settle()
    return table


def _check_declared(opened: list[Opened], data: DataSpec) -> None:
    for one in opened:
        for column in () if one.text else one.schema:
            declared = data.types.get(column.name)
            if declared is not None and not may_be(column.type, declared):
                raise HeadraceError(
                    f"{one.name}: expected `{column.name}` of a type that can be {_article(declared)} {declared}, as "
                    f"`types` says. Received: {type_name(column.type)}; take it out of `types`, or convert it before"
                )


def _guess(evidence: Evidence, column: pa.Array) -> None:
    values = column.drop_null()
    evidence.add(values[:_FIRST])
    if len(values) > _FIRST and convert_strictly(values, evidence.kind()) is None:
        evidence.add(values)
