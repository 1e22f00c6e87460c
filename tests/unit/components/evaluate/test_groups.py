"""Rows divided by a column: by value, by quartile, with the missing ones apart."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.evaluate.groups import groups


def divide(values, kind=None):
    table = pa.table({"c": pa.array(values, kind)})
    return {group.value: group.rows.tolist() for group in groups(table, "c")}


def test_texts_with_missing():
    assert divide(["a", "b", "a", None, "", "a"]) == {"a": [0, 2, 5], "(missing)": [3, 4], "b": [1]}


def test_booleans_and_few_numbers_by_value():
    assert divide([True, False, True]) == {"true": [0, 2], "false": [1]}
    assert divide([3, 1, 3, None]) == {"3": [0, 2], "1": [1], "(missing)": [3]}


def test_many_numbers_by_quartile():
    values = [*range(100), None]
    found = divide(values)
    assert set(found) == {"[0, 24)", "[24, 49)", "[49, 74)", "[74, 99]", "(missing)"}
    assert found["(missing)"] == [100]
    assert sorted(row for rows in found.values() for row in rows) == list(range(101))
    assert found["[74, 99]"] == list(range(74, 100))


def test_nan_is_missing():
    values = [float(v) for v in range(40)] + [float("nan")]
    assert divide(values)["(missing)"] == [40]


def test_mostly_one_value_still_divides():
    found = divide([0.0] * 90 + [float(v) for v in range(1, 31)])
    assert sum(len(rows) for rows in found.values()) == 120
    assert all("[" in value for value in found)


def test_dates_by_quartile():
    days = [date(2024, 1, 1 + day) for day in range(28)]
    assert next(iter(divide(days))).startswith("[2024-01-")
    moments = [datetime(2024, 1, 1 + day, 12) for day in range(28)]
    found = divide(moments, pa.timestamp("us", "UTC"))
    assert any("2024-01-01T12:00:00" in value for value in found)


def test_the_largest_first():
    sizes = [
        len(rows) for rows in divide(np.random.default_rng(0).choice(["a", "b", "c"], 50, p=[0.2, 0.5, 0.3])).values()
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_an_unknown_column_is_named():
    with pytest.raises(HeadraceError, match=r"expected a column `plam` .* did you mean `plan`"):
        groups(pa.table({"plan": ["a"]}), "plam")


def test_days_as_whole_numbers_have_names_that_differ():
    found = divide([20240100 + day for day in range(1, 31)] * 3)
    assert set(found) == {
        "[20240101, 20240108)",
        "[20240108, 20240115)",
        "[20240115, 20240123)",
        "[20240123, 20240130]",
    }
    assert sorted(row for rows in found.values() for row in rows) == list(range(90))


@pytest.mark.parametrize("first", [2**53 + 1, 1_700_000_000_000_000_000, 2**63])
def test_whole_numbers_beyond_float64_are_divided_to_the_last_digit(first):
    found = divide([None, *(first + step for step in range(40))], pa.uint64())
    assert [len(rows) for rows in found.values()] == [11, 10, 10, 9, 1]
    assert f"[{first}, {first + 9})" in found and found["(missing)"] == [0]


def test_moments_within_a_second_have_names_that_differ():
    for unit, step in (("us", 1), ("ns", 1), ("ms", 1)):
        found = divide([1_700_000_000_000_000 + step * place for place in range(40)], pa.timestamp(unit))
        assert len(found) == 4, unit
        assert sorted(row for rows in found.values() for row in rows) == list(range(40))


def test_fractions_that_differ_in_the_seventh_digit():
    assert len(divide([0.5 + place * 1e-9 for place in range(40)])) == 4


def bounds(name):
    low, high = name[1:-1].split(", ")
    return low, high, name.endswith("]")


def test_whole_numbers_lie_within_their_quartiles_name():
    found = divide([*[1_000_001] * 25, *[1_234_567] * 25, *[1_500_000] * 25, *range(2_000_000, 2_000_030)])
    assert list(found) == [
        "[1500000, 2000003)",
        "[2000003, 2000029]",
        "[1000001, 1234567)",
        "[1234567, 1500000)",
    ]


@pytest.mark.parametrize("scale", [1.0, 1e-7, 1e7])
def test_fractions_lie_within_their_quartiles_name_and_in_no_other(scale):
    values = np.random.default_rng(0).random(200) * scale
    for name, rows in divide(values.tolist()).items():
        low, high, last = bounds(name)
        inside = (values >= float(low)) & (values <= float(high) if last else values < float(high))
        assert np.flatnonzero(inside).tolist() == rows, name


def test_moments_lie_within_their_quartiles_name_and_in_no_other():
    values = np.random.default_rng(0).integers(0, 100_000_000, 200).astype("datetime64[us]")
    for name, rows in divide(values, pa.timestamp("us")).items():
        low, high, last = bounds(name)
        end = np.datetime64(high)
        inside = (values >= np.datetime64(low)) & (values <= end if last else values < end)
        assert np.flatnonzero(inside).tolist() == rows, name


def test_edges_that_are_short_are_told_as_they_are():
    cents = [round(0.25 * place, 2) for place in range(40)]
    assert set(divide(cents)) == {"[0, 2.25)", "[2.25, 4.75)", "[4.75, 7.25)", "[7.25, 9.75]"}


def test_a_text_that_says_missing_is_not_missing():
    found = divide(["(missing)", None, "a", "", "(missing)", "(missing) as text"])
    assert found["(missing)"] == [1, 3] and found["a"] == [2]
    assert sorted(map(tuple, found.values())) == [(0, 4), (1, 3), (2,), (5,)]
    assert divide(["(missing)", "a"]) == {"(missing)": [0], "a": [1]}


def test_pairs_of_the_same_name_are_told_apart():
    table = pa.table({"a": ["x × y", "x", "x"], "b": ["z", "y × z", "y × z"]})
    found = {group.value: group.rows.tolist() for group in groups(table, ("a", "b"))}
    assert sorted(found.values()) == [[0], [1, 2]] and len(found) == 2
