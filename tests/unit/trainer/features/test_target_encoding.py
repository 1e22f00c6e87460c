"""Target encoding: its formula, and that no train row is described by its own label."""

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.transform import OUT_OF_FOLD
from headrace.trainer.features.target import FOLDS, fit_target, make_label
from headrace.trainer.matrix import feature_matrix
from tests.unit.trainer.features.encoding import encoded, transformed


def test_means_with_a_fixed_smoothing():
    codes = np.array([[1.0], [1.0], [2.0], [0.0], [np.nan], [np.nan]])
    label = make_label(np.array([10.0, 20, 3, 7, 1, 1]), (), None)
    table, _ = fit_target(codes, [3], label, 2.0)
    mean = 7.0
    expected = [(7 + 2 * mean) / 3, (30 + 2 * mean) / 4, (3 + 2 * mean) / 3, mean, (2 + 2 * mean) / 4]
    np.testing.assert_allclose(table.tables[0].ravel(), expected)
    np.testing.assert_allclose(encoded(table, [[0], [3], [np.nan]]).ravel(), [expected[0], mean, expected[4]])


def test_weights_count():
    codes = np.array([[1.0], [1.0], [2.0]])
    label = make_label(np.array([0.0, 1.0, 1.0]), (), np.array([3.0, 1.0, 2.0]))
    np.testing.assert_allclose(fit_target(codes, [2], label, 0.0)[0].tables[0].ravel(), [0.5, 0.25, 1.0, 0.5])


def test_a_column_for_each_of_several_classes():
    random = np.random.default_rng(0)
    codes = random.integers(1, 4, (300, 2)).astype(np.float64)
    label = make_label(random.integers(0, 3, 300), ("a", "b", "c"), None)
    table, held_out = fit_target(codes, [3, 3], label, 5.0)
    assert held_out.shape == (300, 6) and table.per_value == ("a", "b", "c")
    got = encoded(table, codes)
    np.testing.assert_allclose(got.reshape(300, 2, 3).sum(axis=2), 1.0)
    np.testing.assert_allclose(got[:, 3:], table.tables[1][codes[:, 1].astype(int)])


def test_a_category_that_says_nothing_becomes_a_constant_and_one_that_says_all_is_hardly_smoothed():
    random = np.random.default_rng(1)
    codes = random.integers(1, 101, (5_000, 1)).astype(np.float64)
    nothing = make_label(random.integers(0, 2, 5_000), ("0", "1"), None)
    assert np.ptp(fit_target(codes, [100], nothing, None)[0].tables[0]) < 0.1
    everything = make_label((codes[:, 0] > 50).astype(np.int64), ("0", "1"), None)
    np.testing.assert_allclose(
        fit_target(codes, [100], everything, None)[0].tables[0][1:101].ravel(), np.arange(1, 101) > 50
    )


def test_a_train_row_gets_the_means_of_the_other_folds():
    random = np.random.default_rng(2)
    codes = random.integers(0, 6, (400, 1)).astype(np.float64)
    values = random.normal(size=400)
    label = make_label(values, (), None)
    _, held_out = fit_target(codes, [5], label, 1.0)
    for fold in range(FOLDS):
        other = label.folds != fold
        mean = values[other].mean()
        for code in range(6):
            of_code = other & (codes[:, 0] == code)
            expected = (values[of_code].sum() + mean) / (of_code.sum() + 1)
            rows = (label.folds == fold) & (codes[:, 0] == code)
            np.testing.assert_allclose(held_out[rows, 0], expected)


@pytest.fixture(scope="module")
def noise() -> pa.Table:
    """1,200 values of five rows each, and labels drawn by chance: nothing can be learned here but by heart."""
    random = np.random.default_rng(3)
    values = random.permutation(np.repeat(np.arange(1_000), 5))
    return pa.table(
        {"place": [f"p{value}" for value in values], "y": [str(each) for each in random.integers(0, 2, 5_000)]}
    )


def test_a_model_is_not_shown_the_label_of_the_row_that_it_learns_from(tmp_path, noise):
    """Fails where feature_matrix takes the graph's values for train rows, or where folds see their own rows."""
    opened, graph = transformed(tmp_path, noise, encode={"place": {"target": 1.0}})
    assert [feature.out_of_fold for feature in opened.recipe.outputs] == [True]
    label = np.array([each == "1" for each in noise["y"].to_pylist()])
    train = Dataset.open(tmp_path / "data").table("train", ["place"])
    in_fold = np.corrcoef(graph["target(place)"], label)[0, 1]
    shown = np.corrcoef(feature_matrix(opened, train, "train")[:, 0], label)[0, 1]
    assert in_fold > 0.3  # what a leak looks like
    assert shown < 0.05
    np.testing.assert_array_equal(feature_matrix(opened, train, "eval")[:, 0], graph["target(place)"])


def test_rows_of_training_lie_in_the_file_in_their_order(tmp_path, noise):
    opened, _ = transformed(tmp_path, noise, encode={"place": "target"})
    import pyarrow.parquet as pq

    table = pq.read_table(opened.path / OUT_OF_FOLD)
    assert table.column_names == ["target(place)"] and table.num_rows == noise.num_rows


@pytest.mark.parametrize("steps", [["standardize"], ["log", "min_max"], [{"bucket": 5}], [{"bucket": 5}, "one_hot"]])
def test_nor_by_what_stands_behind_a_target_encoding(tmp_path, noise, steps):
    opened, graph = transformed(tmp_path, noise, encode={"place": [{"target": 1.0}, *steps]})
    assert all(feature.out_of_fold for feature in opened.recipe.outputs)
    label = np.array([each == "1" for each in noise["y"].to_pylist()])
    shown = feature_matrix(opened, Dataset.open(tmp_path / "data").table("train", ["place"]), "train")

    def strongest(columns) -> float:
        return max(abs(np.corrcoef(values, label)[0, 1]) for values in columns if np.ptp(values) > 0)

    assert strongest(graph.values()) > 0.2
    assert strongest(shown.T) < 0.06


def test_principal_components_leave_target_encodings_alone(tmp_path, noise):
    table = noise.append_column("a", pa.array(np.arange(5_000.0))).append_column("b", pa.array(np.arange(5_000.0) % 7))
    opened, _ = transformed(tmp_path, table, encode={"place": "target"}, reduce={"pca": 1})
    assert opened.recipe.features == ["target(place)", "component 1"]


def test_rows_that_belong_together_are_in_one_fold():
    """A category that only names the group is told by no row of it."""
    random = np.random.default_rng(3)
    groups = random.integers(100, 140, 800)
    values = (groups % 2).astype(np.float64)  # the label is the group's alone
    codes = (groups - 99)[:, None].astype(np.float64)
    label = make_label(values, (), None, groups=groups)
    assert set(label.folds) == set(range(FOLDS))
    assert all(len(set(label.folds[groups == one])) == 1 for one in set(groups))
    _, held_out = fit_target(codes, [40], label, 1.0)
    alone = fit_target(codes, [40], make_label(values, (), None), 1.0)[1]
    assert abs(np.corrcoef(held_out[:, 0], values)[0, 1]) < 0.5 < np.corrcoef(alone[:, 0], values)[0, 1]


@pytest.mark.parametrize("groups", [np.zeros(50), np.arange(50)])
def test_a_single_group_is_divided_as_rows_that_stand_alone_are(groups):
    label = make_label(np.arange(50.0), (), None, groups=groups)
    assert sorted(np.bincount(label.folds)) == [10] * FOLDS


def test_the_transform_keeps_groups_together(tmp_path):
    from headrace.artifacts.dataset import DatasetInfo
    from headrace.components.transform.fit import TableSplit, fit_transform
    from headrace.components.transform.spec import FeaturesSpec

    random = np.random.default_rng(4)
    groups = random.integers(0, 60, 1_200)
    table = pa.table(
        {"shop": [f"s{one}" for one in groups], "x": random.normal(size=1_200), "y": [str(one % 2) for one in groups]}
    )
    features = FeaturesSpec.model_validate({"encode": {"shop": "target"}})

    def told(split):
        info = DatasetInfo("classification", [], "y", {"train": 1_200}, ["0", "1"], query={"split": split})
        _, fitted = fit_transform(TableSplit(table), info, features, "linear")
        return abs(np.corrcoef(np.asarray(fitted.out_of_fold["target(shop)"]), groups % 2)[0, 1])

    assert told({"by": "group", "column": "shop"}) < 0.5 < told({"by": "hash"})
