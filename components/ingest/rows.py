"""What is done to every batch on its way into a snapshot, and what is counted meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.columns import beyond_note, finite_or_missing
from headrace.components.ingest.label import LabelledBatch, Labeller
from headrace.components.ingest.opened import Rejection
from headrace.components.ingest.parallel import in_order
from headrace.components.ingest.row_hash import row_hashes
from headrace.components.ingest.table import Raw, Table, Typer
from headrace.components.ingest.text_notes import number_like

BEYOND = "beyond the calendar"  # dates and times
SHOWN_REJECTIONS = 10  # that a snapshot keeps


@dataclass
class Tally:
    """What was counted on the way: of one pass."""

    name: str  # for messages
    at_most: int  # rows that may be rejected
    rows: int = 0
    rejected: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)
    first: str = ""
    coerced: dict[str, Counter[str]] = field(default_factory=dict)
    text_values: Counter[str] = field(default_factory=Counter)
    like_numbers: Counter[str] = field(default_factory=Counter)

    def reject(self, source: str, rejection: Rejection, count: int = 1) -> None:
        """Counts rows that are left out.

        Raises:
            HeadraceError: they are more than may be.
        """
        self.first = self.first or f"{source}, {rejection.place}: {rejection.why}"
        self.rejected += count
        if len(self.examples) < SHOWN_REJECTIONS:
            # The path is where a source lay on one machine; and no value, which may be a secret.
            why = rejection.kept or rejection.why.split(". Received: ")[0]
            self.examples.append({"source": PurePosixPath(source).name, "place": rejection.place, "why": why})
        if self.rejected > self.at_most:
            raise HeadraceError(
                f"{self.first}; data.rejects.at_most is {self.at_most:,}"
                + (f", and there are {self.rejected:,} such rows or more" if self.rejected > 1 else "")
            )

    def coerce(self, counts: dict[str, dict[str, int]]) -> None:
        """Counts values that were changed: column -> what was done -> number."""
        for name, kinds in counts.items():
            self.coerced.setdefault(name, Counter()).update(kinds)

    def notes(self) -> list[str]:
        """What a person should know."""
        notes = []
        for name, kinds in self.coerced.items():
            if beyond := kinds[BEYOND]:
                notes.append(beyond_note(name, beyond))
            if infinite := kinds["infinite"]:
                notes.append(f"`{name}`: {infinite:,} infinite values count as missing; a server cannot receive them")
        if self.rejected:
            notes.append(f"{self.rejected:,} rows are left out that cannot be read; the first: {self.first}")
        return notes


@dataclass(frozen=True)
class Kept:
    """The rows of a batch that are not rejected, with their types, and what was counted of them."""

    batch: pa.RecordBatch
    rows: np.ndarray  # their numbers in the source, from 0
    rejected: list[tuple[str, Rejection]]
    coerced: dict[str, dict[str, int]]
    texts: dict[str, tuple[int, int]]  # text column -> values, those that begin like a number


@dataclass(frozen=True)
class Typing:
    """Types a batch; may be called from several threads."""

    table: Table
    typer: Typer

    def __call__(self, raw: Raw) -> Kept:
        typed = self.typer(raw)
        batch, rows = drop_rejected(typed.batch, typed.first_row, typed.rejected)
        name = self.table.opened[raw.source].name
        rejected = [(name, rejection) for rejection in typed.rejected.values()]
        coerced = {name: {"spaces": count} for name, count in typed.spaced.items()}
        for column, count in typed.beyond.items():
            coerced.setdefault(column, {})[BEYOND] = count
        return Kept(batch, rows, rejected, coerced, self._texts(raw))

    def _texts(self, raw: Raw) -> dict[str, tuple[int, int]]:
        if self.table.targets[raw.source] is not None:
            return {}
        texts = {}
        for name in raw.batch.schema.names:
            if name not in self.table.data.types and self.typer.kinds[name] == "string":
                column = raw.batch.column(raw.batch.schema.get_field_index(name))
                texts[name] = len(column) - column.null_count, number_like(column)
        return texts


@dataclass(frozen=True)
class Ready:
    """A batch that can be split and written."""

    kept: Kept
    labelled: LabelledBatch
    hashes: np.ndarray  # uint64
    changed: dict[str, dict[str, int]]  # values that were not finite


@dataclass(frozen=True)
class Preparation:
    """Types, labels and hashes a batch; may be called from several threads."""

    typing: Typing
    labeller: Labeller
    label: str
    hashed: list[str] | None

    def __call__(self, raw: Raw) -> Ready:
        kept = self.typing(raw)
        finite, changed = finite_or_missing(kept.batch, self.label)
        labelled = self.labeller.label(finite, kept.rows)
        return Ready(kept, labelled, row_hashes(labelled.batch, self.hashed), changed)


def drop_rejected(
    batch: pa.RecordBatch, first_row: int, rejected: dict[int, Rejection]
) -> tuple[pa.RecordBatch, np.ndarray]:
    """The rows that are not rejected, and their numbers in the source."""
    rows = np.arange(first_row, first_row + batch.num_rows)
    if not rejected:
        return batch, rows
    kept = np.delete(np.arange(batch.num_rows), list(rejected))
    return batch.take(pa.array(kept)), rows[kept]


def typed_rows(table: Table, tally: Tally) -> Iterator[Kept]:
    """All rows of a table in their order, typed, without the rejected ones, and counted."""
    for kept in in_order(Typing(table, table.typer()), table.raw()):
        count(kept, tally)
        yield kept
    count_source_rejections(table, tally)


def head_rows(table: Table, most: int) -> pa.Table:
    """The first rows, with the types that their values suggest, without the rejected ones.

    Raises:
        HeadraceError: of those that were looked at more are rejected than may be.
    """
    raws, rows = [], 0
    for raw in table.raw():
        raws.append(raw)
        table.look(raw)
        rows += raw.batch.num_rows
        if rows >= most:
            break
    known = replace(table, settled=True)
    typing = Typing(known, known.typer())
    found, tally = [typing(raw) for raw in raws], Tally(table.name, table.data.rejects.at_most)
    for kept in found:
        count(kept, tally)
    return pa.Table.from_batches([kept.batch for kept in found], typing.typer.schema)[:most]


def prepared(preparation: Preparation, tally: Tally) -> Iterator[Ready]:
    """All rows of a table in their order, ready to be written, and counted."""
    table = preparation.typing.table
    for ready in in_order(preparation, table.raw()):
        count(ready.kept, tally)
        tally.rows += ready.kept.batch.num_rows
        tally.coerce(ready.changed)
        preparation.labeller.add(ready.labelled)
        yield ready
    count_source_rejections(table, tally)


def count(kept: Kept, tally: Tally) -> None:
    """Counts what was left out and changed of a batch."""
    for source, rejection in kept.rejected:
        tally.reject(source, rejection)
    tally.coerce(kept.coerced)
    for name, (values, like) in kept.texts.items():
        tally.text_values[name] += values
        tally.like_numbers[name] += like


def count_source_rejections(table: Table, tally: Tally) -> None:
    """Counts the rows that the sources could not read, in the pass that has just ended."""
    for one in table.opened:
        rejections = one.rejected()
        for rejection in rejections.first:
            tally.reject(one.name, rejection)
        if rejections.count > len(rejections.first):
            tally.reject(one.name, rejections.first[-1], rejections.count - len(rejections.first))


def newest(column: pa.Array, so_far: Any) -> Any:
    """The greatest value of a column and of what was greatest before; None where there is none."""
    greatest = pc.max(column).as_py()
    return so_far if greatest is None else greatest if so_far is None else max(so_far, greatest)
