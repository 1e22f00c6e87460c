"""A feature's weighted statistics as a feature like any other, so that whatever draws one draws the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2


def as_weighted(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.FeatureNameStatistics | None:
    """The same feature with weighted mean, median, histograms, top values and counts; None where it has no weights.

    Counts are scaled to the number of rows: weights may be small, and a count of rows is a whole number. Extremes,
    zeros and the number of different values are those of the rows: weights do not change them.
    """
    kind = feature.WhichOneof("stats")
    if kind not in ("num_stats", "string_stats"):
        return None
    common = getattr(feature, kind).common_stats
    weights = common.weighted_common_stats
    total = weights.num_non_missing + weights.num_missing
    if not common.HasField("weighted_common_stats") or not total > 0:
        return None
    result = type(feature)()
    result.CopyFrom(feature)
    stats = getattr(result, kind)
    rows = common.num_non_missing + common.num_missing
    scale = rows / total
    present = round(weights.num_non_missing * scale)
    stats.common_stats.num_non_missing, stats.common_stats.num_missing = present, rows - present
    if kind == "num_stats":
        weighted = feature.num_stats.weighted_numeric_stats
        stats.mean, stats.std_dev, stats.median = weighted.mean, weighted.std_dev, weighted.median
        del stats.histograms[:]
        stats.histograms.extend(weighted.histograms)
    else:
        weighted = feature.string_stats.weighted_string_stats
        del stats.top_values[:]
        stats.top_values.extend(weighted.top_values)
        stats.rank_histogram.CopyFrom(weighted.rank_histogram)
        for value in stats.top_values:
            value.frequency *= scale
        for bucket in stats.rank_histogram.buckets:
            bucket.sample_count *= scale
    return result
