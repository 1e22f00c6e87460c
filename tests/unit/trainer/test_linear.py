"""Linear models: what scikit-learn itself would fit, behind one product of matrices."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression, Ridge

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.model import Rows
from headrace.trainer.models.linear import PATH, fit
from headrace.trainer.parameters import LinearParameters
from tests.unit.trainer.learning import difference, job

ROOT = Path(__file__).resolve().parents[3]
FITTED = """
import hashlib, json
import numpy as np
import scipy.sparse
from dataclasses import replace
from headrace.trainer.calibration import calibrated
from headrace.trainer.models.linear import fit
from headrace.trainer.parameters import LinearParameters
from tests.unit.trainer.learning import job

def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()

found = {}
for classes, rows, width, l1_ratio in [(2, 30_000, 30, 0), (0, 30_000, 30, 0), (3, 6_000, 30, 0), (2, 600, 60, 0.5)]:
    asked = job(classes, LinearParameters(l1_ratio=l1_ratio), rows=rows, width=width)
    model = fit(asked)
    name = f"{classes} classes, {width} features"
    found[name] = digest(model.weights, model.bias)
    found[f"{name}: answers"] = digest(model.predict(np.random.default_rng(1).normal(size=(4_000, width))))
    found[f"{name}: curve"] = repr(model.curve)
    if classes == 2:
        odds = replace(asked.train, weights=None)
        found[f"{name}: calibration"] = repr(calibrated(model, "sigmoid", odds, 2).maps)
asked = job(2, LinearParameters(alpha=0.01), rows=3_000, width=400)
words = [replace(rows, features=scipy.sparse.csr_matrix(rows.features)) for rows in (asked.train, asked.evaluation)]
model = fit(replace(asked, train=words[0], evaluation=words[1]))
found["words"] = digest(model.weights, model.bias)
print(json.dumps(found))
"""


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_the_graph_answers_as_the_model_does(classes, l1_ratio):
    asked = job(classes, LinearParameters(l1_ratio=l1_ratio))
    model = fit(asked)
    assert difference(model, asked.evaluation.features) <= model.tolerance
    assert model.rounds == 1 + PATH.index(model.parameters["alpha"])
    share = model.importance()
    assert np.isclose(share.sum(), 1)
    assert list(np.argsort(-share)[:2]) == [0, 1]


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learns_logistic_regression(classes):
    asked = job(classes, LinearParameters(alpha=0.01), missing=0)
    model = fit(asked)
    x, y = asked.train.features.astype(np.float64), asked.train.labels
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-8, max_iter=1000).fit(scaled, y)
    np.testing.assert_allclose(model.predict(asked.train.features), theirs.predict_proba(scaled), atol=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_scikit_learns_ridge(weighted):
    weights = np.random.default_rng(3).uniform(0.1, 2, 900) if weighted else None
    asked = job(0, LinearParameters(alpha=0.1), missing=0, weights=weights)
    model = fit(asked)
    x, y, w = asked.train.features.astype(np.float64), asked.train.labels, asked.train.weights
    w = np.ones(len(y)) if w is None else w
    mean = np.average(x, axis=0, weights=w)
    scaled = (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))
    theirs = Ridge(alpha=0.1 * len(y)).fit(scaled, y, w)
    np.testing.assert_allclose(model.predict(asked.train.features)[:, 0], theirs.predict(scaled), rtol=1e-6)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_sparse_rows_are_learned_as_dense_ones_are(classes):
    asked = job(classes, LinearParameters(alpha=0.001))
    sparse = [
        Rows(scipy.sparse.csr_matrix(rows.features), rows.labels, rows.weights)
        for rows in (asked.train, asked.evaluation)
    ]
    model = fit(replace(asked, train=sparse[0], evaluation=sparse[1]))
    dense = asked.evaluation.features
    np.testing.assert_allclose(model.predict(sparse[1].features), model.predict(dense), rtol=1e-9)
    np.testing.assert_allclose(model.predict(dense), fit(asked).predict(dense), rtol=0.02, atol=0.02)
    assert difference(model, dense) <= model.tolerance


def test_a_class_that_train_lacks_is_never_answered():
    asked = job(3, LinearParameters(alpha=0.01))
    kept = asked.train.labels != 1
    train = Rows(asked.train.features[kept], asked.train.labels[kept])
    model = fit(replace(asked, train=train))
    answers = model.predict(asked.evaluation.features)
    assert answers.shape[1] == 3
    assert answers[:, 1].max() < 1e-9
    with pytest.raises(HeadraceError, match="expected rows of two classes"):
        fit(replace(asked, train=Rows(train.features, np.zeros_like(train.labels))))


def test_a_constant_feature_counts_for_nothing():
    asked = job(2, LinearParameters())
    for rows in (asked.train, asked.evaluation):
        rows.features[:, 3] = 7.25
        rows.features[:, 4] = np.nan
    model = fit(asked)
    assert model.importance()[3] < 1e-9
    assert model.importance()[4] == 0
    assert difference(model, asked.evaluation.features) <= model.tolerance


def test_the_same_seed_gives_the_same_model_and_rounds_are_told():
    told = []
    asked = job(2, LinearParameters(l1_ratio=1.0), seed=4, on_round=lambda *round: told.append(round))
    one, two = fit(asked), fit(replace(asked, on_round=None))
    np.testing.assert_array_equal(one.weights, two.weights)
    assert told == list(enumerate(one.curve["eval"], 1))


def test_any_number_of_threads_gives_the_same_model_to_the_last_bit():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", FITTED],
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2")
    ]
    one, two = (json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in running)
    assert one == two


def test_fitting_leaves_the_threads_as_they_were():
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(limits=2, user_api="blas"):
        before = threadpool_info()
        fit(job(2, LinearParameters(alpha=0.01)))
        after = {entry["filepath"]: entry["num_threads"] for entry in threadpool_info()}
    assert before
    assert {entry["filepath"]: after[entry["filepath"]] for entry in before} == {
        entry["filepath"]: entry["num_threads"] for entry in before
    }


def test_weights_count():
    weights = np.ones(900)
    asked = job(2, LinearParameters(alpha=0.01))
    positives = asked.train.labels == 1
    weights[:600][positives] = 5.0
    heavy = fit(job(2, LinearParameters(alpha=0.01), weights=weights / weights.mean()))
    rows = asked.evaluation.features
    assert heavy.predict(rows)[:, 1].mean() > fit(asked).predict(rows)[:, 1].mean() + 0.15


def test_words_keep_their_scale() -> None:
    """Divided by their deviation, the rarest words would weigh most, and a penalty could not tell them from the common."""
    import scipy.sparse

    from headrace.trainer.model import Rows
    from headrace.trainer.models.linear import _Scale

    random = np.random.default_rng(0)
    rare, common = (random.random((500, 1)) < share for share in (0.01, 0.5))
    features = scipy.sparse.csr_matrix(np.hstack([rare, common, 100.0 * common]).astype(np.float32))
    scale = _Scale.of(Rows(features, np.zeros(500)))
    assert scale.spread[0] == scale.spread[1] == 1.0 and scale.spread[2] > 10
