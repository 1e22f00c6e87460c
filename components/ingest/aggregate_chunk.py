"""Computes the aggregates of data rows from the child rows of the same keys, which are in memory and sorted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.components.ingest.aggregate_plan import Output, Plan
from headrace.components.ingest.aggregation import DAY
from headrace.components.ingest.windows import (
    Counts,
    Distinct,
    First,
    Last,
    Levels,
    Windows,
    add,
    before,
    greatest,
    least,
    spread,
)

ID, TIME, ROW = "id", "time", "row"  # of the sorted rows; what is drawn from a child's row is `x0`, `x1`, ...
NO_KEY = -1


class Chunk:
    """All child rows of some keys, sorted by key and time."""

    def __init__(self, plan: Plan, rows: pa.Table) -> None:
        """`rows` has the columns `id`, `time` (both int64) and what is drawn, `x0` and so on."""
        self._plan, self._rows = plan, rows
        ids = rows[ID].to_numpy()
        self._times = rows[TIME].to_numpy()
        self._keys, begins = np.unique(ids, return_index=True)
        self._starts = np.append(begins, len(ids))
        self._groups = np.repeat(np.arange(len(self._keys)), np.diff(self._starts))
        self._values: dict[int, _Values] = {}

    def compute(self, ids: np.ndarray, moments: np.ndarray) -> tuple[list[pa.Array], np.ndarray]:
        """The aggregates of data rows.

        Args:
            ids: their keys' numbers; `NO_KEY` where a key is missing.
            moments: before which child rows count, in microseconds since 1970-01-01.

        Returns:
            an array for each output of the plan; and which rows found a child row that counts.
        """
        # Only what was there *before* the row's own time counts: neither the row itself, nor what is of the same time.
        limits = moments - self._plan.delay
        if self._plan.daily:
            limits = limits - limits % DAY  # a date may be any hour of its day, also one after the moment
        past = self._past(ids, limits)
        windows: dict[int | None, Windows] = {None: past}
        without_key = pa.array(ids == NO_KEY)
        arrays = []
        for output in self._plan.outputs:
            if output.window not in windows:
                low = before(self._times, past.low, past.high, limits - output.window)
                windows[output.window] = Windows(past.first, low, past.high, past.group)
            found = self._of(output.drawn).compute(output, windows[output.window], moments)
            arrays.append(pc.if_else(without_key, pa.scalar(None, output.type), found.cast(output.type)))
        return arrays, past.low < past.high

    def _past(self, ids: np.ndarray, limits: np.ndarray) -> Windows:
        group = np.minimum(np.searchsorted(self._keys, ids), max(len(self._keys) - 1, 0))
        known = self._keys[group] == ids if len(self._keys) else np.zeros(len(ids), bool)
        first = np.where(known, self._starts[group], 0)
        end = np.where(known, self._starts[np.minimum(group + 1, len(self._starts) - 1)], 0)
        return Windows(first, first, before(self._times, first, end, limits), group)

    def _of(self, drawn: int) -> _Values:
        if drawn not in self._values:
            column = self._rows[f"x{drawn}"].combine_chunks()
            self._values[drawn] = _Values(column, self._times, self._starts, self._groups)
        return self._values[drawn]


class _Values:
    """What was drawn from child rows; what is made of it to answer windows is made once."""

    def __init__(self, column: pa.Array, times: np.ndarray, starts: np.ndarray, groups: np.ndarray) -> None:
        self._column, self._times, self._starts, self._groups = column, times, starts, groups
        self._known = column.is_valid().to_numpy(zero_copy_only=False)

    def compute(self, output: Output, windows: Windows, moments: np.ndarray) -> pa.Array:
        """The output's value in each window; missing where no row says one."""
        compute: dict[str, Callable[[], pa.Array]] = {
            "count": lambda: pa.array(self._counts_true.over(windows)),
            "sum": lambda: _numbers(self._sums.over(windows)[0]),
            "mean": lambda: _share(self._sums.over(windows)[0], self._counts_known.over(windows)),
            "std": lambda: _deviation(*self._spreads.over(windows)),
            "min": lambda: self._extreme(self._minima, windows),
            "max": lambda: self._extreme(self._maxima, windows),
            "first": lambda: self._at(self._first_known.over(windows)),
            "last": lambda: self._at(self._last_known.over(windows)),
            "distinct": lambda: pa.array(self._distinct.over(windows)),
            "share": lambda: _share(self._counts_true.over(windows), self._counts_known.over(windows)),
            "days_since_first": lambda: self._days(First(self._true).over(windows), moments),
            "days_since_last": lambda: self._days(Last(self._true).over(windows), moments),
        }
        with np.errstate(over="ignore", invalid="ignore"):  # what is too great for a float becomes missing
            return compute[output.function]()

    @cached_property
    def _true(self) -> np.ndarray:
        return np.asarray(self._known & self._column.fill_null(False).to_numpy(zero_copy_only=False))

    @cached_property
    def _floats(self) -> np.ndarray:
        filled = self._column.cast(pa.float64(), safe=False).fill_null(0.0)  # beyond 2^53 the next float counts
        return np.asarray(filled.to_numpy(zero_copy_only=False))

    @cached_property
    def _counts_true(self) -> Counts:
        return Counts(self._true)

    @cached_property
    def _counts_known(self) -> Counts:
        return Counts(self._known)

    @cached_property
    def _first_known(self) -> First:
        return First(self._known)

    @cached_property
    def _last_known(self) -> Last:
        return Last(self._known)

    @cached_property
    def _sums(self) -> Levels:
        return Levels((self._floats,), self._starts, add, (0.0,))

    @cached_property
    def _spreads(self) -> Levels:
        counts = self._known.astype(np.float64)
        return Levels((counts, self._floats, np.zeros(len(counts))), self._starts, spread, (0.0, 0.0, 0.0))

    @cached_property
    def _minima(self) -> Levels:
        nothing = _greatest(self._column.type)
        return Levels((self._plain(nothing),), self._starts, least, (nothing,))

    @cached_property
    def _maxima(self) -> Levels:
        nothing = -_greatest(self._column.type)
        return Levels((self._plain(nothing),), self._starts, greatest, (nothing,))

    @cached_property
    def _distinct(self) -> Distinct:
        column = self._column
        if pa.types.is_floating(column.type):
            column = pc.add(column, 0.0)  # of 0.0 and -0.0 makes the one number that they are
        codes = column.dictionary_encode().indices.fill_null(-1)
        return Distinct(codes.to_numpy(zero_copy_only=False).astype(np.int64), self._groups)

    def _plain(self, nothing: float) -> np.ndarray:
        values = _plain(self._column)
        return np.where(self._known, values.fill_null(0).to_numpy(zero_copy_only=False), nothing)

    def _extreme(self, levels: Levels, windows: Windows) -> pa.Array:
        (found,) = levels.over(windows)
        numbers = pa.array(found, mask=self._counts_known.over(windows) == 0)
        return numbers.cast(pa.int32()).cast(self._column.type) if pa.types.is_date(self._column.type) else numbers

    def _at(self, rows: np.ndarray) -> pa.Array:
        return self._column.take(pa.array(rows, mask=rows < 0))

    def _days(self, rows: np.ndarray, moments: np.ndarray) -> pa.Array:
        there = rows >= 0
        days = np.zeros(len(rows))
        days[there] = (moments[there] - self._times[rows[there]]) / DAY
        return pa.array(days, mask=~there)


def _plain(column: pa.Array) -> pa.Array:
    """The numbers behind dates and times; numbers as they are."""
    if pa.types.is_date(column.type):
        return column.cast(pa.int32()).cast(pa.int64())
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _greatest(type: pa.DataType) -> Any:
    return np.inf if pa.types.is_floating(type) else np.iinfo(np.int64).max


def _numbers(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))


def _share(sums: np.ndarray, counts: np.ndarray) -> pa.Array:
    shares = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
    return pa.array(shares, mask=(counts == 0) | ~np.isfinite(shares))


def _deviation(counts: np.ndarray, means: np.ndarray, squares: np.ndarray) -> pa.Array:
    """The sample's standard deviation, which needs two values."""
    variance = np.divide(squares, counts - 1, out=np.zeros(len(counts)), where=counts > 1)
    return pa.array(np.sqrt(variance), mask=(counts < 2) | ~np.isfinite(variance))
