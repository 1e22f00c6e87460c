"""The section `for_each`."""

import datetime

import pytest
from pydantic import ValidationError

from headrace.components.segments.spec import ForEachSpec


def test_a_column_is_enough():
    found = ForEachSpec(segment="region")
    assert (found.values, found.least_rows, found.parallel) == (None, 500, 4)


def test_values_are_told_as_the_data_tells_them():
    found = ForEachSpec(segment="c", values=[1, "true", datetime.date(2026, 1, 2), "x"])
    assert found.values == ["1", "true", "2026-01-02", "x"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"segment": "c", "values": ["a", "b", "a"]}, "expected each value once. Received: 'a' more than once"),
        ({"segment": "c", "values": [1.5]}, "expected a text, a whole number, a truth value or a date. Received: 1.5"),
        ({"segment": "c", "values": [False]}, "reads an unquoted NO, no, off or false; quote it, as it stands"),
        ({"segment": "c", "values": ["SE", True]}, "reads an unquoted true, yes or on; quote it"),
        ({"segment": "c", "values": []}, "at least 1 item"),
        ({"segment": "c", "least_rows": 5}, "greater than or equal to 60"),
        ({"segment": "c", "parallel": 0}, "greater than or equal to 1"),
        ({"values": ["a"]}, "Field required"),
    ],
)
def test_what_it_refuses(section, message):
    with pytest.raises(ValidationError, match=message):
        ForEachSpec(**section)
