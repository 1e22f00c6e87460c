"""Counts of text values: exact where TFDV's in-memory generator has sketches, and the same on every run.

TFDV's sketch (Misra-Gries) is exact up to some 1,000 distinct values. Beyond, its frequencies are too high by
up to rows / 1,000, and which of equally frequent values it keeps differs from run to run: the same data would
not give the same bytes. Counting with Arrow costs less, and gives what TFDV's generator on Beam gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.sketches import KmvSketch

from headrace.components.statistics.encode import Column
from headrace.components.statistics.tfdv import tfdv

TOP_VALUES = 20  # TFDV's defaults
RANK_BUCKETS = 1000
LONGEST_VALUE = 1024  # bytes; longer ones are counted under TFDV's placeholder
MOST_DISTINCT = 500_000  # counted exactly up to here; beyond, the rarest are let go and the number is estimated
_KMV_BUCKETS = 16_384
_LEAST_WEIGHT = 1.0  # TFDV's default: values with less are not among the top values by weight


@dataclass
class ValueCounts:
    """How often each value was seen, and with what weight where rows have weights. Bounded: see `MOST_DISTINCT`."""

    tables: list[pa.Table] = field(default_factory=list)  # of (value, count[, weight]), not yet added up
    distinct: KmvSketch | None = None  # set once values had to be let go
    most: int = MOST_DISTINCT

    def add(self, values: Column, weights: npt.NDArray[np.float64] | None = None) -> Column:
        """Counts a batch of values (binary, without nulls), and returns those that differ."""
        if weights is None:
            counted = pc.value_counts(values)
            table = pa.table({"value": counted.field(0), "count": counted.field(1).cast(pa.int64())})
        else:
            ones = np.ones(len(values), np.int64)
            table = _added(pa.table({"value": values, "count": pa.array(ones), "weight": pa.array(weights)}))
        self._take([_shortened(table)])
        return table["value"].combine_chunks()

    def merge(self, other: ValueCounts) -> None:
        """Takes over another's counts."""
        if other.distinct is not None:
            if self.distinct is None:
                self.distinct = KmvSketch(_KMV_BUCKETS)
            self.distinct.Merge(other.distinct)
        self._take(other.tables)

    def _take(self, tables: Sequence[pa.Table]) -> None:
        self.tables += tables
        if sum(table.num_rows for table in self.tables) > 2 * self.most:
            self.total()

    def total(self) -> pa.Table:
        """All counts added up: (value, count[, weight]) in no order, the rarest let go if there are too many."""
        if len(self.tables) > 1:
            self.tables = [_added(pa.concat_tables(self.tables))]
        if self.tables[0].num_rows > self.most:
            self._note(self.tables[0])
            self.tables = [most_frequent(self.tables[0], self.most // 2)]
        return self.tables[0]

    def number(self) -> int:
        """Distinct values: exact, or an estimate (within 2 %) once values had to be let go."""
        table = self.total()
        if self.distinct is None:
            return int(table.num_rows)
        self._note(table)
        return int(self.distinct.Estimate())

    def describe(self, name: str) -> statistics_pb2.FeatureNameStatistics:
        """TFDV's top values, rank histogram and number of distinct values of the column, by count and by weight."""
        table = self.total()
        described = tfdv().top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
            tfdv().types.FeaturePath([name]),
            TOP_VALUES,
            RANK_BUCKETS,
            self.number(),
            _pairs(table, "count"),
            _pairs(table, "weight") if "weight" in table.column_names else None,
            weighted_frequency_threshold=_LEAST_WEIGHT,
        )
        described.ClearField("path")  # it is merged into a message that has one
        return described

    def _note(self, table: pa.Table) -> None:
        if self.distinct is None:
            self.distinct = KmvSketch(_KMV_BUCKETS)
        self.distinct.AddValues(table["value"].combine_chunks())


def most_frequent(table: pa.Table, most: int) -> pa.Table:
    """The `most` rows with the highest count, and with weights also those with the highest weight."""
    if table.num_rows <= most:
        return table
    kept = _leading(table, "count", most)
    if "weight" in table.column_names:
        kept |= _leading(table, "weight", most)
    return table.filter(pa.array(kept))


def _leading(table: pa.Table, by: str, most: int) -> npt.NDArray[np.bool_]:
    """Which rows have the highest values of a column; of equal ones the greater texts, as TFDV breaks ties."""
    figures = table[by].to_numpy()
    least = np.partition(figures, len(figures) - most)[len(figures) - most]
    kept: npt.NDArray[np.bool_] = figures > least
    tied = np.flatnonzero(figures == least)
    ties: Any = table.take(pa.array(tied))
    chosen = pc.select_k_unstable(ties, most - int(kept.sum()), sort_keys=[("value", "descending")])
    kept[tied[np.asarray(chosen)]] = True
    return kept


def _pairs(table: pa.Table, by: str) -> list[Any]:
    table = table.filter(pa.array(_leading(table, by, RANK_BUCKETS))) if table.num_rows > RANK_BUCKETS else table
    pairs = zip(table["value"].to_pylist(), table[by].to_pylist(), strict=True)
    pair_of = tfdv().top_k_uniques_stats_util.FeatureValueCount
    return [pair_of(*pair) for pair in pairs]


def _added(table: pa.Table) -> pa.Table:
    """The same with each value once."""
    figures = [name for name in ("count", "weight") if name in table.column_names]
    added = table.group_by("value").aggregate([(name, "sum") for name in figures])
    columns = {"value": added["value"], **{name: added[f"{name}_sum"] for name in figures}}
    return pa.table({name: column.combine_chunks() for name, column in columns.items()})


def _shortened(table: pa.Table) -> pa.Table:
    values = table["value"].combine_chunks()
    if pa.types.is_integer(values.type):
        return table
    long = pc.greater(pc.binary_length(values), pa.scalar(LONGEST_VALUE))
    if not pc.any(long).as_py():
        return table
    placeholder = pa.scalar(tfdv().constants.LARGE_BYTES_PLACEHOLDER.encode(), values.type)
    return _added(table.set_column(0, "value", pc.if_else(long, placeholder, values)))
