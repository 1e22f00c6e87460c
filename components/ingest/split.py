"""Divides rows into train, eval and test. Every row goes to exactly one, whatever the order or the batches.

| by | a row's split depends on | when rows are added |
| --- | --- | --- |
| hash, group | the hash of its id (all columns; its group) | no row changes its split |
| column | its value in that column | no row changes its split |
| time with `eval_from`, `test_from` | its time | no row changes its split |
| time by shares | its rank in time; equal times share a split | boundaries move on: eval and test stay the newest |
| stratified | the rank of its hash in its stratum | the boundary between two splits moves a little |

Stratified: in each stratum the rows with the smallest hashes are test, the next eval, the others train, with exact
counts. Adding rows shifts each boundary by the luck of the draw: about `sqrt(n * share * (1 - share))` of a stratum's n
rows move, each to the neighbouring split, however many are added (0.1 % of 100,000), and never between train and
test. Whoever needs rows that never move takes `hash`, whose shares are exact only on average.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import SPLITS
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.ingest.ranks import Numbers
from headrace.components.ingest.row_hash import positions, row_hashes
from headrace.components.ingest.spec import Split

TRAIN, EVAL, TEST = range(3)
MOST_STRATA = 1_000
_SIGN = np.uint64(1 << 63)
Assign = Callable[[pa.RecordBatch, np.ndarray], np.ndarray]  # rows and their hashes -> 0 train, 1 eval, 2 test


@dataclass(frozen=True)
class Splitter:
    """How rows are assigned: at once, or after all of them were observed."""

    columns: list[str] | None  # whose values are hashed; None for all, none where no one needs it
    observe: Callable[[pa.RecordBatch, np.ndarray], None] | None  # sees all rows once before the first is assigned
    assign: Assign


def splitter(split: Split, id: str | None, label: str, schema: pa.Schema, scratch: Path) -> Splitter:
    """The way of splitting that the spec asks for.

    Args:
        split: the section of the spec.
        id: the id's column.
        label: the label's column.
        schema: of the rows.
        scratch: a folder for what does not fit into memory.

    Raises:
        HeadraceError: a column is not there, or of a type that cannot be split by; later, a row without a value.
    """
    hashed = [id] if id is not None else None if split.by in ("hash", "stratified") else []
    column = split.column or label
    if split.by != "hash" and column not in schema.names:
        raise HeadraceError(
            f"data.split.column: expected a column of the source. Received: `{column}`; "
            f"{nearest_column(column, schema.names)}"
        )
    if split.by == "group":
        return Splitter(hashed, None, _by_group(split, column))
    if split.by == "column":
        return Splitter(hashed, None, _by_column(split, column))
    if split.by == "time":
        return _by_time(split, column, schema, hashed, scratch)
    if split.by == "stratified":
        strata = _Strata(split, column, scratch)
        return Splitter(hashed, strata.observe, strata.assign)
    return Splitter(hashed, None, lambda batch, hashes: _by_hash(split, hashes))


def _by_hash(split: Split, hashes: np.ndarray) -> np.ndarray:
    position = positions(hashes)
    test = position < split.test
    evaluation = ~test & (position < split.test + split.eval)
    return np.where(test, TEST, np.where(evaluation, EVAL, TRAIN))


def _by_group(split: Split, column: str) -> Assign:
    def assign(batch: pa.RecordBatch, hashes: np.ndarray) -> np.ndarray:
        _complete(batch, column)
        return _by_hash(split, row_hashes(batch, [column]))

    return assign


def _by_column(split: Split, column: str) -> Assign:
    values = [
        (value, code)
        for code, name in enumerate(SPLITS)
        for value in (dict[str, list[str]](split.values)[name] if split.values else [name])  # type: ignore[arg-type]
    ]
    known, codes = pa.array([value for value, _ in values]), np.array([code for _, code in values])

    def assign(batch: pa.RecordBatch, hashes: np.ndarray) -> np.ndarray:
        texts = _complete(batch, column).cast(pa.string())
        places = pc.index_in(texts, known)
        if places.null_count:
            other = texts[pc.index(pc.is_null(places), True).as_py()].as_py()
            raise HeadraceError(
                f"data.split: expected one of {', '.join(known.to_pylist())} in `{column}`. Received: {other!r}; "
                "say with data.split.values what the values mean"
            )
        assigned: np.ndarray = codes[places.to_numpy()]
        return assigned

    return assign


def _by_time(split: Split, column: str, schema: pa.Schema, hashed: list[str] | None, scratch: Path) -> Splitter:
    type = schema.field(column).type
    if not (pa.types.is_temporal(type) or pa.types.is_integer(type) or pa.types.is_floating(type)):
        raise HeadraceError(f"data.split.column: expected a date, time or number. Received: `{column}` of type {type}")
    if split.eval_from is not None and split.test_from is not None:
        if not pa.types.is_temporal(type):
            raise HeadraceError(
                f"data.split.eval_from: expected a date or time in `{column}`. Received: type {type}; use shares"
            )
        moments = [pa.scalar(moment, pa.timestamp("us")) for moment in (split.eval_from, split.test_from)]
        eval_from, test_from = (int(_ordered(pa.array([moment]))[0]) for moment in moments)
        return Splitter(hashed, None, lambda batch, hashes: _from(_times(batch, column), eval_from, test_from))
    times = _TimeShares(split, column, scratch)
    return Splitter(hashed, times.observe, times.assign)


def _times(batch: pa.RecordBatch, column: str) -> np.ndarray:
    return _ordered(_complete(batch, column))


def _from(times: np.ndarray, eval_from: int, test_from: int) -> np.ndarray:
    return np.where(times >= np.uint64(test_from), TEST, np.where(times >= np.uint64(eval_from), EVAL, TRAIN))


def _ordered(column: pa.Array) -> np.ndarray:
    """Values as unsigned numbers of the same order."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if pa.types.is_floating(column.type):
        bits = (column.to_numpy(zero_copy_only=False) + 0.0).view(np.uint64)  # -0.0 is 0.0
        ordered: np.ndarray = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    else:
        ordered = column.cast(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64) ^ _SIGN
    return ordered


class _TimeShares:
    """The newest share of rows is test, the next eval."""

    def __init__(self, split: Split, column: str, scratch: Path) -> None:
        self._split, self._column = split, column
        self._numbers = Numbers(scratch / "times")
        self._boundaries: tuple[int, int] | None = None

    def observe(self, batch: pa.RecordBatch, hashes: np.ndarray) -> None:
        self._numbers.add(_times(batch, self._column))

    def assign(self, batch: pa.RecordBatch, hashes: np.ndarray) -> np.ndarray:
        if self._boundaries is None:
            rows = self._numbers.count
            newest = [_share(self._split.eval + self._split.test, rows), _share(self._split.test, rows)]
            eval_from, test_from = (self._numbers.smallest(min(rows - count, rows - 1)) for count in newest)
            self._boundaries = eval_from, test_from
        return _from(_times(batch, self._column), *self._boundaries)


class _Strata:
    """In each stratum, the rows with the smallest hashes are test, the next eval."""

    def __init__(self, split: Split, column: str, scratch: Path) -> None:
        self._split, self._column, self._scratch = split, column, scratch
        self._strata: dict[Any, Numbers] = {}
        self._last: dict[Any, tuple[int, int]] = {}

    def observe(self, batch: pa.RecordBatch, hashes: np.ndarray) -> None:
        encoded = _texts(batch, self._column).dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, value in enumerate(encoded.dictionary.to_pylist()):
            if value not in self._strata:
                if len(self._strata) == MOST_STRATA:
                    raise HeadraceError(
                        f"data.split.column: expected at most {MOST_STRATA:,} strata. "
                        f"Received: more different values in `{self._column}`"
                    )
                self._strata[value] = Numbers(self._scratch / f"stratum-{len(self._strata)}")
            self._strata[value].add(hashes[codes == code])

    def assign(self, batch: pa.RecordBatch, hashes: np.ndarray) -> np.ndarray:
        encoded = _texts(batch, self._column).dictionary_encode()
        codes = encoded.indices.to_numpy()
        bounds = [self._bounds(value) for value in encoded.dictionary.to_pylist()]
        test, evaluation = (np.array([bound[i] for bound in bounds], np.uint64)[codes] for i in (0, 1))
        return np.where(hashes < test, TEST, np.where(hashes < evaluation, EVAL, TRAIN))

    def _bounds(self, stratum: Any) -> tuple[int, int]:
        """The hashes from which on a row is no longer test, and no longer eval."""
        if stratum not in self._last:
            numbers = self._strata[stratum]
            rows = numbers.count
            fewest = 1 if rows >= len(SPLITS) else 0  # a small stratum is in every split where it can be
            test = max(fewest, _share(self._split.test, rows))
            both = max(test + fewest, _share(self._split.test + self._split.eval, rows))
            self._last[stratum] = numbers.smallest(test), numbers.smallest(min(both, rows - 1))
        return self._last[stratum]


def _share(share: float, rows: int) -> int:
    return int(np.floor(share * rows + 0.5))


def _texts(batch: pa.RecordBatch, column: str) -> pa.Array:
    return pc.coalesce(batch.column(batch.schema.get_field_index(column)).cast(pa.string()), pa.scalar("\0"))


def _complete(batch: pa.RecordBatch, column: str) -> pa.Array:
    values = batch.column(batch.schema.get_field_index(column))
    if values.null_count:
        raise HeadraceError(
            f"data.split: expected a value of `{column}` in every row. Received: rows without; "
            "leave them out of the source, or split by another column"
        )
    return values
