"""Ids that occur twice, among any number of rows, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError, row_count
from headrace.components.ingest.row_hash import row_hashes

_IN_MEMORY = 1 << 22  # hashes kept in memory (32 MiB); more go to files, by their highest byte
_PARTS = 256
_MOST = 1 << 16  # ids that occur twice that are looked up by name


class Ids:
    """Watches the id column: every row has one, and no two have the same.

    Only hashes are kept: 64 bits a row, sorted part by part. Where two are equal the ids themselves are compared.
    """

    def __init__(self, column: str, schema: pa.Schema, source: str, scratch: Path) -> None:
        """Raises `HeadraceError` where there is no such column."""
        if column not in schema.names:
            raise HeadraceError(
                f"{source}: expected the id column `{column}`. Received: columns {', '.join(schema.names)}"
            )
        self._column, self._source, self._scratch = column, source, scratch
        self._kept: list[np.ndarray] = []
        self._count = self._missing = self._first_missing = 0
        self._spilled = False

    def add(self, batch: pa.RecordBatch, hashes: np.ndarray, rows: np.ndarray) -> None:
        """Takes in a batch, with the hashes of its ids and the numbers of its rows in the source, from 0."""
        column = batch.column(batch.schema.get_field_index(self._column))
        if column.null_count:
            if not self._missing:
                self._first_missing = int(rows[pc.index(pc.is_null(column), True).as_py()])
            self._missing += column.null_count
        self._kept.append(hashes)
        self._count += len(hashes)
        if self._count > _IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        hashes = np.sort(np.concatenate(self._kept))
        edges = np.searchsorted(hashes >> np.uint64(56), np.arange(_PARTS + 1, dtype=np.uint64))
        for part in range(_PARTS):
            with (self._scratch / f"ids-{part}").open("ab") as stream:
                stream.write(hashes[edges[part] : edges[part + 1]].astype("<u8").tobytes())
        self._kept, self._count, self._spilled = [], 0, True

    def finish(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Refuses ids that are missing in a row, or not unique.

        Args:
            batches: all rows once more, with the id's column; looked at only where two hashes are equal.

        Raises:
            HeadraceError: with how many there are, the first ids, and their rows.
        """
        if self._missing:
            raise HeadraceError(
                f"{self._source}: expected an id in every row. Received: {row_count(self._missing)} without "
                f"`{self._column}`, first row {self._first_missing + 1}"
            )
        twice = self._equal_hashes()
        if not len(twice):
            return
        found = _occurrences(batches, self._column, twice[:_MOST])
        count = len(found) + max(0, len(twice) - _MOST)
        if not found:  # different ids with the same hash: once in a million tables of a million rows
            return
        shown = ", ".join(repr(value) for value in list(found)[:3])
        first, second = next(iter(found.values()))[:2]
        raise HeadraceError(
            f"{self._source}: expected every `{self._column}` once. Received: {count:,} ids more than once, "
            f"such as {shown}; the first in the rows {first + 1:,} and {second + 1:,}"
        )

    def _equal_hashes(self) -> np.ndarray:
        if not self._spilled:
            return _repeated(np.concatenate(self._kept) if self._kept else np.zeros(0, np.uint64))
        if self._count:
            self._spill()
        parts = (np.fromfile(self._scratch / f"ids-{part}", "<u8") for part in range(_PARTS))
        return np.concatenate([_repeated(part) for part in parts])


def _repeated(hashes: np.ndarray) -> np.ndarray:
    ordered = np.sort(hashes)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _occurrences(batches: Iterable[pa.RecordBatch], column: str, hashes: np.ndarray) -> dict[Any, list[int]]:
    """The ids with these hashes that occur more than once, in the order of their second occurrence's first."""
    rows: dict[Any, list[int]] = {}
    first_row = 0
    for batch in batches:
        candidates = np.flatnonzero(np.isin(row_hashes(batch, [column]), hashes))
        values = batch.column(batch.schema.get_field_index(column)).take(pa.array(candidates)).to_pylist()
        for position, value in zip(candidates.tolist(), values, strict=True):
            seen = rows.setdefault(value, [])
            if len(seen) < 2:
                seen.append(first_row + position)
        first_row += batch.num_rows
    return {value: seen for value, seen in rows.items() if len(seen) > 1}
