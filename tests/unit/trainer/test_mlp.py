"""The network: it learns, its graph answers as it does, and the same seed gives it again, also after a kill."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from headrace.artifacts.transform import Feature
from headrace.trainer.model import Job, Rows
from headrace.trainer.network.layout import fit_layout
from headrace.trainer.parameters import MlpParameters
from tests.unit.trainer.learning import difference, features, job

FITTED = """
import hashlib
from headrace.trainer.models.mlp import fit
from headrace.trainer.parameters import MlpParameters
from tests.unit.trainer.learning import job
model = fit(job(0, MlpParameters(epochs=2), rows=15_000, width=200))
print(hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in model.network.variables)).hexdigest())
"""
SMALL = MlpParameters(hidden_units=(16,), numeric_bins=4, batch_size=32, epochs=6, learning_rate=1e-2)


def with_codes(asked: Job) -> Job:
    """The same with the last column a category of 4 known values, of which 4 is never in train, nor is an unseen one."""

    def coded(rows: Rows) -> Rows:
        last = np.arange(len(rows.labels)) % 3 + 1.0
        last[::7] = np.nan
        return replace(rows, features=np.column_stack([rows.features[:, :-1], last]).astype(np.float32))

    described = (*asked.features[:-1], Feature("plan", ("plan",), "its code", "code", 4))
    return replace(asked, train=coded(asked.train), evaluation=coded(asked.evaluation), features=described)


@pytest.mark.parametrize("classes", [0, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_it_learns_and_its_graph_answers_as_it_does(classes: int) -> None:
    from headrace.trainer.models.mlp import fit

    asked = with_codes(job(classes, SMALL, rows=450))
    model = fit(asked)
    rows = asked.evaluation.features
    answers = model.predict(rows)
    assert answers.shape == (150, max(1, classes)) and answers.dtype == np.float64
    if classes:
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
        constant = np.bincount(asked.train.labels, minlength=classes) / len(asked.train.labels)
        assert model.curve["eval"][model.rounds - 1] < 0.95 * -np.log(constant[asked.evaluation.labels]).mean()
    else:
        assert model.curve["eval"][model.rounds - 1] < 0.95 * asked.evaluation.labels.std()
    odd = np.repeat(rows[:5], 4, axis=0)
    odd[:, -1] = np.tile([0.0, 4.0, 1e9, np.nan], 5)  # unseen, known and never seen, impossible, missing
    assert difference(model, np.concatenate([rows, odd])) <= model.tolerance
    never = model.predict(odd).reshape(5, 4, -1)
    np.testing.assert_allclose(never[:, 0], never[:, 1])  # what training never saw answers like the average value


def test_killed_it_goes_on_to_the_same_weights(tmp_path) -> None:
    from headrace.trainer.models.mlp import fit

    asked = with_codes(job(2, replace(SMALL, epochs=5), rows=300, seed=3))
    told: list[tuple[int, float]] = []

    def killed(epoch: int, value: float) -> None:
        told.append((epoch, value))
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(replace(asked, checkpoints=tmp_path, on_round=killed))
    whole = fit(asked)
    resumed = fit(replace(asked, checkpoints=tmp_path, on_round=lambda epoch, value: told.append((epoch, value))))
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4, 5]
    assert [value for _, value in told] == whole.curve["eval"] == resumed.curve["eval"]
    assert resumed.graph("probabilities").SerializeToString() == whole.graph("probabilities").SerializeToString()
    assert fit(replace(asked, seed=4)).curve != whole.curve


def test_a_damaged_checkpoint_begins_anew(tmp_path, capsys) -> None:
    from headrace.trainer.models.mlp import fit

    (tmp_path / "network.npz").write_bytes(b"PK\x03\x04 half")
    asked = job(2, replace(SMALL, epochs=1), rows=150, checkpoints=tmp_path)
    assert len(fit(asked).curve["eval"]) == 1
    assert "the training begins anew" in capsys.readouterr().out


@pytest.mark.slow
def test_rows_without_weight_teach_nothing() -> None:
    from headrace.trainer.models.mlp import fit

    weights = np.where(np.arange(600) % 2, 2.0, 0.0)
    asked = job(2, SMALL, rows=600, weights=weights)
    wrong = np.where(asked.train.weights == 0, 1 - asked.train.labels, asked.train.labels).astype(np.int32)
    model = fit(replace(asked, train=replace(asked.train, labels=wrong)))
    right = model.predict(asked.evaluation.features).argmax(axis=1) == asked.evaluation.labels
    assert right.mean() > 0.65


def test_a_number_without_weight_does_not_scale_the_others() -> None:
    from headrace.trainer.models.mlp import fit

    weights = np.where(np.arange(600) % 20, 1.0, 0.0)
    asked = job(0, replace(SMALL, epochs=3), rows=600, weights=weights)

    def odd(rows: Rows) -> Rows:
        nothing = rows.weights == 0
        features = np.where(nothing[:, None], np.float32(1e9), rows.features)
        return replace(rows, features=features, labels=np.where(nothing, 1e12, rows.labels))

    found = fit(replace(asked, train=odd(asked.train), evaluation=odd(asked.evaluation)))
    assert found.curve == fit(asked).curve


@pytest.mark.slow
def test_any_number_of_threads_gives_the_same_network_to_the_last_bit() -> None:
    """More of them than two would round otherwise, on so many features."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", FITTED],
            cwd=Path(__file__).resolve().parents[3],
            env={**os.environ, "OMP_NUM_THREADS": cores},
            stdout=subprocess.PIPE,
            text=True,
        )
        for cores in ("1", "4")
    ]
    one, four = (process.communicate(timeout=300)[0].splitlines()[-1] for process in running)
    assert one == four


@pytest.mark.slow
def test_sparse_rows_are_learned_as_dense_ones_are() -> None:
    from headrace.trainer.models.mlp import fit

    asked = job(2, replace(SMALL, epochs=2), rows=300)

    def sparse(rows: Rows) -> Rows:
        return replace(rows, features=scipy.sparse.csr_matrix(rows.features))

    model, other = fit(asked), fit(replace(asked, train=sparse(asked.train), evaluation=sparse(asked.evaluation)))
    assert model.curve == other.curve
    np.testing.assert_array_equal(
        model.predict(asked.train.features), other.predict(scipy.sparse.csr_matrix(asked.train.features))
    )


def test_the_layout_of_numbers() -> None:
    """Mostly zeros keep their zeros; a constant and an empty column do no harm; missing ones are noted."""
    random = np.random.default_rng(0)
    x = np.zeros((200, 4), np.float32)
    x[:, 0] = random.normal(50, 5, 200)
    x[:5, 1] = 8.0
    x[:, 2] = 3.0
    x[:, 3] = np.nan
    layout = fit_layout(x, features(4), bins=4, seed=0)
    np.testing.assert_allclose(layout.center, [x[:, 0].mean(), 0, 3, 0], rtol=1e-5)
    np.testing.assert_allclose(layout.scale, [x[:, 0].std(), 8, 1, 1], rtol=1e-5)
    assert layout.incomplete.tolist() == [3] and layout.binned.tolist() == [0]
    assert layout.edges.shape == (1, 5) and (np.diff(layout.edges) > 0).all()
