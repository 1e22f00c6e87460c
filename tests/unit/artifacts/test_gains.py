"""What a row brings: from numbers and columns, and refused where a row that needs a number has none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.gains import Gain, Gains
from headrace.artifacts.limits import limit

TABLE = pa.table({"fee": [10.0, 20.0, 30.0, 40.0], "vip": [True, False, True, False], "name": ["a", "b", "c", "d"]})
ACTUAL = np.array([True, False, True, False])


def test_each_row_brings_what_its_outcome_says():
    gains = Gains(Gain(-5, "fee", 6), Gain(-5), Gain(1), Gain(0, "fee", -1), currency="USD")
    acted, left = gains.of(TABLE, ACTUAL)
    assert acted.tolist() == [55, -5, 175, -5]
    assert left.tolist() == [-10, 1, -30, 1]
    assert gains.words == {
        "true_positive": "6 × fee - 5",
        "false_positive": "-5",
        "true_negative": "1",
        "false_negative": "-1 × fee",
    }
    assert gains.columns == ("fee",)


def test_a_truth_value_counts_as_one():
    acted, _ = Gains(Gain(0, "vip", 100)).of(TABLE, ACTUAL)
    assert acted.tolist() == [100, 0, 100, 0]


def test_a_whole_number_that_no_float_holds_is_rounded():
    table = TABLE.set_column(0, "fee", pa.array([2**53 + 1, 1, 1, 1]))
    acted, _ = Gains(Gain(0, "fee")).of(table, ACTUAL)
    assert acted.tolist() == [2.0**53, 0, 1, 0]


def test_a_gain_reads_back_from_json():
    gains = Gains(Gain(-5, "fee", 6), currency="EUR")
    value = {"true_positive": {"plus": -5, "column": "fee", "times": 6}, "currency": "EUR"}
    assert Gains.from_dict(value) == gains


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf")])
def test_only_rows_that_need_a_number_must_have_one(missing):
    gains = Gains(Gain(0, "fee"))
    negative = pa.table({"fee": pa.array([10.0, missing, 30.0, 40.0])})
    assert gains.of(negative, ACTUAL)[0].tolist() == [10, 0, 30, 0]
    positive = pa.table({"fee": pa.array([missing, 1.0, 30.0, 40.0])})
    words = r"evaluate.value.true_positive: expected a number in `fee` of every positive row. Received: none in 1 of 2"
    with pytest.raises(HeadraceError, match=words):
        gains.of(positive, ACTUAL)


def test_a_column_that_is_not_there_or_no_number_is_refused():
    with pytest.raises(HeadraceError, match="Received: `fees`; did you mean `fee`?"):
        Gains(Gain(0, "fees")).of(TABLE, ACTUAL)
    with pytest.raises(HeadraceError, match="expected a column of numbers. Received: `name`, string"):
        Gains(Gain(0, "name")).of(TABLE, ACTUAL)


def test_a_limit_is_at_least_as_strict_as_asked_for():
    limits = {"0.9": (1.0, 3.0), "0.95": (0.5, 3.5), "0.99": (0.0, 4.0)}
    assert limit(limits, 0.95, upper=True) == 3.5
    assert limit(limits, 0.951, upper=False) == 0.0
    assert limit(limits, 0.999, upper=True) is None
    assert limit({}, 0.9, upper=True) is None
