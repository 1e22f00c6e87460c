"""Trees: deterministic, and hardened so that rounding and missing values mean the same everywhere."""

from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import Feature
from headrace.trainer.model import Job, Rows
from headrace.trainer.models.gbdt import fit, floor_float32, harden
from headrace.trainer.parameters import GbdtParameters

PARAMETERS = GbdtParameters(0.1, 15, 20, 1.0, 1.0, 0.0, 60, 10)
FEATURES = tuple(Feature(name, (name,), "as it is", raw=name) for name in "abcd")


def job(seed=0, parameters=PARAMETERS, features=FEATURES, **more):
    return Job(Rows(*rows(0)), Rows(*rows(1)), features, 2, parameters, seed, **more)


def rows(seed=0, count=600):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 4)).astype(np.float32)
    x[generator.random(x.shape) < 0.1] = np.nan
    x[:, 0] = np.nan_to_num(x[:, 0])  # a column that is never missing in training
    x[:, 3] = np.nan  # a column that is empty
    return x, (np.nan_to_num(x[:, :3]).sum(1) > 0).astype(np.int32)


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floor_float32_is_the_greatest_float32_not_above(values):
    values = np.array(values)
    floored = floor_float32(values)
    assert (floored <= values).all()
    with np.errstate(over="ignore"):
        above = np.nextafter(floored.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    assert ((above > values) | np.isinf(values) | (floored == np.finfo(np.float32).max)).all()


def test_hardening_changes_no_answer_for_float32_rows_like_those_of_training():
    x, y = rows()
    booster = lgb.train({"objective": "binary", "verbosity": -1, "seed": 1}, lgb.Dataset(x, y), 30)
    np.testing.assert_array_equal(booster.predict(x), harden(booster, 30).predict(x))


def test_hardened_thresholds_are_float32():
    x, y = rows()
    booster = harden(lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(x, y), 10), 10)
    thresholds = booster.trees_to_dataframe()["threshold"].dropna().to_numpy()
    np.testing.assert_array_equal(thresholds, thresholds.astype(np.float32).astype(np.float64))


def test_a_value_that_was_never_missing_in_training_goes_with_the_majority():
    x, y = rows()
    tree = lgb.train({"objective": "binary", "verbosity": -1, "num_leaves": 2}, lgb.Dataset(x[:, :1], y), 1)
    larger = max(
        tree.dump_model()["tree_info"][0]["tree_structure"].items(),
        key=lambda i: i[1].get("leaf_count", 0) if isinstance(i[1], dict) else -1,
    )
    hardened = harden(tree, 1)
    missing = hardened.predict(np.full((1, 1), np.nan), raw_score=True)[0]
    assert np.isclose(missing, larger[1]["leaf_value"])


def test_cutting_to_the_best_round():
    x, y = rows()
    booster = lgb.train({"objective": "binary", "verbosity": -1}, lgb.Dataset(x, y), 20)
    assert harden(booster, 7).num_trees() == 7
    np.testing.assert_allclose(harden(booster, 7).predict(x), booster.predict(x, num_iteration=7))


def test_the_same_seed_gives_the_same_trees():
    texts = {fit(job(seed=5)).booster.model_to_string() for _ in range(2)}
    assert len(texts) == 1


def test_early_stopping_keeps_the_best_round():
    fitted = fit(job())
    assert fitted.rounds == int(np.argmin(fitted.curve["eval"])) + 1
    assert fitted.booster.num_trees() == fitted.rounds


def test_importance_is_a_share_of_the_gain():
    fitted = fit(job())
    share = fitted.importance()
    assert share.shape == (4,)
    assert np.isclose(share.sum(), 1)
    assert share[3] == 0  # the empty column


def test_each_round_is_told():
    told = []
    fitted = fit(job(on_round=lambda number, value: told.append((number, value))))
    assert told == list(enumerate(fitted.curve["eval"], 1))


def answers_along(model, place):
    """The second class's probability for rows of training with one feature set, for each value; (rows, values)."""
    x = rows(2)[0]
    columns = []
    for value in np.linspace(-2, 2, 41):
        x[:, place] = value
        columns.append(model.predict(x)[:, 1])
    return np.column_stack(columns)


@pytest.mark.parametrize("direction", [1, -1])
def test_a_monotone_feature_only_rises_or_only_falls(direction):
    free = fit(job())
    assert (np.diff(answers_along(free, 1), axis=1) < 0).any()  # without the constraint it wavers
    bound = fit(job(parameters=replace(PARAMETERS, monotone={"b": direction})))
    steps = np.diff(answers_along(bound, 1), axis=1) * direction
    assert (steps >= 0).all()
    assert (steps > 0).any() == (direction == 1)  # the label rises with it: falling is not at all


def test_the_positive_class_may_be_the_first():
    bound = fit(job(parameters=replace(PARAMETERS, monotone={"b": -1}), positive=0))
    steps = np.diff(1 - answers_along(bound, 1), axis=1)  # of the first class
    assert (steps <= 0).all()
    assert (steps < 0).any()


def test_a_monotone_feature_that_cannot_be_one_is_refused():
    with pytest.raises(HeadraceError, match="expected a feature. Received: `bb`; did you mean `b`"):
        fit(job(parameters=replace(PARAMETERS, monotone={"bb": 1})))
    code = (*FEATURES[:3], Feature("d", ("d",), "its code", "code", 3))
    with pytest.raises(HeadraceError, match="Received: `d`, the codes of a category"):
        fit(job(parameters=replace(PARAMETERS, monotone={"d": 1}), features=code))
    with pytest.raises(HeadraceError, match="expected a regression or two classes. Received: 3 classes"):
        fit(replace(job(parameters=replace(PARAMETERS, monotone={"b": 1})), classes=3))


def test_weights_count():
    x, y = rows(0)
    weights = np.where(y == 1, 1.8, 0.2)
    heavy = fit(replace(job(), train=Rows(x, y, weights)))
    assert heavy.predict(x)[:, 1].mean() > fit(job()).predict(x)[:, 1].mean() + 0.01


def test_words_are_seen_whole_by_every_tree_and_what_is_set_stays():
    decided = GbdtParameters().for_rows(14_000, sparse=True)
    assert (decided.num_leaves, decided.feature_fraction, decided.bagging_fraction) == (31, 1.0, 1.0)
    decided = GbdtParameters().for_rows(14_000)
    assert (decided.num_leaves, decided.feature_fraction, decided.bagging_fraction) == (16, 0.8, 0.8)
    own = GbdtParameters(num_leaves=9, feature_fraction=0.5, bagging_fraction=0.6).for_rows(14_000, sparse=True)
    assert (own.num_leaves, own.feature_fraction, own.bagging_fraction) == (9, 0.5, 0.6)
