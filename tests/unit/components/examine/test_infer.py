"""The first schema: tight where a change means trouble, loose where chance alone would break it."""

from __future__ import annotations

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.schema import format_schema, parse_schema
from headrace.artifacts.statistics import DescribedColumn, Role, Statistics
from headrace.components.examine.infer import infer_schema

Split = dict[str, int]  # value -> count; "" counts missing ones
SPLITS = ("train", "eval", "test")


def infer(
    column: DescribedColumn, *splits: Split, classes: list[str] | None = None
) -> tuple[schema_pb2.Feature, schema_pb2.Schema]:
    """The feature inferred from the counts of a column's values in train, eval and test."""
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    for name, counts in zip(SPLITS, splits, strict=True):
        feature = proto.datasets.add(name=name, num_examples=sum(counts.values())).features.add()
        feature.path.step.append(column.name)
        present = {value: count for value, count in counts.items() if value}
        if column.type == "string":
            feature.type = feature.STRING
            feature.string_stats.unique = len(present)
            for value, count in present.items():
                feature.string_stats.rank_histogram.buckets.add(label=value, sample_count=count)
        else:
            feature.type = feature.FLOAT if column.type == "float64" else feature.INT
        stats = feature.string_stats if column.type == "string" else feature.num_stats
        stats.common_stats.num_missing = counts.get("", 0)
        stats.common_stats.num_non_missing = sum(present.values())
    info = DatasetInfo(task="classification", columns=[], label="y", rows=dict.fromkeys(SPLITS, 1), classes=classes)
    schema = infer_schema(Statistics(proto, "sha256:x", [column]), info)
    assert parse_schema(format_schema(schema)) == schema
    return schema.feature[0], schema


def text(role: Role = "feature") -> DescribedColumn:
    return DescribedColumn("plan", "string", role)


@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ("float64", "type: FLOAT"),
        ("int64", "type: INT"),
        ("bool", "type: INT bool_domain { }"),
        ("date32", "type: INT time_domain { integer_format: UNIX_DAYS }"),
        ("timestamp[us]", "type: INT time_domain { integer_format: UNIX_MICROSECONDS }"),
    ],
)
def test_each_type_of_a_snapshot_has_its_kind_of_feature(type: str, expected: str) -> None:
    feature, _ = infer(DescribedColumn("x", type), {"1": 80}, {"1": 10}, {"1": 10})
    wanted = parse_schema(f'feature {{ name: "x" presence {{ min_count: 1 min_fraction: 0.95 }} {expected} }}')
    assert feature == wanted.feature[0]  # no range of values: tomorrow's may be others


@pytest.mark.parametrize(
    ("missing", "least"),
    [(0, 0.95), (2, 0.93), (10, 0.8), (30, 0.4), (49, 0.02), (60, 0.0)],
)  # fmt: skip
def test_the_share_of_missing_values_may_double_and_grow_by_five_points_at_least(missing: int, least: float) -> None:
    counts = {"a": 100 - missing, "": missing}
    feature, _ = infer(text(), counts, {"a": 100}, {"a": 100})
    assert feature.presence.min_fraction == pytest.approx(least)
    assert feature.presence.min_count == 1


def test_a_column_without_values_in_some_split_may_be_absent() -> None:
    feature, _ = infer(text(), {"a": 9}, {"": 1}, {"a": 1})
    assert feature.presence.HasField("min_count") and feature.presence.min_count == 0
    assert not feature.presence.min_fraction


def test_values_are_listed_over_all_splits_with_room_for_rare_others() -> None:
    feature, schema = infer(text(), {"a": 700}, {"b": 150}, {"größer": 150})
    assert list(schema.string_domain[0].value) == ["a", "b", "größer"]
    assert feature.domain == schema.string_domain[0].name == "plan"
    assert feature.distribution_constraints.min_domain_mass == 0.99


@pytest.mark.parametrize(
    "counts",
    [
        {f"v{i}": 50 for i in range(101)},  # too many
        {"a": 60, "b": 1, "c": 1},  # seen once: more than a hundredth
    ],
)
def test_values_are_not_listed_where_others_are_to_be_expected(counts: Split) -> None:
    feature, schema = infer(text(), counts, {"a": 10}, {"a": 10})
    assert not schema.string_domain and not feature.domain


def test_a_hundred_values_are_listed() -> None:
    _, schema = infer(text(), {f"v{i}": 50 for i in range(100)}, {"v1": 10}, {"v1": 10})
    assert len(schema.string_domain[0].value) == 100


def test_the_label_is_required_knows_its_classes_and_is_absent_when_serving() -> None:
    column = DescribedColumn("y", "string", "label")
    feature, schema = infer(column, {"0": 9}, {"1": 1}, {"0": 1}, classes=["0", "1"])
    assert feature.presence.min_fraction == 1.0
    assert list(schema.string_domain[0].value) == ["0", "1"]
    assert not feature.HasField("distribution_constraints")  # none but these
    assert list(feature.not_in_environment) == ["SERVING"]
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]


def test_an_id_is_required_and_its_values_are_not_listed() -> None:
    feature, schema = infer(text("id"), {"a": 50}, {"b": 50}, {"c": 50})
    assert feature.presence.min_fraction == 1.0
    assert not schema.string_domain


def test_what_the_label_is_computed_from_is_absent_when_serving() -> None:
    feature, _ = infer(DescribedColumn("tips", "float64", "leak"), {"1": 8}, {"1": 1}, {"1": 1})
    assert list(feature.not_in_environment) == ["SERVING"]


def test_a_column_without_statistics_is_left_out() -> None:
    column = DescribedColumn("tags", "list", described=False)
    proto = statistics_pb2.DatasetFeatureStatisticsList()
    for name in SPLITS:
        proto.datasets.add(name=name)
    info = DatasetInfo(task="regression", columns=[], label="y", rows=dict.fromkeys(SPLITS, 1))
    assert not infer_schema(Statistics(proto, "sha256:x", [column]), info).feature
