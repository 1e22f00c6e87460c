"""How much a row counts: by its own column, by its class, and never as a feature."""

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Input
from headrace.artifacts.transform import FEATURES, GRAPH, Feature, Transform, open_transform, write_transform
from headrace.trainer.baseline import baseline
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.loss import loss
from headrace.trainer.model import Rows
from headrace.trainer.parameters import Training
from headrace.trainer.rows import class_weights, ready, sample_weights
from tests.unit.trainer.construct_graph import construct_graph

CLASSES = DatasetInfo("classification", [], "y", {}, ["a", "b", "c"])


def test_weights_are_scaled_to_a_mean_of_one():
    np.testing.assert_allclose(sample_weights(pa.chunked_array([[1, 2, 3]]), "w"), [0.5, 1.0, 1.5])


@pytest.mark.parametrize(
    ("values", "received"),
    [
        ([1.0, None, 2.0], r"Received: None in row 2, and in 1 row in all"),
        ([1.0, 2.0, -1.0], r"Received: -1.0 in row 3"),
        ([float("inf"), 1.0], r"Received: inf in row 1"),
        ([0.0, 0.0], r"Received: 0 in every row"),
        (["much", "little"], r"expected numbers in the column w. Received: string"),
    ],
)
def test_what_is_no_weight_is_refused(values, received):
    with pytest.raises(HeadraceError, match=received):
        sample_weights(pa.chunked_array([values]), "w")


def test_balanced_classes_are_the_same_in_sum():
    y = np.array([0] * 60 + [1] * 30 + [2] * 10, np.int32)
    weights = class_weights("balanced", y, None, CLASSES)
    np.testing.assert_allclose(weights, [100 / 180, 100 / 90, 100 / 30])  # as scikit-learn's compute_class_weight
    own = np.where(y == 2, 3.0, 1.0)
    np.testing.assert_allclose(np.bincount(y, class_weights("balanced", y, own, CLASSES)[y] * own), [40.0] * 3)


def test_named_classes_have_their_weight_and_others_one():
    y = np.array([0, 1, 2], np.int32)
    np.testing.assert_array_equal(class_weights({"c": 5.0}, y, None, CLASSES), [1, 1, 5])
    with pytest.raises(HeadraceError, match="expected a class of `y`: a, b, c. Received: d"):
        class_weights({"d": 5.0}, y, None, CLASSES)
    with pytest.raises(HeadraceError, match="expected a class that counts"):
        class_weights({"a": 0.0, "b": 0.0}, y[:2], None, CLASSES)


def artifacts(folder, inputs=("x",)):
    """A snapshot with a column of weights, and a transform of it."""
    count = 40
    table = pa.table(
        {
            "x": np.arange(count, dtype=float),
            "w": np.arange(count, dtype=float) % 4,
            "y": ["yes" if place % 4 == 0 else "no" for place in range(count)],
        }
    )
    columns = [Column(name, kind) for name, kind in (("x", "float64"), ("w", "float64"), ("y", "string"))]
    sizes = dict.fromkeys(("train", "eval", "test"), count)
    info = DatasetInfo("classification", columns, "y", sizes, ["no", "yes"], "yes")
    with write_dataset(folder / "dataset") as (files, details):
        for file in files.values():
            pq.write_table(table, file)
        details.update(describe(info))
    fitted = tuple(Input(name, "number") for name in inputs)
    graph = construct_graph(fitted, {})
    outputs = tuple(Feature(name, (name,), "as it is", raw=name) for name in inputs)
    with write_transform(folder / "transform", Transform(fitted, outputs, {})) as files:
        onnx.save(graph, files / FEATURES)
        onnx.save(merge(encoder_graph(fitted), graph), files / GRAPH)
    return Dataset.open(folder / "dataset"), open_transform(folder / "transform")


def test_the_rows_weights_and_the_classes_are_multiplied_but_not_for_probabilities(tmp_path):
    rows = ready(*artifacts(tmp_path), Training(sample_weight="w", class_weight={"yes": 9.0, "no": 1.0}))
    own = np.arange(40) % 4 / 1.5
    np.testing.assert_allclose(rows.unweighted.weights, own)
    assert rows.train.weights.mean() == pytest.approx(1)
    both = own * np.where(rows.train.labels == 1, 9.0, 1.0)
    np.testing.assert_allclose(rows.train.weights, both / both.mean())
    assert rows.held_out.column_names == ["x"]


def test_without_weights_all_rows_count_the_same(tmp_path):
    rows = ready(*artifacts(tmp_path), Training())
    assert rows.train.weights is rows.evaluation.weights is rows.unweighted.weights is None
    assert rows.classes == 2


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ("ww", "expected a column of the data. Received: `ww`; did you mean `w`"),
        ("y", "expected another column. Received: the label"),
        ("x", "expected a column that is no feature"),
    ],
)
def test_a_weight_that_cannot_be_one_is_refused(tmp_path, weight, expected):
    with pytest.raises(HeadraceError, match=expected):
        ready(*artifacts(tmp_path), Training(sample_weight=weight))


def test_the_baseline_is_the_best_constant():
    x = np.zeros((4, 1), np.float32)
    train = Rows(x, np.array([0, 0, 0, 1], np.int32))
    found = baseline(train, train, 2)
    np.testing.assert_array_equal(found.answer, [0.75, 0.25])
    assert found.values["eval"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert found.words(["no", "yes"]) == "the classes' shares in train, most of all no (75.0%)"
    weighted = baseline(Rows(x, train.labels, np.array([1, 1, 1, 3.0]) / 1.5), train, 2)
    np.testing.assert_array_equal(weighted.answer, [0.5, 0.5])
    values = Rows(x, np.array([1.0, 2.0, 3.0, 6.0]))
    mean = baseline(values, values, 0)
    assert (mean.metric, mean.answer[0], mean.values["train"]) == ("rmse", 3.0, pytest.approx(np.sqrt(3.5)))


def test_losses_are_weighted_means():
    answers = np.array([[0.9, 0.1], [0.5, 0.5]])
    y = np.array([0, 1])
    assert loss(answers, y, np.array([2.0, 0.0]), 2) == pytest.approx(-np.log(0.9))
    assert loss(np.array([[1.0], [5.0]]), np.array([1.0, 2.0]), np.array([1.0, 1.0]), 0) == pytest.approx(np.sqrt(4.5))
    assert loss(np.array([[0.0, 1.0]]), np.array([0]), None, 2) == pytest.approx(-np.log(1e-15))
