"""One type for a column that several sources have as several types, or one message."""

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.batch_predict.kept import as_type, common_type
from headrace.components.batch_predict.rows import Source
from headrace.components.ingest.opened import Opened


def source(values, name="a.parquet", format="parquet", text=False):
    batch = pa.record_batch({"k": values})
    return Source(Opened(name, batch.schema, lambda: iter([batch]), text), format, parses=text)


def of(kind, name="a.parquet", format="parquet"):
    return source(pa.array([], kind), name, format)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int64(), pa.int64(), pa.int64()),
        (pa.null(), pa.int64(), pa.int64()),
        (pa.int8(), pa.int32(), pa.int32()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.int16(), pa.float16(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.int64(), pa.decimal128(10, 2), pa.decimal128(20, 2)),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.string_view(), pa.string(), pa.string()),
        (pa.string_view(), pa.string_view(), pa.string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string(), pa.string()),
        (pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("ns")),
        (pa.timestamp("s", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
        (pa.time32("s"), pa.time64("us"), pa.time64("us")),
    ],
)
def test_the_type_that_has_the_values_of_both(one, other, both):
    assert common_type("k", [of(one), of(other)]).type == both
    assert common_type("k", [of(other), of(one)]).type == both


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.int64(), pa.string()),
        (pa.bool_(), pa.int64()),
        (pa.decimal128(10, 2), pa.float64()),
        (pa.date32(), pa.string()),
        (pa.date32(), pa.timestamp("us")),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin")),
    ],
)
def test_types_that_have_nothing_in_common_are_both_named(one, other):
    found = common_type("k", [of(pa.null(), "0.parquet"), of(one), of(other, "b.parquet")])
    assert found.type is None
    assert found.problem.startswith(f"b.parquet, column `k`: expected {one}, as in a.parquet. Received: {other}; ")


def test_beside_a_text_file_everything_is_text():
    csv = source(pa.array(["007"]), "a.csv", "csv", text=True)
    assert common_type("k", [of(pa.int64()), csv]).type == pa.string()
    assert as_type(pa.array([7, None]), pa.string(), "a.parquet", "k").to_pylist() == ["7", None]


@pytest.mark.parametrize("format", ["jsonl", "avro", "sqlite"])
def test_a_column_without_values_is_of_the_others_type(format):
    none = source(pa.array([None, None], pa.float64()), "a", format)
    for kind in (pa.string(), pa.timestamp("us"), pa.int64()):
        assert common_type("k", [none, of(kind, "b")]).type == kind
        assert as_type(pa.array([None, None], pa.float64()), kind, "a", "k").type == kind
    numbers = source(pa.array([None, 1.5], pa.float64()), "a", format)
    assert common_type("k", [numbers, of(pa.string(), "b")]).type is None


def test_a_value_that_the_common_type_has_not_is_named():
    with pytest.raises(HeadraceError, match=r"a.parquet, column `k`: expected values that stay the same as double, .*"):
        as_type(pa.array([2**53 + 1]), pa.float64(), "a.parquet", "k")


def test_a_column_of_views_is_one_of_strings():
    assert as_type(pa.array(["a"], pa.string_view()), None, "a", "k").type == pa.string()
