"""What people may set of a feature, and what is refused."""

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import SERVING
from headrace.pipelines.schema.edit import OFF, Edit, edit_feature, values_of


def schema() -> schema_pb2.Schema:
    made = schema_pb2.Schema(default_environment=["TRAINING", "SERVING"])
    made.string_domain.add(name="places", value=["north", "south"])
    made.feature.add(name="plan", type=schema_pb2.BYTES)
    made.feature.add(name="from", type=schema_pb2.BYTES, domain="places")
    made.feature.add(name="to", type=schema_pb2.BYTES, domain="places")
    made.feature.add(name="age", type=schema_pb2.INT)
    made.feature.add(name="fare", type=schema_pb2.FLOAT)
    return made


def edited(name: str, **settings) -> tuple[schema_pb2.Feature, schema_pb2.Schema]:
    made = schema()
    edit_feature(made, name, Edit(**settings))
    return next(feature for feature in made.feature if feature.name == name), made


def test_presence():
    feature, _ = edited("age", presence=1.0)
    assert (feature.presence.min_fraction, feature.presence.min_count) == (1.0, 1)
    feature, _ = edited("age", presence=0.0)
    assert (feature.presence.HasField("min_fraction"), feature.presence.min_count) == (False, 0)


def test_a_domain():
    feature, made = edited("plan", domain=["basic", "pro", "basic"], min_domain_mass=0.99)
    assert values_of(made, feature) == ["basic", "pro"]
    assert feature.distribution_constraints.min_domain_mass == 0.99


def test_a_shared_domain_is_not_changed_for_the_other_feature():
    feature, made = edited("from", add_values=["east"])
    assert values_of(made, feature) == ["north", "south", "east"]
    assert values_of(made, made.feature[2]) == ["north", "south"]


@pytest.mark.parametrize(
    ("name", "bounds", "kind"),
    [("age", (0, 120), "int_domain"), ("fare", (0.5, None), "float_domain"), ("age", (None, 7), "int_domain")],
)
def test_a_range(name, bounds, kind):
    feature, _ = edited(name, range=bounds)
    domain = getattr(feature, kind)
    assert (domain.min if domain.HasField("min") else None, domain.max if domain.HasField("max") else None) == bounds
    feature, _ = edited(name, range=(None, None))
    assert feature.WhichOneof("domain_info") is None


def test_comparators_measure_as_the_type_wants():
    assert edited("plan", drift=0.1)[0].drift_comparator.infinity_norm.threshold == 0.1
    feature, made = edited("age", drift=0.1, skew=0.2)
    assert feature.drift_comparator.jensen_shannon_divergence.threshold == 0.1
    assert feature.skew_comparator.jensen_shannon_divergence.threshold == 0.2
    edit_feature(made, "age", Edit(drift=OFF))
    assert not feature.HasField("drift_comparator") and feature.HasField("skew_comparator")


def test_environments_and_stage():
    feature, made = edited("plan", at_serving=False, deprecated=True)
    assert list(feature.not_in_environment) == [SERVING] and feature.lifecycle_stage == schema_pb2.DEPRECATED
    edit_feature(made, "plan", Edit(at_serving=True, deprecated=False))
    assert not feature.not_in_environment and not feature.lifecycle_stage


def test_another_type_drops_what_no_longer_fits():
    feature, made = edited("age", range=(0, 9), drift=0.3)
    edit_feature(made, "age", Edit(type="BYTES"))
    assert feature.WhichOneof("domain_info") is None
    assert feature.drift_comparator.infinity_norm.threshold == 0.3
    assert not feature.drift_comparator.HasField("jensen_shannon_divergence")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("plam", {"presence": 1.0}, "expected a feature of the schema. Received: `plam`; did you mean `plan`?"),
        ("age", {"domain": ["1"]}, "age: expected text, which a domain is of. Received: a feature of type INT"),
        ("plan", {"range": (0, 1)}, "plan: expected a number, which a range is of. Received: a feature of type BYTES"),
        ("age", {"range": (0.5, None)}, "age: expected whole numbers as bounds. Received: 0.5"),
        ("plan", {"min_domain_mass": 0.9}, "plan: expected a domain to tolerate departures from. Received: none"),
    ],
)
def test_what_does_not_fit_is_refused(name, settings, message):
    with pytest.raises(HeadraceError) as error:
        edited(name, **settings)
    assert message in str(error.value)
