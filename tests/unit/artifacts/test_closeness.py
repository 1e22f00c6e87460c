"""Differences are told in what the values spread by, whatever their size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.closeness import differences, unit_of

VALUES = st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=20)


def test_a_unit_is_what_values_spread_by_and_at_least_1_where_they_are_not_small():
    assert unit_of([0.0, 2000.0]) == 1000
    assert unit_of([100.0, 100.5]) == 1
    assert unit_of([0.0, 2e-5]) == pytest.approx(0.01)
    assert unit_of([7.0, 7.0]) == unit_of([]) == 1
    assert unit_of([np.nan, 0.0, np.inf, 2000.0]) == 1000


def test_values_whose_squares_no_float_can_hold():
    assert unit_of([-1e300, 1e300]) == pytest.approx(1e300)


@given(VALUES)
def test_a_unit_is_positive_and_grows_with_the_values(values):
    unit = unit_of(values)
    assert unit > 0
    assert unit_of([2 * value for value in values]) >= unit * (1 - 1e-9)


def test_differences_are_in_units_or_shares_of_greater_answers():
    apart = differences(np.float32([[0.5], [3000.5], [1.0]]), np.float64([[0.0], [3000.0], [1.0]]), 1000.0)
    assert apart == pytest.approx([0.0005, 0.5 / 3000, 0.0])


def test_the_greatest_of_a_row_counts():
    assert differences([[0.5, 0.5]], [[0.25, 0.5]]) == pytest.approx([0.25])
    assert differences(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0,)


def test_no_answer_is_infinitely_far_and_what_float32_cannot_hold_is_infinite_there():
    got, expected = [[np.nan], [np.inf], [np.inf], [-np.inf]], [[1.0], [1.0], [1e300], [1e300]]
    assert differences(got, expected).tolist() == [np.inf, np.inf, 0.0, np.inf]
