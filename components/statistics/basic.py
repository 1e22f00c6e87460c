"""TFDV's basic statistics of columns that have at most one value a row.

The accumulators, their merging and the figures made of them are TFDV's own. What is not TFDV's is how a batch gets into
them: TFDV takes each value as a list, and pays for the lists; these columns are plain. And where a column has
few different values, its quantile sketch is fed each of them once with its count, which is cheaper and loses nothing.
"""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx_bsl import sketches
from tfx_bsl.arrow import array_util

from headrace.components.statistics.encode import Column
from headrace.components.statistics.tfdv import Tfdv, tfdv

Weights: TypeAlias = npt.NDArray[np.float64] | None
# TFDV's classes, which are known only once it is: see `tfdv`.
Accumulator: TypeAlias = Any  # basic_stats_generator._BasicAcctype
Presence: TypeAlias = Any  # basic_stats_generator._PresenceAndValencyStats
Numbers: TypeAlias = Any  # basic_stats_generator._PartialNumericStats

_EPSILON = 0.01  # TFDV's default: a quantile's rank is wrong by at most this share of the rows
_PROBE = 2_048  # so many values tell whether a column repeats itself
_REPEATS = 0.5  # counting pays where fewer of them are distinct than this
_Kind = statistics_pb2.FeatureNameStatistics


def accumulator() -> Accumulator:
    """One of TFDV's, which has seen nothing."""
    return tfdv().basic_stats_generator._BasicAcctype()


def generator(weight: str | None) -> Any:
    """TFDV's BasicStatsGenerator, with its defaults, which merges accumulators and writes the figures."""
    return _generator(tfdv(), weight)


@functools.cache
def _generator(of: Tfdv, weight: str | None) -> Any:
    weights = of.example_weight_map.ExampleWeightMap(weight)
    return of.basic_stats_generator.BasicStatsGenerator(example_weight_map=weights)


def add_rows(accumulator: Accumulator, rows: int, weights: Weights) -> None:
    """Counts a batch's rows."""
    accumulator.num_examples += rows
    if weights is not None:
        accumulator.weighted_num_examples += np.sum(weights)


def add_column(accumulator: Accumulator, name: str, column: Column, weights: Weights, texts: Column | None) -> None:
    """Adds a batch of a column.

    Args:
        accumulator: what was seen so far.
        name: the column's.
        column: the batch's values, plain (see `encode`), of any length.
        weights: of the rows.
        texts: the different values of a column of text, where they are known already; they are looked at instead.
    """
    tfdv_basic = tfdv().basic_stats_generator
    path = tfdv().types.FeaturePath([name])
    stats = accumulator.get(path)
    if stats is None:
        stats = accumulator[path] = tfdv_basic._PartialBasicStats(weights is not None, _sketch)
        stats.common_stats.type = _kind(column.type)
        stats.common_stats.presence_and_valency_stats = [tfdv_basic._PresenceAndValencyStats(_sketch, False)]
    if not len(column):
        return
    values, kept = present(column, weights)
    _add_presence(stats.common_stats.presence_and_valency_stats[0], len(values), kept)
    if stats.common_stats.type == _Kind.STRING:
        stats.string_stats.total_bytes_length += array_util.GetBinaryArrayTotalByteSize(values)
        if array_util.CountInvalidUTF8(values if texts is None else texts):
            stats.string_stats.invalid_utf8_count += array_util.CountInvalidUTF8(values)
    elif stats.common_stats.type is not None and len(values):
        _add_numbers(stats.numeric_stats, values, kept)


def _kind(type: pa.DataType) -> int | None:
    if pa.types.is_null(type):
        return None
    if pa.types.is_integer(type):
        return int(_Kind.INT)
    return int(_Kind.FLOAT if pa.types.is_floating(type) else _Kind.STRING)


def _sketch() -> sketches.QuantilesSketch:
    return sketches.QuantilesSketch(eps=_EPSILON, max_num_elements=1 << 32, num_streams=1)


def present(column: Column, weights: Weights) -> tuple[Column, Weights]:
    """The values that are there, with their weights."""
    if column.null_count == 0:
        return column, weights
    if weights is not None:
        weights = weights[np.asarray(pc.is_valid(column))]
    return column.drop_null(), weights


def _add_presence(stats: Presence, present: int, weights: Weights) -> None:
    if not present:
        return
    stats.num_non_missing += present
    stats.total_num_values += present
    stats.min_num_values, stats.max_num_values = 1, 1
    stats.num_values_summary.AddValues(pa.array([1], pa.int32()), pa.array([present], pa.int64()))
    if weights is not None:
        total = np.sum(weights)
        stats.weighted_total_num_values += total
        stats.weighted_num_non_missing += total


def _add_numbers(stats: Numbers, column: Column, weights: Weights) -> None:
    values = np.asarray(column)
    doubles = values.astype(np.float64, copy=False)  # sums of whole numbers overflow
    stats.mean_var_accumulator.update(doubles)
    low, high = values.min(), values.max()
    stats.min, stats.max = min(stats.min, low), max(stats.max, high)
    stats.num_zeros += values.size - np.count_nonzero(values)
    positive = None
    if np.isinf(low) or np.isinf(high):
        finite = values[np.isfinite(values)]
        positive = np.isposinf(values)
        stats.pos_inf_count += positive.sum()
        low, high = (finite.min(), finite.max()) if finite.size else (np.inf, -np.inf)
    stats.finite_min, stats.finite_max = min(stats.finite_min, low), max(stats.finite_max, high)
    repeated = pc.value_counts(column) if _repeats(column) else None
    if repeated is None:
        stats.quantiles_summary.AddValues(column)
    else:
        stats.quantiles_summary.AddValues(repeated.field(0), repeated.field(1))
    if weights is not None:
        stats.weighted_mean_var_accumulator.update(doubles, weights)
        stats.weighted_quantiles_summary.AddValues(column, pa.array(weights))
        if positive is not None:
            stats.pos_inf_weighted_count += weights[positive].sum()


def _repeats(column: Column) -> bool:
    probe = column.slice(0, _PROBE)
    return bool(len(probe) == _PROBE and len(pc.unique(probe)) < _REPEATS * _PROBE)
