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
