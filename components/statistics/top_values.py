"""Counts of text values: exact where TFDV's in-memory generator has sketches, and the same on every run.

TFDV's sketch (Misra-Gries) is exact up to some 1,000 distinct values. Beyond, its frequencies are too high by
up to rows / 1,000, and which of equally frequent values it keeps differs from run to run: the same data would
not give the same bytes. Counting with Arrow costs less, and gives what TFDV's generator on Beam gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_data_validation import constants, types
from tensorflow_data_validation.statistics.generators import stats_generator
from tensorflow_data_validation.utils import top_k_uniques_stats_util
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl.sketches import KmvSketch

from headrace.components.statistics.encode import Column

TOP_VALUES = 20  # TFDV's defaults
RANK_BUCKETS = 1000
LONGEST_VALUE = 1024  # bytes; longer ones are counted under TFDV's placeholder
MOST_DISTINCT = 500_000  # counted exactly up to here; beyond, the rarest are let go and the number is estimated
_KMV_BUCKETS = 16_384


@dataclass
class ValueCounts:
    """How often each value was seen. Bounded: see `MOST_DISTINCT`."""

    tables: list[pa.Table] = field(default_factory=list)  # of (value, count), not yet added up
    distinct: KmvSketch | None = None  # set once values had to be let go
    most: int = MOST_DISTINCT

    def add(self, values: Column) -> None:
        """Counts a batch of values (large_binary, without nulls)."""
        counted = pc.value_counts(values)
        self.tables.append(_table(counted.field(0), counted.field(1)))
        if sum(table.num_rows for table in self.tables) > 2 * self.most:
            self.total()

    def merge(self, other: ValueCounts) -> None:
        """Takes over another's counts."""
        self.tables += other.tables
        if other.distinct is not None:
            if self.distinct is None:
                self.distinct = KmvSketch(_KMV_BUCKETS)
            self.distinct.Merge(other.distinct)
        if sum(table.num_rows for table in self.tables) > 2 * self.most:
            self.total()

    def total(self) -> pa.Table:
        """All counts added up: (value, count) in no order, the rarest let go if there are too many."""
        if len(self.tables) > 1:
            joined = pa.concat_tables(self.tables)
            added = joined.group_by("value").aggregate([("count", "sum")])
            self.tables = [_table(added["value"].combine_chunks(), added["count_sum"].combine_chunks())]
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

    def _note(self, table: pa.Table) -> None:
        if self.distinct is None:
            self.distinct = KmvSketch(_KMV_BUCKETS)
        self.distinct.AddValues(table["value"].combine_chunks())


def most_frequent(table: pa.Table, most: int) -> pa.Table:
    """The `most` rows with the highest count; of equal counts the greater values, as TFDV breaks ties."""
    if table.num_rows <= most:
        return table
    counts = table["count"].to_numpy()
    least = np.partition(counts, len(counts) - most)[len(counts) - most]
    above = table.filter(pa.array(counts > least))
    ties: Any = table.filter(pa.array(counts == least))
    chosen = pc.select_k_unstable(ties, most - above.num_rows, sort_keys=[("value", "descending")])
    return pa.concat_tables([above, ties.take(chosen)])


class TopValuesGenerator(stats_generator.CombinerStatsGenerator):  # type: ignore[misc]
    """TFDV's top values, rank histogram and number of distinct values of text features, by exact counts."""

    def __init__(self, without: str | None = None) -> None:
        """Counts all text columns but the one named `without`."""
        super().__init__("HeadraceTopValues")
        self._without = without

    def create_accumulator(self) -> dict[str, ValueCounts]:
        """No counts yet."""
        return {}

    def add_input(self, accumulator: dict[str, ValueCounts], batch: pa.RecordBatch) -> dict[str, ValueCounts]:
        """Counts the text columns of an encoded batch."""
        column: Column
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name != self._without and pa.types.is_large_binary(column.type.value_type):
                values = column.flatten()
                if len(values):
                    accumulator.setdefault(name, ValueCounts()).add(_shortened(values))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[dict[str, ValueCounts]]) -> dict[str, ValueCounts]:
        """Adds counts up, feature by feature."""
        result: dict[str, ValueCounts] = {}
        for accumulator in accumulators:
            for name, counts in accumulator.items():
                result.setdefault(name, ValueCounts()).merge(counts)
        return result

    def extract_output(self, accumulator: dict[str, ValueCounts]) -> statistics_pb2.DatasetFeatureStatistics:
        """The counts as TFDV's own generator writes them."""
        result = statistics_pb2.DatasetFeatureStatistics()
        for name, counts in accumulator.items():
            top = most_frequent(counts.total(), RANK_BUCKETS)
            pairs = zip(top["value"].to_pylist(), top["count"].to_pylist(), strict=True)
            described = top_k_uniques_stats_util.make_feature_stats_proto_topk_uniques(
                types.FeaturePath([name]),
                TOP_VALUES,
                RANK_BUCKETS,
                counts.number(),
                [top_k_uniques_stats_util.FeatureValueCount(*pair) for pair in pairs],
            )
            result.features.append(described)
        return result


def _table(values: Column, counts: Column) -> pa.Table:
    return pa.table({"value": values, "count": counts.cast(pa.int64())})


def _shortened(values: Column) -> Column:
    long = pc.greater(pc.binary_length(values), pa.scalar(LONGEST_VALUE))
    if not pc.any(long).as_py():
        return values
    return pc.if_else(long, pa.scalar(constants.LARGE_BYTES_PLACEHOLDER.encode(), values.type), values)
