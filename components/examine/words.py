"""Anomalies in words: what was expected, what was found, what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from headrace.artifacts.findings import DATASET, Finding

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

SCHEMA = "schema"  # the check that these findings are of


def findings(anomalies: anomalies_pb2.Anomalies, schema: schema_pb2.Schema) -> list[Finding]:
    """The findings, errors first, each kind in the schema's order and new columns last."""
    order = {feature.name: index for index, feature in enumerate(schema.feature)}
    features = {feature.name: feature for feature in schema.feature}
    result = [
        _finding(name, info, expectation(features[name], schema) if name in features else "no column of this name")
        for name, info in anomalies.anomaly_info.items()
    ]
    if anomalies.dataset_anomaly_info.reason:
        result.append(_finding(DATASET, anomalies.dataset_anomaly_info, "the schema's dataset_constraints to hold"))
    return sorted(result, key=lambda f: (f.level != "error", order.get(f.where, len(order)), f.where))


def expectation(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> str:
    """What a schema asks of a column, in words."""
    parts = [_kind(feature)]
    if feature.presence.min_fraction == 1:
        parts.append("in every row")
    elif feature.presence.min_fraction:
        parts.append(f"in at least {feature.presence.min_fraction:.0%} of the rows")
    elif feature.presence.min_count:
        parts.append("in some rows")
    if values := _values(feature, schema):
        parts.append(values)
    return ", ".join(parts)


def _kind(feature: schema_pb2.Feature) -> str:
    from tensorflow_metadata.proto.v0 import schema_pb2

    domain = feature.WhichOneof("domain_info")
    if domain == "bool_domain":
        return "true or false"
    if domain == "time_domain":
        days = feature.time_domain.integer_format == schema_pb2.TimeDomain.UNIX_DAYS
        return "a date" if days else "a timestamp"
    names = {schema_pb2.FLOAT: "a number", schema_pb2.INT: "a whole number", schema_pb2.BYTES: "text"}
    return names.get(feature.type, "a value")


def _values(feature: schema_pb2.Feature, schema: schema_pb2.Schema) -> str:
    domain = feature.WhichOneof("domain_info")
    if domain == "domain":
        listed = {domain.name: list(domain.value) for domain in schema.string_domain}
        return "one of " + _some(listed.get(feature.domain, []))
    if domain == "string_domain":
        return "one of " + _some(list(feature.string_domain.value))
    if domain in ("int_domain", "float_domain"):
        bounds = getattr(feature, domain)
        ends = [f"from {_bound(bounds.min)}"] if bounds.HasField("min") else []
        ends += [f"up to {_bound(bounds.max)}"] if bounds.HasField("max") else []
        return " ".join(ends)
    return ""


def _bound(value: float) -> str:
    """All digits of a whole number, and as many as tell a float32 from any other, which float_domain has."""
    if isinstance(value, int):
        return str(value)
    texts = (f"{value:.{digits}g}" for digits in range(6, 10))
    return next((text for text in texts if np.float32(text) == np.float32(value)), str(value))


def _some(values: list[str], most: int = 8) -> str:
    shown = ", ".join(values[:most])
    return f"{shown}, ... ({len(values)} values)" if len(values) > most else shown


def _finding(name: str, info: anomalies_pb2.AnomalyInfo, expected: str) -> Finding:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    # An unknown severity is no reason to pass.
    error = info.severity != anomalies_pb2.AnomalyInfo.WARNING
    kinds = [anomalies_pb2.AnomalyInfo.Type.Name(reason.type) for reason in info.reason]
    todo = next((text for kind, text in _TODO.items() if kind in kinds), _OTHERWISE)
    if not error:
        todo = "Tolerated by the schema."
    received = "; ".join(_shortened(reason.description) for reason in info.reason)
    columns = [] if name == DATASET else [name]
    return Finding(SCHEMA, "error" if error else "warn", name, expected, received, todo, columns)


def _shortened(description: str) -> str:
    """TFDV's words, the longest of which are said in fewer: they come once for each split."""
    text = description.rstrip(". ")
    text = text.replace("Examples contain values missing from the schema", "values that are not listed")
    return _TOO_FEW.sub(lambda found: f"a value in only {float(found.group(1)):.1%} of the rows", text)


_TOO_FEW = re.compile(
    r"The feature was present in fewer examples than expected: minimum fraction = [\d.]+, actual = ([\d.e-]+)"
)

_OTHERWISE = "Put the data right, or change the feature in the schema"

_VALUES = "Correct the values, or "
_SPLITS = "Look for a cause in how the splits came to be, or raise the comparator's threshold"

# The first that applies, from the most telling kind of anomaly to the least.
_TODO = {
    "SCHEMA_MISSING_COLUMN": "Bring the column back, or delete its feature from the schema",
    "SCHEMA_NEW_COLUMN": "Leave the column out of the source, or add a feature for it to the schema",
    "UNEXPECTED_DATA_TYPE": "Correct the values of another type, or change `type` in the schema",
    "FEATURE_TYPE_NOT_PRESENT": "Bring the values back, or set presence.min_count to 0 in the schema",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": "Fill in the missing values, or lower presence.min_fraction",
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": "Fill in the missing values, or lower presence.min_count",
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": _VALUES + "add them to the string_domain in the schema",
    "INT_TYPE_SMALL_INT": _VALUES + "widen the int_domain in the schema",
    "INT_TYPE_BIG_INT": _VALUES + "widen the int_domain in the schema",
    "FLOAT_TYPE_SMALL_FLOAT": _VALUES + "widen the float_domain in the schema",
    "FLOAT_TYPE_BIG_FLOAT": _VALUES + "widen the float_domain in the schema",
    "BOOL_TYPE_BIG_INT": _VALUES + "delete the bool_domain from the schema",
    "BOOL_TYPE_SMALL_INT": _VALUES + "delete the bool_domain from the schema",
    "COMPARATOR_L_INFTY_HIGH": _SPLITS,
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": _SPLITS,
}
