"""Every metric agrees with scikit-learn's on the same arrays; the undefined are left out, with a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.measure import confusion, measure, measure_one, of_classes
from headrace.components.evaluate.scores import Scores


def binary(truth, positive, threshold: float = 0.5) -> Scores:
    positive = np.asarray(positive, float)
    outputs = np.column_stack([1 - positive, positive])
    return Scores("classification", np.asarray(truth), outputs, ("no", "yes"), 1, threshold)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(7)


def peers_of_two(truth, score, label, weights):
    """Every metric as scikit-learn gives it, or by hand where it has none."""
    w = {"sample_weight": weights}
    auc, recall = sk.roc_auc_score(truth, score, **w), sk.recall_score(truth, label, **w)
    specificity = sk.recall_score(truth, label, pos_label=0, **w)
    fpr, tpr, _ = sk.roc_curve(truth, score, drop_intermediate=False, **w)
    return {
        "auc": auc,
        "pr_auc": sk.average_precision_score(truth, score, **w),
        "gini": 2 * auc - 1,
        "ks": (tpr - fpr).max(),
        "log_loss": sk.log_loss(truth, score, **w),
        "brier": sk.brier_score_loss(truth, score, **w),
        "d2_log_loss": sk.d2_log_loss_score(truth, score, **w),
        "d2_brier": sk.d2_brier_score(truth, score, **w),
        "accuracy": sk.accuracy_score(truth, label, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, label, **w),
        "precision": sk.precision_score(truth, label, **w),
        "recall": recall,
        "specificity": specificity,
        "npv": sk.precision_score(truth, label, pos_label=0, **w),
        "fpr": 1 - specificity,
        "fnr": 1 - recall,
        "f1": sk.f1_score(truth, label, **w),
        "f2": sk.fbeta_score(truth, label, beta=2, **w),
        "f0_5": sk.fbeta_score(truth, label, beta=0.5, **w),
        "jaccard": sk.jaccard_score(truth, label, **w),
        "youden": recall + specificity - 1,
        "mcc": sk.matthews_corrcoef(truth, label, **w),
        "kappa": sk.cohen_kappa_score(truth, label, **w),
    }


def peers_of_several(truth, outputs, label, weights):
    classes = range(outputs.shape[1])
    w = {"sample_weight": weights}
    averaged = {
        f"{average}_{name}": function(truth, label, average=average, zero_division=0, **w)
        for average in ("macro", "weighted")
        for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score))
    }
    found = {
        "log_loss": sk.log_loss(truth, outputs, labels=classes, **w),
        "brier": sk.brier_score_loss(truth, outputs, labels=classes, **w),
        "d2_log_loss": sk.d2_log_loss_score(truth, outputs, labels=classes, **w),
        "d2_brier": sk.d2_brier_score(truth, outputs, labels=classes, **w),
        "accuracy": sk.accuracy_score(truth, label, **w),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, label, **w),
        "mcc": sk.matthews_corrcoef(truth, label, **w),
        "kappa": sk.cohen_kappa_score(truth, label, **w),
        "micro_f1": sk.f1_score(truth, label, average="micro", **w),
        "macro_jaccard": sk.jaccard_score(truth, label, average="macro", zero_division=0, **w),
        **{
            f"top_{k}_accuracy": sk.top_k_accuracy_score(truth, outputs, k=k, labels=classes, **w)
            for k in (2, 3, 5)
            if k < outputs.shape[1]
        },
        **averaged,
    }
    found["auc"] = sk.roc_auc_score(truth, outputs, multi_class="ovr", average="macro", labels=classes, **w)
    found["auc_weighted"] = sk.roc_auc_score(truth, outputs, multi_class="ovr", average="weighted", labels=classes, **w)
    if weights is None:  # one-vs-one takes no weights in scikit-learn
        found["auc_ovo"] = sk.roc_auc_score(truth, outputs, multi_class="ovo", average="macro", labels=classes)
    return found


def peers_of_values(truth, value, weights):
    w = {"sample_weight": weights}
    off = np.abs(value - truth)
    return {
        "rmse": sk.root_mean_squared_error(truth, value, **w),
        "mse": sk.mean_squared_error(truth, value, **w),
        "mae": sk.mean_absolute_error(truth, value, **w),
        "median_absolute_error": sk.median_absolute_error(truth, value, **w),
        "max_error": sk.max_error(truth, value),
        "mape": sk.mean_absolute_percentage_error(truth, value, **w),
        "smape": np.average(2 * off / (np.abs(truth) + np.abs(value)), weights=weights),
        "wape": np.average(off, weights=weights) / np.average(np.abs(truth), weights=weights),
        "rmsle": sk.root_mean_squared_log_error(truth, value, **w),
        "pinball_10": sk.mean_pinball_loss(truth, value, alpha=0.1, **w),
        "pinball_90": sk.mean_pinball_loss(truth, value, alpha=0.9, **w),
        "poisson_deviance": sk.mean_poisson_deviance(truth, value, **w),
        "gamma_deviance": sk.mean_gamma_deviance(truth, value, **w),
        "r2": sk.r2_score(truth, value, **w),
        "explained_variance": sk.explained_variance_score(truth, value, **w),
        "d2_absolute_error": sk.d2_absolute_error_score(truth, value, **w),
        "bias": np.average(value - truth, weights=weights),
        "correlation": np.cov(truth, value, aweights=weights)[0, 1]
        / np.sqrt(np.cov(truth, aweights=weights) * np.cov(value, aweights=weights)),
    }


def drawn_weights(rng, count: int, kind: str):
    return {"none": None, "real": rng.gamma(1, 1, count), "whole": rng.integers(0, 4, count).astype(float)}[kind]


WEIGHTS = pytest.mark.parametrize("weighted", ["none", "real", "whole"])


@WEIGHTS
@pytest.mark.parametrize("seed", range(12))
def test_two_classes_as_scikit_learn(seed, weighted):
    rng = np.random.default_rng(seed)
    count, digits = int(rng.integers(30, 400)), int(rng.integers(1, 8))  # one digit: many ties
    score = np.clip(np.round(rng.random(count), digits), 0.001, 0.999)
    truth = (rng.random(count) < score).astype(int)
    weights, threshold = drawn_weights(rng, count, weighted), float(rng.uniform(0.3, 0.7))
    scores = replace(binary(truth, score, threshold), weights=weights)
    values, undefined = measure(scores)
    assert undefined == {}
    expected = peers_of_two(truth, score, (score >= threshold).astype(int), weights)
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-11)
    w = np.ones(count) if weights is None else weights
    place = np.minimum((score * 10).astype(int), 9)
    by_hand = sum(abs(((score - truth) * w)[place == one].sum()) for one in range(10)) / w.sum()
    assert values["ece"] == pytest.approx(by_hand, abs=1e-12)
    assert measure_one(scores, "auc") == pytest.approx(expected["auc"], abs=1e-12)
    assert measure_one(scores, "f1") == pytest.approx(expected["f1"], abs=1e-12)


def test_the_top_decile(rng):
    score = rng.permutation(1000) / 1000
    truth = (rng.random(1000) < score**3).astype(int)
    values, _ = measure(binary(truth, score))
    inside = truth[np.argsort(-score)[:100]].sum() / truth.sum()
    assert values["top_decile_recall"] == pytest.approx(inside)
    assert values["top_decile_lift"] == pytest.approx(10 * inside)


def test_the_top_decile_of_a_tie_is_what_chance_picks_of_it():
    values, _ = measure(binary([1, 0] * 50, np.full(100, 0.5)))
    assert values["top_decile_recall"] == pytest.approx(0.1)
    assert values["top_decile_lift"] == pytest.approx(1)


def test_the_positive_class_may_be_the_first(rng):
    score = rng.random(200)
    truth = (rng.random(200) < score).astype(int)
    flipped = Scores("classification", 1 - truth, np.column_stack([score, 1 - score]), ("yes", "no"), 0, 0.5)
    assert measure(flipped)[0] == pytest.approx(measure(binary(truth, score))[0])


@WEIGHTS
@pytest.mark.parametrize("seed", range(8))
def test_several_classes_as_scikit_learn(seed, weighted):
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 9))
    outputs = rng.dirichlet(np.ones(size), 400)
    truth = np.array([rng.choice(size, p=row) for row in outputs])
    weights = drawn_weights(rng, 400, weighted)
    values, undefined = measure(Scores("classification", truth, outputs, tuple("abcdefgh"[:size]), weights=weights))
    assert set(undefined) == {name for name in ("top_3_accuracy", "top_5_accuracy") if int(name[4]) >= size}
    expected = peers_of_several(truth, outputs, outputs.argmax(axis=1), weights)
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-11)
    sure, w = outputs.max(axis=1), np.ones(400) if weights is None else weights
    gaps = (sure - (outputs.argmax(axis=1) == truth)) * w
    place = np.minimum((sure * 10).astype(int), 9)
    assert values["ece"] == pytest.approx(sum(abs(gaps[place == one].sum()) for one in range(10)) / w.sum())


def test_classes_that_nobody_predicts_or_that_tie_as_scikit_learn(rng):
    outputs = np.round(rng.dirichlet([4, 4, 0.2, 1], 300) * 4) / 4
    outputs[outputs.sum(axis=1) == 0] = 0.25
    outputs = outputs / outputs.sum(axis=1, keepdims=True)
    truth = rng.integers(0, 4, 300)
    values, _ = measure(Scores("classification", truth, outputs, ("a", "b", "c", "d")))
    expected = peers_of_several(truth, outputs, outputs.argmax(axis=1), None)
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-11)


def test_one_vs_one_with_weights_is_of_rows_that_are_repeated(rng):
    outputs = rng.dirichlet([1, 1, 1], 100)
    truth, weights = rng.integers(0, 3, 100), rng.integers(0, 4, 100)
    weighted = Scores("classification", truth, outputs, ("a", "b", "c"), weights=weights.astype(float))
    repeated = Scores("classification", truth.repeat(weights), outputs.repeat(weights, axis=0), ("a", "b", "c"))
    assert measure(weighted)[0] == pytest.approx(measure(repeated)[0])


def test_each_class_by_itself(rng):
    outputs = rng.dirichlet([1, 1, 1], 300)
    truth = np.array([rng.choice(3, p=row) for row in outputs])
    label = outputs.argmax(axis=1)
    for code, found in enumerate(of_classes(Scores("classification", truth, outputs, ("a", "b", "c")))):
        assert (found.name, found.rows, found.predicted) == ("abc"[code], (truth == code).sum(), (label == code).sum())
        mine, said = truth == code, label == code
        assert found.metrics == pytest.approx(
            {
                "precision": sk.precision_score(mine, said),
                "recall": sk.recall_score(mine, said),
                "f1": sk.f1_score(mine, said),
                "auc": sk.roc_auc_score(mine, outputs[:, code]),
            }
        )


@WEIGHTS
@pytest.mark.parametrize("seed", range(12))
def test_regression_as_scikit_learn(seed, weighted):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(20, 400))
    truth = rng.gamma(2, 10, count) + 0.1
    value = np.abs(truth + rng.normal(0.5, 3, count)) + 0.05
    if seed % 2:
        truth, value = np.ceil(truth), np.ceil(value)  # with ties
    weights = drawn_weights(rng, count, weighted)
    values, undefined = measure(Scores("regression", truth, value.reshape(-1, 1), weights=weights))
    assert undefined == {}
    expected = peers_of_values(truth, value, weights)
    if weights is not None:
        expected["max_error"] = sk.max_error(truth[weights > 0], value[weights > 0])
    assert values == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_no_digits_are_lost_far_from_zero(rng):
    truth = 1e9 + rng.normal(size=1000)
    value = truth + 0.01 * rng.normal(size=1000)
    values, _ = measure(Scores("regression", truth, value.reshape(-1, 1)))
    for name, function in (("r2", sk.r2_score), ("explained_variance", sk.explained_variance_score)):
        assert values[name] == pytest.approx(function(truth, value), rel=1e-9)
    assert values["d2_absolute_error"] == pytest.approx(sk.d2_absolute_error_score(truth, value), rel=1e-6)


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
    ranked = ("auc", "pr_auc", "gini", "ks", "balanced_accuracy", "mcc", "kappa", "youden", "d2_log_loss", "d2_brier")
    positive = ("recall", "fnr", "top_decile_lift", "top_decile_recall")
    assert undefined == {
        **dict.fromkeys(ranked, "all rows are of class no"),
        **dict.fromkeys(positive, "no row is positive"),
    }
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["precision"] == 0


def test_all_positive():
    _, undefined = measure(binary([1, 1, 1], [0.1, 0.2, 0.7]))
    assert {undefined["specificity"], undefined["fpr"]} == {"no row is negative"}
    assert undefined["auc"] == "all rows are of class yes"


def test_nothing_predicted_positive():
    _, undefined = measure(binary([0, 1], [0.1, 0.2]))
    assert undefined == {"precision": "no row is predicted positive"}


def test_everything_predicted_positive():
    _, undefined = measure(binary([0, 1], [0.8, 0.9]))
    assert undefined == {"npv": "no row is predicted negative"}


def test_a_class_without_rows():
    outputs = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    _, undefined = measure(Scores("classification", np.array([0, 1]), outputs, ("a", "b", "c")))
    assert undefined == {
        **dict.fromkeys(("auc", "auc_weighted", "auc_ovo"), "no row is of class c"),
        **dict.fromkeys(("top_3_accuracy", "top_5_accuracy"), "there are only 3 classes"),
    }


def test_regression_on_the_same_value_and_on_zero():
    _, undefined = measure(Scores("regression", np.array([0.0, 0.0]), np.array([[1.0], [2.0]])))
    assert undefined == {
        "mape": "an actual value is zero",
        "wape": "all actual values are zero",
        "gamma_deviance": "an actual or predicted value is not above zero",
        **dict.fromkeys(
            ("r2", "explained_variance", "d2_absolute_error", "correlation"), "the actual values are all the same"
        ),
    }


def test_values_below_what_a_metric_takes():
    _, undefined = measure(Scores("regression", np.array([-2.0, 3.0, 1.0]), np.array([[1.0], [1.0], [1.0]])))
    assert undefined == {
        "rmsle": "an actual or predicted value is -1 or less",
        "poisson_deviance": "an actual value is below zero, or a predicted one not above it",
        "gamma_deviance": "an actual or predicted value is not above zero",
        "correlation": "the predicted values are all the same",
    }


def test_rows_that_all_weigh_nothing():
    values, undefined = measure(replace(binary([0, 1], [0.1, 0.9]), weights=np.zeros(2)))
    assert values == {}
    assert set(undefined.values()) == {"all rows have weight 0"}


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
