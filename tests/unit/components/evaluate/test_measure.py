"""Every metric agrees with scikit-learn's on the same arrays; the undefined are left out, with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.measure import confusion, measure
from headrace.components.evaluate.scores import Scores


def binary(truth, positive, threshold: float = 0.5) -> Scores:
    positive = np.asarray(positive, float)
    outputs = np.column_stack([1 - positive, positive])
    return Scores("classification", np.asarray(truth), outputs, ("no", "yes"), 1, threshold)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(7)


def test_two_classes(rng):
    score = rng.random(500)
    truth = (rng.random(500) < score).astype(int)
    values, undefined = measure(binary(truth, score, 0.4))
    label = (score >= 0.4).astype(int)
    expected = {
        "auc": sk.roc_auc_score(truth, score),
        "pr_auc": sk.average_precision_score(truth, score),
        "log_loss": sk.log_loss(truth, score),
        "brier": sk.brier_score_loss(truth, score),
        "accuracy": sk.accuracy_score(truth, label),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, label),
        "precision": sk.precision_score(truth, label),
        "recall": sk.recall_score(truth, label),
        "f1": sk.f1_score(truth, label),
        "mcc": sk.matthews_corrcoef(truth, label),
    }
    assert undefined == {}
    calibration_error = values.pop("ece")
    assert values == pytest.approx(expected, abs=1e-12)
    by_hand = sum(
        abs(score[part].mean() - truth[part].mean()) * part.mean()
        for low in np.arange(10) / 10
        if (part := (score >= low) & (score < low + 0.1)).any()
    )
    assert calibration_error == pytest.approx(by_hand, abs=1e-9)
    assert confusion(binary(truth, score, 0.4)) == tuple(map(tuple, sk.confusion_matrix(truth, label)))


def test_the_positive_class_may_be_the_first(rng):
    score = rng.random(200)
    truth = (rng.random(200) < score).astype(int)
    flipped = Scores("classification", 1 - truth, np.column_stack([score, 1 - score]), ("yes", "no"), 0, 0.5)
    assert measure(flipped)[0] == pytest.approx(measure(binary(truth, score))[0])


def test_several_classes(rng):
    outputs = rng.dirichlet([1, 1, 1, 1], 400)
    truth = np.array([rng.choice(4, p=row) for row in outputs])
    values, undefined = measure(Scores("classification", truth, outputs, ("a", "b", "c", "d")))
    label = outputs.argmax(axis=1)
    assert undefined == {}
    assert values == pytest.approx(
        {
            "auc": sk.roc_auc_score(truth, outputs, multi_class="ovr", average="macro"),
            "log_loss": sk.log_loss(truth, outputs),
            "accuracy": sk.accuracy_score(truth, label),
            "balanced_accuracy": sk.balanced_accuracy_score(truth, label),
            "macro_f1": sk.f1_score(truth, label, average="macro"),
            "weighted_f1": sk.f1_score(truth, label, average="weighted"),
            "mcc": sk.matthews_corrcoef(truth, label),
        },
        abs=1e-12,
    )


def test_regression(rng):
    truth = rng.normal(10, 3, 300)
    value = truth + rng.normal(0.5, 1, 300)
    values, undefined = measure(Scores("regression", truth, value.reshape(-1, 1)))
    assert undefined == {}
    assert values == pytest.approx(
        {
            "rmse": sk.root_mean_squared_error(truth, value),
            "mae": sk.mean_absolute_error(truth, value),
            "median_absolute_error": sk.median_absolute_error(truth, value),
            "mape": sk.mean_absolute_percentage_error(truth, value),
            "r2": sk.r2_score(truth, value),
            "bias": np.mean(value - truth),
        }
    )


def test_every_measured_metric_is_registered_for_its_task(rng):
    for scores in (
        binary([0, 1], [0.2, 0.8]),
        Scores("classification", np.array([0, 1, 2]), np.eye(3), ("a", "b", "c")),
        Scores("regression", np.array([1.0, 2.0]), np.array([[1.0], [2.5]])),
    ):
        values, undefined = measure(scores)
        registered = [name for name, info in METRICS.items() if scores.kind in info.tasks]
        assert sorted([*values, *undefined]) == sorted(registered)


def test_one_class_only():
    values, undefined = measure(binary([0, 0, 0], [0.1, 0.2, 0.7]))
    assert undefined == {
        "auc": "all rows are of class no",
        "pr_auc": "all rows are of class no",
        "balanced_accuracy": "all rows are of class no",
        "recall": "no row is positive",
        "mcc": "all rows are of class no",
    }
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["precision"] == 0


def test_nothing_predicted_positive():
    _, undefined = measure(binary([0, 1], [0.1, 0.2]))
    assert undefined == {"precision": "no row is predicted positive"}


def test_a_class_without_rows():
    outputs = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    _, undefined = measure(Scores("classification", np.array([0, 1]), outputs, ("a", "b", "c")))
    assert undefined == {"auc": "no row is of class c"}


def test_regression_on_the_same_value_and_on_zero():
    _, undefined = measure(Scores("regression", np.array([0.0, 0.0]), np.array([[1.0], [2.0]])))
    assert undefined == {"r2": "the actual values are all the same", "mape": "an actual value is zero"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_answers_no_number_has_no_metrics(value):
    values, undefined = measure(binary([0, 1, 1], [0.1, value, 0.9]))
    assert values == {}
    assert set(undefined.values()) == {"the model's output is not a finite number in 1 rows"}
    assert confusion(binary([0, 1, 1], [0.1, value, 0.9])) == ()


def test_no_rows():
    values, undefined = measure(binary(np.zeros(0, int), np.zeros(0)))
    assert values == {}
    assert set(undefined.values()) == {"there are no rows"}
