"""Holds statistics against a schema with TFDV, split by split, and joins what it finds into one message."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from headrace.artifacts.dataset import SPLITS
from headrace.artifacts.schema import TRAINING
from headrace.artifacts.statistics import Statistics
from headrace.components.examine.validator import validate_statistics

AnomalyInfo = anomalies_pb2.AnomalyInfo
_UNITS = {"date32": schema_pb2.TimeDomain.UNIX_DAYS, "timestamp": schema_pb2.TimeDomain.UNIX_MICROSECONDS}


def find_anomalies(statistics: Statistics, schema: schema_pb2.Schema) -> anomalies_pb2.Anomalies:
    """All anomalies of all splits; the descriptions are led by the splits they were found in.

    Beside what TFDV finds as the schema asks (drift comparators hold eval and test against train):
    whole numbers pass where FLOAT is expected; a date where a timestamp is expected, or the reverse, is an
    error, although both are INT to TFDV; unlisted values that `min_domain_mass` tolerates are warnings.
    """
    environment = TRAINING if TRAINING in schema.default_environment else None
    train = _single(statistics, "train", schema)
    found: dict[str, anomalies_pb2.Anomalies] = {}
    for split in SPLITS:
        current = _single(statistics, split, schema)
        if not current.datasets[0].num_examples:
            found[split] = _empty_split()
            continue
        previous = None if split == "train" else train
        found[split] = validate_statistics(current, schema, environment, previous_statistics=previous)
        _add_tolerated(found[split], current, schema, environment)
    joined = _join(found)
    joined.baseline.CopyFrom(schema)
    _add_units(joined, statistics, schema)
    return joined


def _single(
    statistics: Statistics, split: str, schema: schema_pb2.Schema
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """One split alone, as TFDV wants it, with whole numbers declared as FLOAT where the schema says so."""
    result = statistics_pb2.DatasetFeatureStatisticsList(datasets=[statistics.split(split)])
    result.datasets[0].name = ""
    expected = {feature.name: feature.type for feature in schema.feature}
    whole = {column.name for column in statistics.columns if column.type == "int64"}
    for feature in result.datasets[0].features:
        name = feature.path.step[0]
        if name in whole and expected.get(name) == schema_pb2.FLOAT:
            feature.type = statistics_pb2.FeatureNameStatistics.FLOAT
    return result


def _empty_split() -> anomalies_pb2.Anomalies:
    result = anomalies_pb2.Anomalies(data_missing=True)
    result.dataset_anomaly_info.severity = AnomalyInfo.ERROR
    result.dataset_anomaly_info.reason.add(
        type=AnomalyInfo.NO_DATA_IN_SPAN, short_description="No rows", description="The split has no rows"
    )
    return result


def _add_tolerated(
    anomalies: anomalies_pb2.Anomalies,
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
    schema: schema_pb2.Schema,
    environment: str | None,
) -> None:
    """Warnings of unlisted values that are rare enough for the schema."""
    tolerant = [feature for feature in schema.feature if feature.HasField("distribution_constraints")]
    if not tolerant:
        return
    # Only these features: the time that TFDV takes grows with the square of their number.
    strict = schema_pb2.Schema()
    strict.CopyFrom(schema)
    del strict.feature[:]
    strict.feature.extend(tolerant)
    for feature in strict.feature:
        feature.ClearField("distribution_constraints")
    names = {feature.name for feature in tolerant}
    alone = statistics_pb2.DatasetFeatureStatisticsList()
    seen = statistics.datasets[0]
    alone.datasets.add(num_examples=seen.num_examples).features.extend(
        feature for feature in seen.features if feature.path.step[0] in names
    )
    for name, info in validate_statistics(alone, strict, environment).anomaly_info.items():
        unlisted = [r for r in info.reason if r.type == AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES]
        target = anomalies.anomaly_info[name] if unlisted else AnomalyInfo()
        if all(reason.type != AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES for reason in target.reason):
            target.severity = max(target.severity, AnomalyInfo.WARNING)
            target.reason.extend(unlisted)


def _join(found: dict[str, anomalies_pb2.Anomalies]) -> anomalies_pb2.Anomalies:
    result = anomalies_pb2.Anomalies(anomaly_name_format=anomalies_pb2.Anomalies.SERIALIZED_PATH)
    result.data_missing = all(anomalies.data_missing for anomalies in found.values())
    names = list(dict.fromkeys(name for anomalies in found.values() for name in anomalies.anomaly_info))
    for name in names:
        infos = {s: a.anomaly_info[name] for s, a in found.items() if name in a.anomaly_info}
        _join_infos(result.anomaly_info[name], infos)
        result.anomaly_info[name].path.step.append(name)
    whole = {s: a.dataset_anomaly_info for s, a in found.items() if a.dataset_anomaly_info.reason}
    if whole:
        reasons = _join_reasons({split: list(info.reason) for split, info in whole.items()})
        result.dataset_anomaly_info.severity = max(info.severity for info in whole.values())
        result.dataset_anomaly_info.reason.extend(reasons)
        result.dataset_anomaly_info.description = " ".join(reason.description for reason in reasons)
    for anomalies in found.values():
        result.drift_skew_info.extend(anomalies.drift_skew_info)
    return result


def _join_infos(target: anomalies_pb2.AnomalyInfo, infos: dict[str, anomalies_pb2.AnomalyInfo]) -> None:
    target.severity = max(info.severity for info in infos.values())
    target.reason.extend(_join_reasons({split: list(info.reason) for split, info in infos.items()}))
    target.short_description = "; ".join(dict.fromkeys(reason.short_description for reason in target.reason))
    target.description = " ".join(reason.description for reason in target.reason)


def _join_reasons(
    reasons: dict[str, list[anomalies_pb2.AnomalyInfo.Reason]],
) -> list[anomalies_pb2.AnomalyInfo.Reason]:
    """Equal reasons once, led by the splits that share them."""
    splits: dict[bytes, list[str]] = {}
    for split, found in reasons.items():
        for reason in found:
            splits.setdefault(reason.SerializeToString(deterministic=True), []).append(split)
    result = []
    for serialized, names in splits.items():
        reason = AnomalyInfo.Reason.FromString(serialized)
        text = reason.description.strip().replace("current and previous", "it and train")
        reason.description = f"{', '.join(names)}: {text}"
        result.append(reason)
    return result


def _add_units(anomalies: anomalies_pb2.Anomalies, statistics: Statistics, schema: schema_pb2.Schema) -> None:
    """Errors where a date meets a timestamp's schema, or any other unit of time than the schema's."""
    columns = {column.name: column for column in statistics.columns}
    for feature in schema.feature:
        column = columns.get(feature.name)
        if column is None or feature.WhichOneof("domain_info") != "time_domain":
            continue
        wanted = feature.time_domain.integer_format
        actual = _UNITS.get(column.type.split("[")[0])
        if actual == wanted or column.type in ("string", "float64"):  # TFDV tells of those itself
            continue
        info = anomalies.anomaly_info[feature.name]
        info.severity = AnomalyInfo.ERROR
        unit = schema_pb2.TimeDomain.IntegerTimeFormat.Name(wanted)
        reason = info.reason.add(type=AnomalyInfo.UNEXPECTED_DATA_TYPE, short_description="Unexpected unit of time")
        reason.description = f"{', '.join(SPLITS)}: Expected a time in {unit} but got a column of type {column.type}"
        info.short_description = "; ".join(r.short_description for r in info.reason)
        info.description = " ".join(r.description for r in info.reason)
        if not info.path.step:
            info.path.step.append(feature.name)
