"""Each encoding's nodes against its formula, missing and infinite and unseen values included."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils import murmurhash3_32

from headrace.trainer.features.categories import Hash, OneHot, Vocabulary, fit_one_hot, fit_order, fit_share
from headrace.trainer.features.dates import fit_date
from headrace.trainer.features.encoding import Column
from headrace.trainer.features.numbers import Bucket, fit_number
from tests.unit.trainer.features.encoding import encoded

NAN, INF = np.nan, np.inf
VALUES = np.array([[1.0, -4.0], [NAN, 0.0], [3.0, 12.0], [100.0, 5.0], [2.0, NAN]])


def test_logarithms_and_roots_take_every_number_and_leave_gaps():
    x = np.array([[-3.0, 0.0, 8.0, NAN, 1e300]])
    np.testing.assert_allclose(encoded(fit_number("log", None, x), x), np.sign(x) * np.log1p(np.abs(x)))
    np.testing.assert_allclose(encoded(fit_number("sqrt", None, x), x), np.sign(x) * np.sqrt(np.abs(x)))


@pytest.mark.parametrize(
    ("name", "scaler"), [("standardize", StandardScaler()), ("min_max", MinMaxScaler()), ("robust", RobustScaler())]
)
def test_scales_are_those_of_scikit_learn(name, scaler):
    np.testing.assert_allclose(encoded(fit_number(name, None, VALUES), VALUES), scaler.fit_transform(VALUES))


@pytest.mark.parametrize("name", ["standardize", "min_max", "robust"])
def test_what_does_not_vary_becomes_zero_and_what_is_all_missing_stays_so(name):
    x = np.array([[0.1, NAN], [0.1, NAN], [0.1, NAN]])
    np.testing.assert_array_equal(encoded(fit_number(name, None, x), x), [[0, NAN]] * 3)


def test_infinite_values_are_not_learned_from():
    x = np.array([[1.0], [3.0], [INF], [-INF]])
    scale = fit_number("standardize", None, x)
    assert (scale.shift[0], scale.factor[0]) == (2.0, 1.0)


def test_clipping_by_quantiles_of_the_train_split():
    x = np.arange(101.0).reshape(-1, 1)
    clip = fit_number("clip", (0.1, 0.9), x)
    np.testing.assert_array_equal(encoded(clip, [[-5.0], [50.0], [1e9], [NAN]]), [[10], [50], [90], [NAN]])


@pytest.mark.parametrize(("argument", "fillers"), [(None, [2.5, 2.5]), ("mean", [26.5, 3.25]), (-1, [-1, -1])])
def test_imputing(argument, fillers):
    filled = encoded(fit_number("impute", argument, VALUES), VALUES)
    np.testing.assert_array_equal(filled, np.where(np.isnan(VALUES), fillers, VALUES))


def test_missing_indicators():
    np.testing.assert_array_equal(encoded(fit_number("missing", None, VALUES), VALUES), np.isnan(VALUES))


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=60), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_buckets_hold_every_value_once(values, count):
    x = np.array(values, np.float64).reshape(-1, 1)
    bucket = fit_number("bucket", count, x)
    codes = encoded(bucket, np.vstack([x, [[-1e9]], [[1e9]], [[NAN]]])).ravel()
    size = bucket.columns([Column(("x",), "x", "x")])[0].size
    assert np.isnan(codes[-1]) and codes[-3] == 1 and codes[-2] == size <= count
    assert set(codes[:-3]) == set(range(1, size + 1))  # none is empty
    np.testing.assert_array_equal(codes[:-3], 1 + np.searchsorted(bucket.edges[0], values, side="right"))


def test_buckets_of_columns_with_different_edges():
    bucket = Bucket(((10.0,), (1.0, 2.0, 3.0), ()))
    np.testing.assert_array_equal(encoded(bucket, [[10.0, 2.5, 7.0], [9.0, NAN, -7.0]]), [[2, 3, 1], [1, NAN, 1]])
    names = [column.values for column in bucket.columns([Column(("a",), "a", "a")] * 3)]
    assert names[1] == ("below 1", "1 to 2", "2 to 3", "from 3")


def test_parts_of_dates_are_those_of_the_calendar():
    random = np.random.default_rng(0)
    seconds = random.integers(-(10**10), 10**10, 2_000)
    moments = [datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=int(each)) for each in seconds]
    days = (seconds / 86_400).reshape(-1, 1)
    expected = {
        "year": [each.year for each in moments],
        "quarter": [(each.month + 2) // 3 for each in moments],
        "month": [each.month for each in moments],
        "day": [each.day for each in moments],
        "weekday": [each.isoweekday() for each in moments],
        "hour": [each.hour + 1 for each in moments],
    }
    for part, values in expected.items():
        np.testing.assert_array_equal(encoded(fit_date(part, days), days).ravel(), values, err_msg=part)
        assert np.isnan(encoded(fit_date(part, days), [[NAN]]))


def test_an_age_counts_from_the_newest_date_of_training():
    age = fit_date("age", np.array([[10.0], [30.0], [NAN]]))
    np.testing.assert_array_equal(encoded(age, [[10.0], [31.0], [NAN]]), [[20], [-1], [NAN]])


def test_one_hot_has_a_column_for_what_training_had():
    codes = np.array([[1.0, 2.0], [2.0, 2.0], [0.0, 1.0], [NAN, 2.0]])
    one_hot = fit_one_hot(None, codes, [2, 3])
    columns = [Column(("a",), "a", "a", 2, ("x", "y")), Column(("b",), "b", "b", 3, ("u", "v", "w"))]
    assert [column.made for column in one_hot.columns(columns)] == [
        "a=x", "a=y", "a=(other)", "a=(missing)", "b=u", "b=v",
    ]  # fmt: skip
    got = encoded(one_hot, [[1, 2], [2, 1], [0, 0], [NAN, NAN]])
    np.testing.assert_array_equal(got, [[1, 0, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]])


def test_one_hot_of_the_commonest_puts_all_others_together():
    codes = np.array([[1.0], [2.0], [3.0], [3.0], [NAN]])
    one_hot = fit_one_hot(1, codes, [3])
    assert one_hot == OneHot(((3, 0, -1),), ((3, 3),))
    np.testing.assert_array_equal(
        encoded(one_hot, [[3], [2], [1], [0], [NAN]]), [[1, 0, 0], *[[0, 1, 0]] * 3, [0, 0, 1]]
    )


def test_shares_of_the_train_split():
    codes = np.array([[1.0, NAN], [1.0, 2.0], [2.0, 2.0], [0.0, 2.0]])
    got = encoded(fit_share(codes, [2, 2]), [[1, 2], [2, 1], [0, 0], [NAN, NAN]])
    np.testing.assert_array_equal(got, [[0.5, 0.75], [0.25, 0], [0.25, 0], [0, 0.25]])


def test_an_order_that_is_given_or_the_alphabet():
    column = Column(("size",), "size", "size", 3, ("small", "large", "medium"))
    given_order = fit_order(("small", "medium", "large"), column)
    np.testing.assert_array_equal(encoded(given_order, [[1], [2], [3], [0], [NAN]]).ravel(), [1, 3, 2, NAN, NAN])
    np.testing.assert_array_equal(encoded(fit_order(None, column), [[1], [2], [3]]).ravel(), [3, 1, 2])


def test_hashes_are_those_of_scikit_learn():
    texts = ["a", "Straße", "日本", "x" * 100, "a b"]
    codes = encoded(Hash(1000), [[text] for text in texts] + [[""]]).ravel()
    assert np.isnan(codes[-1])
    np.testing.assert_array_equal(codes[:-1], [1 + murmurhash3_32(text, positive=True) % 1000 for text in texts])


def test_a_vocabulary_knows_unseen_and_missing():
    codes = encoded(Vocabulary(("b", "a")), [["a"], ["b"], ["c"], [""]]).ravel()
    np.testing.assert_array_equal(codes, [2, 1, 0, NAN])
