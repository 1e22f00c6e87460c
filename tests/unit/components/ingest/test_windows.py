"""Windows over sorted rows: every aggregate equals what a loop over the window's rows gives."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.components.ingest.windows import (
    Counts,
    Distinct,
    First,
    Last,
    Levels,
    Windows,
    add,
    before,
    greatest,
    least,
    spread,
)

groups = st.lists(st.lists(st.integers(-3, 3), max_size=20), min_size=1, max_size=6)


def drawn(data, sizes):
    """Windows within the rows of each key: (windows, and each as a range of rows)."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    asked = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=30))
    lows = [data.draw(st.integers(0, sizes[group])) for group in asked]
    highs = [data.draw(st.integers(low, sizes[group])) for group, low in zip(asked, lows, strict=True)]
    group = np.array(asked)
    first = starts[group]
    return starts, Windows(first, first + np.array(lows), first + np.array(highs), group)


def each(windows, values):
    return [values[low:high] for low, high in zip(windows.low, windows.high, strict=True)]


@settings(deadline=None, max_examples=200)
@given(groups, st.data())
def test_runs_put_together_are_the_window(parts, data):
    values = np.array([value for part in parts for value in part], np.float64)
    starts, windows = drawn(data, [len(part) for part in parts])
    ranges = each(windows, values)
    (sums,) = Levels((values,), starts, add, (0.0,)).over(windows)
    assert sums.tolist() == [sum(part) for part in ranges]
    (minima,) = Levels((values,), starts, least, (np.inf,)).over(windows)
    assert minima.tolist() == [min(part, default=np.inf) for part in ranges]
    (maxima,) = Levels((values,), starts, greatest, (-np.inf,)).over(windows)
    assert maxima.tolist() == [max(part, default=-np.inf) for part in ranges]
    counts, means, squares = Levels(
        (np.ones(len(values)), values, np.zeros(len(values))), starts, spread, (0.0, 0.0, 0.0)
    ).over(windows)
    assert counts.tolist() == [len(part) for part in ranges]
    for part, mean, square in zip(ranges, means, squares, strict=True):
        if len(part):
            assert mean == pytest.approx(statistics.fmean(part))
            assert square == pytest.approx(len(part) * statistics.pvariance(part), abs=1e-12)


@settings(deadline=None, max_examples=200)
@given(groups, st.data())
def test_counts_firsts_lasts_and_different_values(parts, data):
    values = np.array([value for part in parts for value in part], np.int64)
    marks = values > 0
    starts, windows = drawn(data, [len(part) for part in parts])
    rows = np.arange(len(values))
    marked = [part[marks[part]] for part in each(windows, rows)]
    assert Counts(marks).over(windows).tolist() == [len(part) for part in marked]
    assert First(marks).over(windows).tolist() == [part[0] if len(part) else -1 for part in marked]
    assert Last(marks).over(windows).tolist() == [part[-1] if len(part) else -1 for part in marked]
    codes = np.where(values < 0, -1, values)
    keys = np.repeat(np.arange(len(parts)), np.diff(starts))
    expected = [len({code for code in part.tolist() if code >= 0}) for part in each(windows, codes)]
    assert Distinct(codes, keys).over(windows).tolist() == expected


@given(st.lists(st.integers(0, 9)), st.integers(-1, 10))
def test_before_is_the_number_of_smaller_ones(values, bound):
    ordered = np.sort(np.array(values, np.int64))
    found = before(ordered, np.array([0]), np.array([len(values)]), np.array([bound]))
    assert found.tolist() == [sum(value < bound for value in values)]


def test_nothing_cancels_out():
    """A difference of running totals would give 0: the great value has swallowed the small ones."""
    values = np.array([1e18, 1.0, 1.0, 1.0])
    windows = Windows(np.array([0]), np.array([1]), np.array([4]), np.array([0]))
    (sums,) = Levels((values,), np.array([0, 4]), add, (0.0,)).over(windows)
    assert sums.tolist() == [3.0]


def test_a_key_is_worked_out_from_its_own_rows_alone():
    rows = np.random.default_rng(7).normal(size=101)
    own = Windows(np.array([0]), np.array([13]), np.array([97]), np.array([0]))
    (alone,) = Levels((rows,), np.array([0, 101]), add, (0.0,)).over(own)
    others = np.random.default_rng(8).normal(size=37)
    behind = Windows(np.array([37]), np.array([50]), np.array([134]), np.array([1]))
    (among,) = Levels((np.concatenate([others, rows]),), np.array([0, 37, 138]), add, (0.0,)).over(behind)
    assert alone.tolist() == among.tolist()  # to the last bit
