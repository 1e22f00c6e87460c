"""Trees: deterministic, and hardened so that rounding and missing values mean the same everywhere."""

import lightgbm as lgb
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headrace.trainer.gbdt import fit, floor_float32, harden, importance
from headrace.trainer.parameters import GbdtParameters

PARAMETERS = GbdtParameters(0.1, 15, 20, 1.0, 1.0, 0.0, 60, 10)


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
    train, evaluation = rows(0), rows(1)
    texts = {fit(train, evaluation, list("abcd"), 2, PARAMETERS, seed=5).booster.model_to_string() for _ in range(2)}
    assert len(texts) == 1


def test_early_stopping_keeps_the_best_round():
    fitted = fit(rows(0), rows(1), list("abcd"), 2, PARAMETERS, seed=0)
    assert fitted.best_iteration == int(np.argmin(fitted.curve["eval"])) + 1
    assert fitted.booster.num_trees() == fitted.best_iteration


def test_importance_is_a_share_of_the_gain():
    fitted = fit(rows(0), rows(1), list("abcd"), 2, PARAMETERS, seed=0)
    share = importance(fitted.booster, list("abcd"))
    assert np.isclose(sum(share.values()), 1)
    assert share["d"] == 0
    assert list(share.values()) == sorted(share.values(), reverse=True)
