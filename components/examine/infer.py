"""A first schema, inferred from a snapshot for people to curate.

Tight where a change means trouble, loose where chance alone would break it:

- the type of each column; 0 and 1 for booleans, the unit of dates and timestamps;
- the label: always present, none but the known classes, and absent when serving (environments);
- presence: the share that is missing today may double, and grow by five points at least;
- the values of a text column with up to 100 of them, unless too many were seen only once: then an unseen
  value is to be expected, and a list would be wrong tomorrow (Good-Turing: the chance that the next value is
  new is about the share of values seen once). One in a hundred may be unlisted: models score unseen values.

Numbers get no range: the observed one would be wrong tomorrow. All splits are looked at, as it is chance
which rare value fell into which.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headrace.artifacts.dataset import SPLITS, DatasetInfo
from headrace.artifacts.schema import SERVING, TRAINING
from headrace.artifacts.statistics import DescribedColumn, Statistics

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

MOST_VALUES = 100
MOST_SINGLE = 0.01  # share of values seen once, above which they are not listed
LISTED_MASS = 0.99
_ALLOWANCE = 0.05


def infer_schema(statistics: Statistics, info: DatasetInfo) -> schema_pb2.Schema:
    """The schema of a snapshot's columns, in its order."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema(default_environment=[TRAINING, SERVING])
    by_split = [{f.path.step[0]: f for f in statistics.split(name).features} for name in SPLITS]
    for column in statistics.columns:
        if not column.described:
            continue
        seen = [features[column.name] for features in by_split]
        feature = schema.feature.add(name=column.name, type=feature_type(seen[0]))
        _presence(feature, column, seen)
        if column.role == "label":
            _label_values(schema, feature, info)
        elif column.type == "string" and column.role != "id":
            _listed_values(schema, feature, seen)
        else:
            _unit(feature, column)
        if column.role in ("label", "leak"):
            feature.not_in_environment.append(SERVING)
    return schema


def feature_type(statistics: statistics_pb2.FeatureNameStatistics) -> schema_pb2.FeatureType:
    """The schema's type of a feature that has these statistics."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    if statistics.WhichOneof("stats") == "string_stats":
        return schema_pb2.BYTES
    return schema_pb2.FLOAT if statistics.type == statistics.FLOAT else schema_pb2.INT


def _presence(
    feature: schema_pb2.Feature, column: DescribedColumn, seen: list[statistics_pb2.FeatureNameStatistics]
) -> None:
    shares = [_missing(statistics) for statistics in seen]
    most = max((share for share in shares if share is not None), default=1.0)
    if column.role in ("label", "id"):
        feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
    elif most == 1.0:
        feature.presence.min_count = 0
    else:
        feature.presence.min_count = 1
        least = math.floor((1 - max(2 * most, most + _ALLOWANCE)) * 100) / 100
        if least > 0:
            feature.presence.min_fraction = least


def _missing(statistics: statistics_pb2.FeatureNameStatistics) -> float | None:
    """Share of rows without the value; None for a split without rows."""
    common = getattr(statistics, statistics.WhichOneof("stats")).common_stats
    rows = common.num_missing + common.num_non_missing
    return common.num_missing / rows if rows else None


def _label_values(schema: schema_pb2.Schema, feature: schema_pb2.Feature, info: DatasetInfo) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    if info.classes and feature.type == schema_pb2.BYTES:
        schema.string_domain.add(name=feature.name, value=info.classes)
        feature.domain = feature.name


def _listed_values(
    schema: schema_pb2.Schema,
    feature: schema_pb2.Feature,
    seen: list[statistics_pb2.FeatureNameStatistics],
) -> None:
    counts: dict[str, float] = {}
    for statistics in seen:
        if statistics.string_stats.unique > MOST_VALUES:
            return
        for bucket in statistics.string_stats.rank_histogram.buckets:
            counts[bucket.label] = counts.get(bucket.label, 0) + bucket.sample_count
    singles = sum(count == 1 for count in counts.values())
    if not counts or len(counts) > MOST_VALUES or singles / sum(counts.values()) > MOST_SINGLE:
        return
    schema.string_domain.add(name=feature.name, value=sorted(counts))
    feature.domain = feature.name
    feature.distribution_constraints.min_domain_mass = LISTED_MASS


def _unit(feature: schema_pb2.Feature, column: DescribedColumn) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    if column.type == "bool":
        feature.bool_domain.SetInParent()
    elif column.type == "date32":
        feature.time_domain.integer_format = schema_pb2.TimeDomain.UNIX_DAYS
    elif column.type.startswith("timestamp"):
        feature.time_domain.integer_format = schema_pb2.TimeDomain.UNIX_MICROSECONDS
