"""Types are inferred from all values of a column."""

import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.components.ingest.infer import decimal_comma, infer_column, text_notes_of


def infer(*values):
    return infer_column(pa.chunked_array([pa.array(values, pa.string())]))


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (["1", "-2", None], pa.int64()),
        (["1", "2.5"], pa.float64()),
        (["1e3", "-.5"], pa.float64()),
        (["0.25", "-0.5"], pa.float64()),
        (["true", "False"], pa.bool_()),
        (["007", "123"], pa.string()),  # a code: a number would lose its zeros
        (["1234567890123456789", "-1"], pa.int64()),
        (["+5", "7"], pa.int64()),
        (["99999999999999999999", "1"], pa.string()),  # beyond int64: rather a name than a quantity
        (["9999999999999999999"], pa.string()),
        (["1,5", "2"], pa.string()),
        (["2024-03-01", None], pa.date32()),
        (["2024-02-30"], pa.string()),  # no such day
        (["2024-03-01T10:20:30", "2024-03-01 10:20:30.5"], pa.timestamp("us")),
        (["2024-03-01T10:20:30Z"], pa.timestamp("us")),
        (["2024-03-01", "yesterday"], pa.string()),
        (["a", "1"], pa.string()),
        ([None, None], pa.float64()),
    ],
)
def test_type(values, type):
    assert infer(*values).type == type


def test_the_last_value_counts_as_much_as_the_first():
    assert infer(*["1"] * 10_000, "x").type == pa.string()


def test_time_zones_are_taken_to_utc():
    column = infer("2024-03-01T10:00:00+02:00", "2024-03-01T08:00:00+00:00")
    assert column.to_pylist() == [datetime.datetime(2024, 3, 1, 8)] * 2


def notes_of(table: pa.Table) -> list[str]:
    return text_notes_of(pa.table({name: infer_column(table[name]) for name in table.column_names}))


def test_a_slip_in_a_numeric_column_is_noted():
    table = pa.table({"age": pa.array([*map(str, range(99)), "n.a."]), "plan": pa.array(["a"] * 100)})
    notes = notes_of(table)
    assert notes == [
        "`age` stays text: 1.00% of its values are no numbers ('n.a.'); list them in data.null_values if they mean missing"
    ]


def test_a_single_slip_among_many_is_no_share_of_nothing():
    notes = notes_of(pa.table({"age": pa.array([*["7"] * 20_000, "x"])}))
    assert notes[0].startswith("`age` stays text: 1 of its values are no numbers ('x')")


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["1.234,56", "-1,5", ",5", None], [1234.56, -1.5, 0.5, None]),
        (["1.234", "12"], [1234, 12]),
        (["1.5", "2.25"], [1.5, 2.25]),  # no groups of three: points after all
        (["1,5", "2.5"], ["1,5", "2.5"]),
        (["007", "1,5"], ["007", "1,5"]),
        (["2024-03-01"], [datetime.date(2024, 3, 1)]),
    ],
)
def test_decimal_comma(values, read):
    assert infer_column(pa.chunked_array([pa.array(values, pa.string())]), ",").to_pylist() == read


@pytest.mark.parametrize(
    ("values", "is_comma"),
    [
        (["1,5", "2"], True),
        (["1.234,56"], True),
        (["1,234", "12,345"], False),  # thousands
        (["1,234", "0,123"], True),
        (["red, blue", "1,5"], False),
        (["1.5"], False),
        ([None], False),
    ],
)
def test_a_decimal_comma_is_told_from_thousands(values, is_comma):
    assert decimal_comma(pa.chunked_array([pa.array(values, pa.string())])) is is_comma


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (
            ["1,234.56", "7"],
            "`x` stays text: its numbers have thousands separators ('1,234.56'); set data.types, e.g. `{x: amount}`",
        ),
        (["1,5", "7"], "`x` stays text: its values have a decimal comma ('1,5'); set data.decimal to ',' if so"),
        (["9" * 20, "7"], "`x` stays text: its whole numbers do not all fit 64 bits"),
    ],
)
def test_numbers_that_stay_text_are_noted(values, note):
    assert notes_of(pa.table({"x": values})) == [note]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_integers_come_back(values):
    column = infer(*[None if v is None else str(v) for v in values])
    assert column.to_pylist() == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_come_back(values):
    column = infer(*map(repr, values))
    assert pc.cast(column, pa.float64()).to_pylist() == values


@given(st.lists(st.text(min_size=1), min_size=1))
def test_no_text_is_lost(values):
    column = infer(*values)
    if column.type == pa.string():
        assert column.to_pylist() == values
    assert column.null_count == 0
