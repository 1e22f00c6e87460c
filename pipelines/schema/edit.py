"""Changes that people ask for, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.schema import SERVING, TRAINING

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

OFF = "off"
Bounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class Edit:
    """What to set; None leaves it as it is."""

    type: str | None = None  # FLOAT, INT or BYTES
    presence: float | None = None  # least share of the rows that has the value; 0: it may be absent
    domain: list[str] | None = None  # the values; none lifts the restriction
    add_values: list[str] | None = None
    min_domain_mass: float | None = None
    range: Bounds | None = None  # two Nones lift the restriction
    drift: float | str | None = None  # a threshold, or OFF
    skew: float | str | None = None
    at_serving: bool | None = None
    deprecated: bool | None = None


def edit_feature(schema: schema_pb2.Schema, name: str, edit: Edit) -> None:
    """Changes a feature of a schema in place.

    Raises:
        HeadraceError: no such feature, or a setting that its type does not have.
    """
    feature = find_feature(schema, name)
    if edit.type is not None:
        _set_type(feature, edit.type)
    if edit.presence is not None:
        set_presence(feature, edit.presence)
    if edit.domain is not None:
        set_values(schema, feature, edit.domain)
    if edit.add_values:
        set_values(schema, feature, [*values_of(schema, feature), *edit.add_values])
    if edit.min_domain_mass is not None:
        if not values_of(schema, feature):
            raise HeadraceError(
                f"{name}: expected a domain to tolerate departures from. Received: none; --domain sets it"
            )
        feature.distribution_constraints.min_domain_mass = edit.min_domain_mass
    if edit.range is not None:
        set_range(feature, *edit.range)
    for field, threshold in (("drift_comparator", edit.drift), ("skew_comparator", edit.skew)):
        if threshold is not None:
            _set_comparator(feature, field, threshold)
    if edit.at_serving is not None:
        _set_serving(schema, feature, edit.at_serving)
    if edit.deprecated is not None:
        _set_deprecated(feature, edit.deprecated)


def find_feature(schema: schema_pb2.Schema, name: str) -> schema_pb2.Feature:
    """The feature of this name.

    Raises:
        HeadraceError: there is none.
    """
    for feature in schema.feature:
        if feature.name == name:
            return feature
    hint = nearest_column(name, [feature.name for feature in schema.feature])
    raise HeadraceError(f"expected a feature of the schema. Received: `{name}`; {hint.replace('columns', 'features')}")


def _set_type(feature: schema_pb2.Feature, name: str) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    type = schema_pb2.FeatureType.Value(name)
    if type == feature.type:
        return
    kind = feature.WhichOneof("domain_info")
    if kind is not None:
        feature.ClearField(kind)
        feature.ClearField("distribution_constraints")
    feature.type = type
    for field in ("drift_comparator", "skew_comparator"):  # texts and numbers are compared by different measures
        if feature.HasField(field):
            comparator = getattr(feature, field)
            threshold = max(comparator.infinity_norm.threshold, comparator.jensen_shannon_divergence.threshold)
            _set_comparator(feature, field, threshold)


def set_presence(feature: schema_pb2.Feature, share: float) -> None:
    """Sets the least share of rows that has the value; with 0 it may be missing everywhere."""
    feature.presence.min_count = 1 if share else 0
    if share:
        feature.presence.min_fraction = share
    else:
        feature.presence.ClearField("min_fraction")


def values_of(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> list[str]:
    """The values that a feature may have; none where it is not restricted."""
    kind = feature.WhichOneof("domain_info")
    if kind == "string_domain":
        return list(feature.string_domain.value)
    if kind == "domain":
        return [value for domain in schema.string_domain if domain.name == feature.domain for value in domain.value]
    return []


def set_values(schema: schema_pb2.Schema, feature: schema_pb2.Feature, values: list[str]) -> None:
    """Sets the values that a feature of text may have; with none it may have any.

    Raises:
        HeadraceError: the feature is no text.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    if feature.type != schema_pb2.BYTES:
        raise _misfit(feature, "text, which a domain is of")
    own = [d for d in schema.string_domain if d.name == feature.domain] if feature.HasField("domain") else []
    shared = own and sum(other.domain == feature.domain for other in schema.feature) > 1
    if not values:
        feature.ClearField("distribution_constraints")
        feature.ClearField(feature.WhichOneof("domain_info") or "domain")
        if own and not shared:
            schema.string_domain.remove(own[0])
        return
    values = list(dict.fromkeys(values))
    if feature.HasField("string_domain"):
        del feature.string_domain.value[:]
        feature.string_domain.value.extend(values)
    elif own and not shared:
        del own[0].value[:]
        own[0].value.extend(values)
    else:
        taken = {domain.name for domain in schema.string_domain}
        name = feature.name
        while name in taken:
            name += "_values"
        schema.string_domain.add(name=name, value=values)
        feature.domain = name


def set_range(feature: schema_pb2.Feature, low: float | None, high: float | None) -> None:
    """Sets the bounds of a feature of numbers; without either it may have any.

    Raises:
        HeadraceError: the feature is no number, or a bound of whole numbers is none.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    if feature.type not in (schema_pb2.INT, schema_pb2.FLOAT):
        raise _misfit(feature, "a number, which a range is of")
    whole = feature.type == schema_pb2.INT
    for bound in (low, high):
        if whole and bound is not None and bound != int(bound):
            raise HeadraceError(f"{feature.name}: expected whole numbers as bounds. Received: {bound:g}")
    feature.ClearField(feature.WhichOneof("domain_info") or "int_domain")
    if low is None and high is None:
        return
    domain = feature.int_domain if whole else feature.float_domain
    if low is not None:
        domain.min = int(low) if whole else low
    if high is not None:
        domain.max = int(high) if whole else high


def _set_comparator(feature: schema_pb2.Feature, field: str, threshold: float | str) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    feature.ClearField(field)
    if threshold == OFF:
        return
    comparator = getattr(feature, field)
    measure = comparator.infinity_norm if feature.type == schema_pb2.BYTES else comparator.jensen_shannon_divergence
    measure.threshold = float(threshold)


def _set_serving(schema: schema_pb2.Schema, feature: schema_pb2.Feature, present: bool) -> None:
    for environment in (TRAINING, SERVING):
        if environment not in schema.default_environment:
            schema.default_environment.append(environment)
    del_from = [environment for environment in feature.not_in_environment if environment != SERVING]
    del feature.not_in_environment[:]
    feature.not_in_environment.extend(del_from if present else [*del_from, SERVING])


def _set_deprecated(feature: schema_pb2.Feature, deprecated: bool) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    if deprecated:
        feature.lifecycle_stage = schema_pb2.DEPRECATED
    else:
        feature.ClearField("lifecycle_stage")


def _misfit(feature: schema_pb2.Feature, expected: str) -> HeadraceError:
    from tensorflow_metadata.proto.v0 import schema_pb2

    return HeadraceError(
        f"{feature.name}: expected {expected}. Received: a feature of type {schema_pb2.FeatureType.Name(feature.type)}"
    )
