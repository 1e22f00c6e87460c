"""In which ways a run's data goes beyond a schema, and the schema widened by one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.artifacts.dataset import SPLITS, DatasetInfo
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.components.examine.infer import infer_schema
from headrace.pipelines.schema.edit import set_presence, set_range, set_values, values_of
from headrace.pipelines.schema.text import by_name

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

KINDS = ("new", "type", "presence", "domain", "range")
_MOST_RANKED = 1_000  # statistics list no more values than this
_MOST_SHOWN = 8
_PLACEHOLDERS = ("__BYTES_VALUE__", "__LARGE_BYTES__")  # TFDV's, for values that it does not write out


@dataclass(frozen=True)
class Excess:
    """One way in which a column goes beyond the schema."""

    feature: str
    kind: str  # one of KINDS
    text: str  # what was found, and what the schema would become
    apply: Callable[[schema_pb2.Schema], None]  # widens a schema by it


def find_excess(schema: schema_pb2.Schema, statistics: Statistics, info: DatasetInfo) -> list[Excess]:
    """All ways in which the data that was described goes beyond a schema, column by column."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    features = by_name(schema)
    inferred = infer_schema(statistics, info)
    found: list[Excess] = []
    for column in statistics.columns:
        if not column.described:
            continue
        seen = [f for split in SPLITS for f in statistics.split(split).features if f.path.step[0] == column.name]
        feature = features.get(column.name)
        if feature is None:
            found.append(_new(column.name, inferred))
        elif feature.lifecycle_stage not in (schema_pb2.DEPRECATED, schema_pb2.DISABLED):
            for excess in (_type(feature, inferred), _presence(feature, seen), _values(feature, seen, schema)):
                found += [excess] if excess else []
            if (excess := _range(feature, seen, column)) is not None:
                found.append(excess)
    return found


def _new(name: str, inferred: schema_pb2.Schema) -> Excess:
    def apply(schema: schema_pb2.Schema) -> None:
        feature = schema.feature.add()
        feature.CopyFrom(by_name(inferred)[name])
        values = values_of(inferred, feature)
        if values:
            mass = feature.distribution_constraints.min_domain_mass
            feature.ClearField("domain")
            set_values(schema, feature, values)
            if mass:
                feature.distribution_constraints.min_domain_mass = mass

    return Excess(name, "new", "is not in the schema: add it, as it would be inferred", apply)


def _type(feature: schema_pb2.Feature, inferred: schema_pb2.Schema) -> Excess | None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    actual = by_name(inferred)[feature.name]
    if actual.type == feature.type or (actual.type, feature.type) == (schema_pb2.INT, schema_pb2.FLOAT):
        return None
    name = feature.name

    def apply(schema: schema_pb2.Schema) -> None:
        target = by_name(schema)[name]
        set_to = by_name(inferred)[name]
        target.ClearField(target.WhichOneof("domain_info") or "domain")
        target.ClearField("distribution_constraints")
        target.type = set_to.type

    kinds = [schema_pb2.FeatureType.Name(kind) for kind in (feature.type, actual.type)]
    return Excess(name, "type", f"is {kinds[1]} and not {kinds[0]}: make it {kinds[1]}, with any values", apply)


def _presence(feature: schema_pb2.Feature, seen: list[statistics_pb2.FeatureNameStatistics]) -> Excess | None:
    shares = []
    for statistics in seen:
        common = getattr(statistics, statistics.WhichOneof("stats")).common_stats
        rows = common.num_missing + common.num_non_missing
        shares += [common.num_non_missing / rows] if rows else []
    least = math.floor(min(shares, default=1.0) * 100) / 100
    asked = feature.presence.min_fraction or (0.01 if feature.presence.min_count else 0.0)
    if min(shares, default=1.0) >= asked or (not feature.presence.min_fraction and min(shares, default=1.0) > 0):
        return None
    name = feature.name
    text = f"is there in {min(shares):.1%} of the rows of a split: let that be enough ({least:.0%})"
    return Excess(name, "presence", text, lambda schema: set_presence(by_name(schema)[name], least))


def _values(
    feature: schema_pb2.Feature, seen: list[statistics_pb2.FeatureNameStatistics], schema: schema_pb2.Schema
) -> Excess | None:
    listed = values_of(schema, feature)
    if not listed:
        return None
    counts: dict[str, float] = {}
    for statistics in seen:
        for bucket in statistics.string_stats.rank_histogram.buckets:
            counts[bucket.label] = counts.get(bucket.label, 0) + bucket.sample_count
    new = sorted(value for value in counts if value not in listed and value not in _PLACEHOLDERS)
    if not new:
        return None
    name, total = feature.name, sum(counts.values())
    shown = ", ".join(new[:_MOST_SHOWN]) + (f", ... ({len(new)} values)" if len(new) > _MOST_SHOWN else "")
    if any(statistics.string_stats.unique > _MOST_RANKED for statistics in seen):
        shown += f"; only the {_MOST_RANKED:,} most frequent were looked at"
    text = f"has unlisted values in {sum(counts[value] for value in new) / total:.2%} of its rows: add {shown}"

    def apply(schema: schema_pb2.Schema) -> None:
        target = by_name(schema)[name]
        set_values(schema, target, [*values_of(schema, target), *new])

    return Excess(name, "domain", text, apply)


def _range(
    feature: schema_pb2.Feature, seen: list[statistics_pb2.FeatureNameStatistics], column: DescribedColumn
) -> Excess | None:
    kind = feature.WhichOneof("domain_info")
    if kind not in ("int_domain", "float_domain") or column.type == "string":
        return None
    domain = getattr(feature, kind)
    present = [s.num_stats for s in seen if s.num_stats.common_stats.num_non_missing]
    if not present:
        return None
    low = min(stats.min for stats in present) if domain.HasField("min") else None
    high = max(stats.max for stats in present) if domain.HasField("max") else None
    below, above = low is not None and low < domain.min, high is not None and high > domain.max
    if not below and not above:
        return None
    name = feature.name
    ends = (
        (low if below else domain.min) if low is not None else None,
        (high if above else domain.max) if high is not None else None,
    )
    if not all(end is None or math.isfinite(end) for end in ends):
        ends = tuple(end if end is not None and math.isfinite(end) else None for end in ends)  # type: ignore[assignment]
    beyond = " and ".join(f"{end:.15g}" for end in ([low] if below else []) + ([high] if above else []))
    low_text, high_text = ("" if end is None else f"{end:.15g}" for end in ends)
    text = f"has {beyond}, beyond its range: make it {low_text}:{high_text}"
    return Excess(name, "range", text, lambda schema: set_range(by_name(schema)[name], *ends))
