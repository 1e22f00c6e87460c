"""How far distributions are from another set's: from the champion's training data, or from logged requests.

TFDV's own comparators do the measuring: the schema's where it has one for a feature, and those of the spec,
L-infinity for texts and Jensen-Shannon divergence for numbers, where it has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from headrace.artifacts.dataset import names_its_row
from headrace.artifacts.findings import Finding
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.components.examine.infer import feature_type
from headrace.components.examine.validator import validate_statistics
from headrace.components.validate.spec import Drift, Skew

Kind = Literal["drift", "skew"]
Features = dict[str, statistics_pb2.FeatureNameStatistics]


@dataclass(frozen=True)
class Compared:
    """What was found, and the distance of each feature that was measured."""

    found: list[Finding] = field(default_factory=list)
    distances: dict[str, float] = field(default_factory=dict)
    joined: anomalies_pb2.Anomalies = field(default_factory=anomalies_pb2.Anomalies)


def compare(
    kind: Kind,
    statistics: Statistics,
    other: statistics_pb2.DatasetFeatureStatistics,
    schema: schema_pb2.Schema,
    settings: Drift | Skew,
) -> Compared:
    """Holds the train split against another set's statistics.

    Args:
        kind: `drift`, from what came before; `skew`, between training and serving.
        statistics: of the snapshot.
        other: statistics of the champion's train split, or of logged requests.
        schema: whose comparators come first.
        settings: the thresholds for the rest, and their level.
    """
    train = {feature.path.step[0]: feature for feature in statistics.split("train").features}
    others = {feature.path.step[0]: feature for feature in other.features}
    own = {feature.name for feature in schema.feature if feature.HasField(f"{kind}_comparator")}
    asked = schema_pb2.Schema()
    for column in statistics.columns:
        a, b = train.get(column.name), others.get(column.name)
        if a is None or b is None or a.WhichOneof("stats") != b.WhichOneof("stats"):
            continue  # the schema's to tell
        comparator = _comparator(kind, column, a, b, schema, settings)
        if comparator is not None:
            feature = asked.feature.add(name=column.name, type=feature_type(a))
            getattr(feature, f"{kind}_comparator").CopyFrom(comparator)
    if not asked.feature:
        return Compared()
    against: dict[str, Any] = {
        "previous_statistics" if kind == "drift" else "serving_statistics": _alone(other, others)
    }
    anomalies = validate_statistics(_alone(statistics.split("train"), train), asked, **against)
    found = [
        _finding(kind, name, info, settings, name in own)
        for name, info in sorted(anomalies.anomaly_info.items(), key=lambda item: list(train).index(item[0]))
    ]
    return Compared([finding for finding in found if finding is not None], _distances(kind, anomalies), anomalies)


def _comparator(
    kind: Kind,
    column: DescribedColumn,
    a: statistics_pb2.FeatureNameStatistics,
    b: statistics_pb2.FeatureNameStatistics,
    schema: schema_pb2.Schema,
    settings: Drift | Skew,
) -> schema_pb2.FeatureComparator | None:
    """The schema's comparator, or the spec's; none for what has to change: ids, times, texts that name their row."""
    for feature in schema.feature:
        if feature.name == column.name and feature.HasField(f"{kind}_comparator"):
            comparator: schema_pb2.FeatureComparator = getattr(feature, f"{kind}_comparator")
            return comparator
    is_time = column.type == "date32" or column.type.startswith("timestamp")
    if settings.level == "off" or column.role in ("id", "label") or is_time:
        return None
    comparator = schema_pb2.FeatureComparator()
    if a.WhichOneof("stats") == "string_stats":
        if any(names_its_row(f.string_stats.unique, f.string_stats.common_stats.num_non_missing) for f in (a, b)):
            return None
        comparator.infinity_norm.threshold = settings.categories
    else:
        comparator.jensen_shannon_divergence.threshold = settings.numbers
    return comparator


def _alone(
    dataset: statistics_pb2.DatasetFeatureStatistics, features: Features
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """One set of statistics without a name, which TFDV would look for."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    result.datasets.add(num_examples=dataset.num_examples).features.extend(features.values())
    return result


def _distances(kind: Kind, anomalies: anomalies_pb2.Anomalies) -> dict[str, float]:
    return {
        info.path.step[0]: measurement.value
        for info in anomalies.drift_skew_info
        for measurement in getattr(info, f"{kind}_measurements")
    }


def _finding(
    kind: Kind, name: str, info: anomalies_pb2.AnomalyInfo, settings: Drift | Skew, own: bool
) -> Finding | None:
    """None where TFDV tells of something else than a distance: features that are not asked about are new to it."""
    reasons = [reason for reason in info.reason if "COMPARATOR" in anomalies_pb2.AnomalyInfo.Type.Name(reason.type)]
    if not reasons:
        return None
    previous = "the champion's training data" if kind == "drift" else "the logged requests"
    text = "; ".join(reason.description.strip().rstrip(".") for reason in reasons)
    for theirs, ours in (
        ("current and previous", f"it and {previous}"),
        ("training and serving", "training and serving"),
        (" (up to six significant digits)", ""),
        ("The feature value with maximum difference is:", "Most different is"),
    ):
        text = text.replace(theirs, ours)
    threshold = "its comparator in the schema" if own else f"validate.{kind} in the spec"
    todo = f"Look for a cause at the source; where the change is wanted, raise {threshold}"
    level = "error" if own or settings.level == "off" else settings.level
    return Finding(kind, level, name, f"a distribution like that of {previous}", text, todo, [name])
