"""Calibration: probabilities come true after it, and the graph mends as the model does."""

from dataclasses import dataclass

import numpy as np
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.calibration import SPACING, calibrated
from headrace.trainer.loss import loss
from headrace.trainer.model import Rows
from headrace.trainer.models.gbdt import fit as fit_trees
from headrace.trainer.models.linear import fit as fit_linear
from headrace.trainer.models.linear import linear_graph
from headrace.trainer.parameters import GbdtParameters, LinearParameters
from tests.unit.trainer.learning import difference, graph_answers, job

METHODS = ["sigmoid", "isotonic", "temperature"]


@dataclass(frozen=True)
class Sure:
    """A model whose only feature is the log odds, and which is three times as sure as it may be."""

    metric: str = "log_loss"
    kind: str = "linear"
    rounds: int = 1
    tolerance: float = 1e-6

    @property
    def curve(self):
        return {"eval": [1.0]}

    @property
    def parameters(self):
        return {}

    def predict(self, features):
        positive = 1 / (1 + np.exp(-3.0 * features[:, 0].astype(np.float64)))
        return np.column_stack([1 - positive, positive])

    def graph(self, output):
        return linear_graph(np.array([[3.0]]), np.zeros(1), np.zeros(1), 2, output)


def sure_rows(count: int, seed: int = 0) -> Rows:
    random = np.random.default_rng(seed)
    odds = random.normal(0, 1.5, size=(count, 1)).astype(np.float32)
    return Rows(odds, (random.random(count) < 1 / (1 + np.exp(-odds[:, 0]))).astype(np.int32))


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_is_too_sure_becomes_right(method):
    mended = calibrated(Sure(), method, sure_rows(4_000), 2)
    fresh = sure_rows(20_000, seed=1)
    truth = 1 / (1 + np.exp(-fresh.features[:, 0].astype(np.float64)))
    off = np.abs(mended.predict(fresh.features)[:, 1] - truth)
    assert off.mean() < 0.02
    assert off.mean() < np.abs(Sure().predict(fresh.features)[:, 1] - truth).mean() / 5
    assert loss(mended.predict(fresh.features), fresh.labels, None, 2) < loss(
        Sure().predict(fresh.features), fresh.labels, None, 2
    )
    assert np.abs(graph_answers(mended, fresh.features) - mended.predict(fresh.features)).max() <= mended.tolerance


def test_platts_scale_and_the_temperature_are_found():
    rows = sure_rows(20_000)
    (map,) = calibrated(Sure(), "sigmoid", rows, 2).maps
    assert map.scale == pytest.approx(1 / 3, abs=0.02)
    assert map.shift == pytest.approx(0, abs=0.05)
    assert calibrated(Sure(), "temperature", rows, 2).temperature == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("learner", ["gbdt", "linear"])
def test_the_graph_mends_as_the_model_does(learner, classes, method):
    fit, parameters = (
        (fit_trees, GbdtParameters(n_estimators=60)) if learner == "gbdt" else (fit_linear, LinearParameters())
    )
    asked = job(classes, parameters)
    mended = calibrated(fit(asked), method, asked.evaluation, classes)
    assert difference(mended, asked.evaluation.features) <= mended.tolerance <= 2e-3
    answers = mended.predict(asked.evaluation.features)
    np.testing.assert_allclose(answers.sum(axis=1), 1)
    found = mended.parameters["calibration"]["eval_log_loss"]
    assert found["after"] <= found["before"]
    assert mended.kind == learner


def test_isotonic_rises_and_its_knots_stand_apart():
    mended = calibrated(Sure(), "isotonic", sure_rows(3_000), 2)
    (map,) = mended.maps
    assert (np.diff(map.values) >= 0).all()
    assert (np.diff(map.knots) >= SPACING / 2).all()
    grid = np.linspace(-9, 9, 999, dtype=np.float32)[:, None]
    answers = mended.predict(grid)[:, 1]
    assert (np.diff(answers) >= 0).all()
    assert 0 < answers.min() < answers.max() < 1


def test_weights_count():
    rows = sure_rows(4_000)
    heavy = Rows(rows.features, rows.labels, np.where(rows.labels == 1, 1.6, 0.4))
    for method in ("sigmoid", "isotonic"):
        plain, weighted = (calibrated(Sure(), method, each, 2).predict(rows.features)[:, 1] for each in (rows, heavy))
        assert weighted.mean() > plain.mean() + 0.1


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_weight_are_as_if_they_were_not_there(method):
    rows, others = sure_rows(800), sure_rows(2_400, seed=5)
    features = np.concatenate([rows.features, 3 * others.features])  # also where no row that counts is
    labels = np.concatenate([rows.labels, 1 - others.labels])
    counts = np.concatenate([np.full(800, 4.0), np.zeros(2_400)])
    mended = calibrated(Sure(), method, Rows(features, labels, counts), 2)
    alone = calibrated(Sure(), method, rows, 2)
    answers = mended.predict(features)
    assert np.isfinite(answers).all()
    np.testing.assert_allclose(answers, alone.predict(features), rtol=1e-9)
    found, expected = (each.parameters["calibration"]["eval_log_loss"] for each in (mended, alone))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_whose_rows_all_lack_weight_is_absent(method):
    rows = sure_rows(500)
    for weights, present in ((np.where(rows.labels == 1, 0.0, 1.0), 1), (np.zeros(500), 0)):
        with pytest.raises(
            HeadraceError,
            match=f"each of the 2 classes with a weight above 0 in the eval split. Received: rows of {present}",
        ):
            calibrated(Sure(), method, Rows(rows.features, rows.labels, weights), 2)


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(HeadraceError, match="expected a classification. Received: a regression"):
        calibrated(Sure(), "sigmoid", sure_rows(10), 0)
    rows = sure_rows(50)
    with pytest.raises(HeadraceError, match="expected rows of each of the 2 classes"):
        calibrated(Sure(), "sigmoid", Rows(rows.features, np.zeros_like(rows.labels)), 2)
    assert calibrated(Sure(), "none", rows, 2) == Sure()
