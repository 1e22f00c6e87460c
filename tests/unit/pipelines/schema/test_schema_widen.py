"""How data goes beyond a schema, and what each widening makes of it; statistics made by hand."""

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from headrace.artifacts.dataset import SPLITS, Column, DatasetInfo
from headrace.artifacts.schema import parse_schema
from headrace.artifacts.statistics import DescribedColumn, Statistics
from headrace.pipelines.schema.edit import values_of
from headrace.pipelines.schema.widen import find_excess
from headrace.pipelines.schema.words import differences, table

SCHEMA = """
feature { name: "plan" type: BYTES domain: "plan" presence { min_fraction: 1 min_count: 1 }
  distribution_constraints { min_domain_mass: 0.99 } }
feature { name: "age" type: INT int_domain { min: 18 max: 99 } presence { min_fraction: 0.9 min_count: 1 }
  drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } }
feature { name: "fare" type: FLOAT float_domain { min: 0 } }
feature { name: "old" type: INT int_domain { min: 0 max: 1 } lifecycle_stage: DEPRECATED }
feature { name: "label" type: BYTES not_in_environment: "SERVING" }
string_domain { name: "plan" value: "basic" value: "pro" }
default_environment: "TRAINING" default_environment: "SERVING"
"""
KINDS = {"plan": "string", "age": "int64", "fare": "float64", "old": "int64", "label": "string", "new": "string"}


def texts(values: dict[str, int], missing: int = 0) -> statistics_pb2.FeatureNameStatistics:
    feature = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.STRING)
    stats = feature.string_stats
    stats.common_stats.num_missing, stats.common_stats.num_non_missing = missing, sum(values.values())
    stats.unique = len(values)
    for value, count in values.items():
        stats.rank_histogram.buckets.add(label=value, sample_count=count)
    return feature


def numbers(low: float, high: float, missing: int = 0, whole: bool = True) -> statistics_pb2.FeatureNameStatistics:
    kind = statistics_pb2.FeatureNameStatistics
    feature = kind(type=kind.INT if whole else kind.FLOAT)
    feature.num_stats.common_stats.num_missing = missing
    feature.num_stats.common_stats.num_non_missing = 100 - missing
    feature.num_stats.min, feature.num_stats.max = low, high
    return feature


def found(**changed: statistics_pb2.FeatureNameStatistics) -> dict:
    features = {
        "plan": texts({"basic": 90, "pro": 10}),
        "age": numbers(18, 80),
        "fare": numbers(0, 1e9, whole=False),
        "old": numbers(0, 500),
        "label": texts({"yes": 50, "no": 50}),
        **changed,
    }
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    for split in SPLITS:
        dataset = proto.datasets.add(name=split, num_examples=100)
        for name, feature in features.items():
            copy = dataset.features.add()
            copy.CopyFrom(feature)
            copy.path.step.append(name)
    columns = [DescribedColumn(name, KINDS[name]) for name in features]
    info = DatasetInfo("classification", [Column(c.name, c.type) for c in columns], "label", dict.fromkeys(SPLITS, 100))
    return {
        (e.feature, e.kind): e for e in find_excess(parse_schema(SCHEMA), Statistics(proto, "sha256:x", columns), info)
    }


def widened(excess) -> tuple[schema_pb2.Schema, dict[str, schema_pb2.Feature]]:
    schema = parse_schema(SCHEMA)
    excess.apply(schema)
    return schema, {feature.name: feature for feature in schema.feature}


def test_data_that_fits_and_what_is_deprecated_give_nothing():
    assert found() == {}


def test_unlisted_values():
    excess = found(plan=texts({"basic": 89, "pro": 10, "gold": 1}))[("plan", "domain")]
    assert excess.text == "has unlisted values in 1.00% of its rows: add gold"
    schema, features = widened(excess)
    assert values_of(schema, features["plan"]) == ["basic", "pro", "gold"]
    assert features["plan"].distribution_constraints.min_domain_mass == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("age", "bounds"),
    [(numbers(7, 80), (7, 99)), (numbers(20, 130), (18, 130)), (numbers(0, 1_234_567), (0, 1_234_567))],
)
def test_a_range_grows_on_the_side_that_was_passed(age, bounds):
    _, features = widened(found(age=age)[("age", "range")])
    assert (features["age"].int_domain.min, features["age"].int_domain.max) == bounds


def test_an_open_end_stays_open():
    _, features = widened(found(fare=numbers(-2.5, 1e12, whole=False))[("fare", "range")])
    assert features["fare"].float_domain.min == -2.5 and not features["fare"].float_domain.HasField("max")


def test_presence():
    excess = found(age=numbers(18, 80, missing=37))[("age", "presence")]
    _, features = widened(excess)
    assert features["age"].presence.min_fraction == pytest.approx(0.63)
    _, features = widened(found(age=numbers(18, 80, missing=100))[("age", "presence")])
    assert features["age"].presence.min_count == 0 and not features["age"].presence.HasField("min_fraction")


def test_a_new_column_is_added_as_it_would_be_inferred():
    excess = found(new=texts({"north": 60, "south": 40}))[("new", "new")]
    schema, features = widened(excess)
    assert values_of(schema, features["new"]) == ["north", "south"]
    assert features["new"].distribution_constraints.min_domain_mass == pytest.approx(0.99)


def test_another_type_takes_any_values():
    _, features = widened(found(age=texts({"young": 100}))[("age", "type")])
    assert features["age"].type == schema_pb2.BYTES and features["age"].WhichOneof("domain_info") is None
    assert ("fare", "type") not in found(fare=numbers(0, 5))  # whole numbers are numbers


def test_the_table_says_what_is_asked():
    lines = table(parse_schema(SCHEMA))
    assert lines[0].split() == ["Feature", "Type", "Present", "Values", "Compared", "Environments", "Stage"]
    assert lines[1].split() == ["plan", "BYTES", "always", "basic,", "pro", "(0.99", "of", "rows)"]
    assert lines[2].split() == ["age", "INT", "0.9", "of", "rows", "18:99", "drift", "0.1"]
    assert lines[4].split() == ["old", "INT", "0:1", "deprecated"]
    assert lines[5].split() == ["label", "BYTES", "only", "TRAINING"]


def test_differences_are_told_setting_by_setting():
    old, new = parse_schema(SCHEMA), parse_schema(SCHEMA)
    del new.feature[2]
    new.feature.add(name="extra", type=schema_pb2.FLOAT)
    new.string_domain[0].value.append("gold")
    new.feature[1].int_domain.max = 120
    new.feature[1].ClearField("drift_comparator")
    assert differences(old, new) == [
        "- fare: no longer in the schema",
        "+ extra: FLOAT",
        "~ plan: values added: gold",
        "~ age: 18:99 -> 18:120",
        "~ age: compared: drift 0.1 -> nothing asked",
    ]
    assert differences(old, old) == []
